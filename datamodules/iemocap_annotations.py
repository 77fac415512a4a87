"""The annotation files of IEMOCAP: the evaluated turns of a dialog, and what is said in them."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

#: Every emotion that an evaluation file may give; ``xxx`` is no agreement among the evaluators.
EMOTIONS = ("ang", "dis", "exc", "fea", "fru", "hap", "neu", "oth", "sad", "sur", "xxx")

_EVALUATED = re.compile(
    r"\[\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*\]\s+(\S+)\s+(\S+)\s+\[[^\[\]]*\]"
)
_EVALUATOR = re.compile(r"[AC]-\w+:")
_SAID = re.compile(r"(\S+)\s*\[[^\[\]]*\]\s*:?\s*(.*)")


@dataclass(frozen=True, slots=True)
class Turn:
    """One evaluated turn of a dialog.

    Attributes:
        name: unique in the data, ``Ses01F_impro01_M003``: the dialog, and who speaks.
        dialog: name of its recording, ``Ses01F_impro01``. The letter behind the session's number
            is that of the actor who wears the markers of the motion capture.
        speaker: session and sex of who speaks, ``Ses01M``; the data's ten speakers have no other
            names.
        emotion: one of ``EMOTIONS``.
        begin: in seconds from the beginning of the dialog's recording.
        end: in seconds.
        where: file and line, for messages.
    """

    name: str
    dialog: str
    speaker: str
    emotion: str
    begin: float
    end: float
    where: str


def read_evaluation(path: Path) -> list[Turn]:
    """Read the turns of one file of ``dialog/EmoEvaluation``, named after its dialog.

    Lines of turns are ``[start - end]<tab>turn<tab>emotion<tab>[V, A, D]``. The other lines are
    skipped: the header, blank ones, and what the single evaluators chose (``C-E1: ...``).

    Raises:
        ValueError: for a turn's line of another form, an unknown emotion, a turn of another dialog
            or given twice, or one that ends before it begins; names file and line.
    """
    dialog = path.stem
    turns: dict[str, Turn] = {}
    for number, line in enumerate(_lines(path), start=1):
        is_turn = line.startswith("[") or f"{dialog}_" in line
        if not is_turn or _EVALUATOR.match(line):
            continue
        where = f"{path}, line {number}"
        found = _EVALUATED.fullmatch(line)
        if found is None:
            raise ValueError(
                f"{where}: expected '[start - end]<tab>turn<tab>emotion<tab>[V, A, D]', found "
                f"'{line}'; restore the file from the distribution"
            )
        begin, end, name, emotion = found.groups()
        who = name.removeprefix(f"{dialog}_")
        if who == name or who[:1] not in ("F", "M"):
            raise ValueError(
                f"{where}: the turn {name} should be {dialog}_F... or {dialog}_M...: the file's "
                "name, and the speaker's sex and number"
            )
        if emotion not in EMOTIONS:
            raise ValueError(f"{where}: '{emotion}' is none of the emotions {', '.join(EMOTIONS)}")
        if float(end) <= float(begin):
            raise ValueError(f"{where}: the turn {name} ends at {end} s, but begins at {begin} s")
        if name in turns:
            raise ValueError(f"{where}: the turn {name} is given twice; take one line out")
        turns[name] = Turn(
            name, dialog, dialog[:5] + who[0], emotion, float(begin), float(end), where
        )
    return list(turns.values())


def read_transcription(path: Path, turns: Collection[str]) -> dict[str, str]:
    """Read what is said in some turns from one file of ``dialog/transcriptions``.

    Lines are ``turn [start-end]: text``. The files also hold turns that nobody evaluated
    (``Ses01F_impro01_FXX0 [...]: ...``) and lines without a time (``M: ...``); both are skipped.

    Args:
        path: the file.
        turns: names of the turns wanted.

    Returns:
        The text by turn; a turn that the file lacks is not in it.

    Raises:
        ValueError: for a wanted turn's line of another form, or one given twice; names file and
            line.
    """
    texts: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        name = re.split(r"[\s\[]", line, maxsplit=1)[0]
        if name not in turns:
            continue
        found = _SAID.fullmatch(line)
        if found is None:
            raise ValueError(
                f"{path}, line {number}: expected '{name} [start-end]: text', found '{line}'; "
                "restore the file from the distribution"
            )
        if name in texts:
            raise ValueError(
                f"{path}, line {number}: the turn {name} is transcribed twice; take one line out"
            )
        texts[name] = found[2]
    return texts


def read_session(folder: Path) -> list[Turn]:
    """Read the evaluated turns of a session, given its folder ``SessionN``.

    Raises:
        FileNotFoundError: when it has no evaluation files.
        ValueError: for a file of another session, or a malformed one.
    """
    session = f"Ses{int(folder.name[-1]):02d}"
    evaluations = folder / "dialog" / "EmoEvaluation"
    # Not *.txt: macOS has left a ._Ses... beside each file.
    files = sorted(evaluations.glob("Ses*.txt"))
    if not files:
        raise FileNotFoundError(
            f"there is no Ses*.txt in {evaluations}; restore it from the distribution"
        )
    for file in files:
        if not re.match(rf"{session}[FM]_", file.name):
            raise ValueError(f"{file} is no dialog of {folder.name}; move it to its session")
    return [turn for file in files for turn in read_evaluation(file)]


def _lines(path: Path) -> list[str]:
    """Return the lines without their ends and outer blanks."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")  # old files, written under Windows
    return [line.strip() for line in re.split(r"\r\n|\r|\n", text)]
