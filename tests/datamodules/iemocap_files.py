"""Writes a small tree like IEMOCAP's: real annotation syntax, encoded sound and video."""

import shutil
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.iemocap import IEMOCAP
from tests.datamodules.media_files import FRAME_RATE, SAMPLE_RATE, write_clip

#: Length of a turn in frames; turns follow each other without a pause.
TURN = 12

#: Who says what in which emotion, by dialog; both speakers have all six emotions.
DIALOGS = {
    "F_impro01": [
        ("F000", "ang", "Excuse me."),
        ("M000", "neu", "Do you have your forms?"),
        ("F001", "hap", "Yeah, that's it!"),
        ("M001", "sad", "Ça va — [BREATHING] naïve café."),
        ("F002", "exc", "We're going to the beach!"),
        ("M002", "fru", "Is there a problem?"),
        ("F003", "xxx", "[LAUGHTER]"),
        ("M003", "oth", "Who told you to get in this line?"),
    ],
    "M_script01_1": [
        ("F000", "neu", "What time is it?"),
        ("M000", "ang", "Leave me alone."),
        ("F001", "sad", "I don't know."),
        ("M001", "hap", "That's wonderful."),
        ("F002", "fru", "You never listen."),
        ("M002", "exc", "Augie, look!"),
        ("F003", "xxx", "Hmm."),
        ("M003", "sur", "What?"),
    ],
}

EVALUATORS = (
    "C-E2:\tNeutral;\t()",
    "C-E3:\tNeutral; Anger;\t(curious)",
    "C-F1:\tNeutral;\t(like {turn})",
    "A-E3:\tval 3; act 2; dom  2;\t()",
    "A-E4:\tval 2; act 3; dom  3;\t(mildly aggravated but staying polite, attitude)",
)


def grey_of_turn(frame: int) -> tuple[int, int, int]:
    """The colour of the dialog's video: each turn has its own."""
    level = 20 + 25 * (frame // TURN)
    return (level, level, level)


def write_wav(path: Path, seconds: float, level: float) -> Path:
    """Write 16-bit PCM of a constant level, the sound that tells turns apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.full(round(seconds * SAMPLE_RATE), level * 32_767, dtype="<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return path


def write_iemocap(root: Path, sessions: Sequence[int] = (1, 2, 3, 4, 5), end: str = "\n") -> Path:
    """Write two dialogs of eight turns a session.

    Args:
        root: where to.
        sessions: numbers of the sessions.
        end: line ends of the annotation files.

    Returns:
        The root.
    """
    for number in sessions:
        session = root / f"Session{number}"
        for dialog, turns in DIALOGS.items():
            write_dialog(session, f"Ses{number:02d}{dialog}", turns, end)
        for folder in ("dialog/EmoEvaluation", "dialog/transcriptions", "dialog/avi/DivX"):
            (session / folder / f"._Ses{number:02d}F_impro01.txt").write_bytes(b"\x00\x05\x16\x07")
        categorical = session / "dialog" / "EmoEvaluation" / "Categorical"
        categorical.mkdir()
        (categorical / f"Ses{number:02d}F_impro01_e2_cat.txt").write_text("Ses01F_impro01_F000 :")
    return root


def write_dialog(session: Path, name: str, turns: Sequence[tuple[str, str, str]], end: str) -> None:
    evaluation = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    transcription = [f"{name}_FXX0 [000.0000-000.1000]: [GARBAGE]", "M: Go ahead."]
    seconds = TURN / FRAME_RATE
    for number, (who, emotion, text) in enumerate(turns):
        begin, turn = number * seconds, f"{name}_{who}"
        evaluation += [
            f"[{begin:.4f} - {begin + seconds:.4f}]\t{turn}\t{emotion}\t[2.5000, 2.5000, 2.5000]",
            *(line.format(turn=turn) for line in EVALUATORS),
            "",
        ]
        transcription.append(f"{turn} [{begin:08.4f}-{begin + seconds:08.4f}]: {text}")
        write_wav(session / "sentences" / "wav" / name / f"{turn}.wav", seconds, 0.1 * (number + 1))
    for folder, lines in (("EmoEvaluation", evaluation), ("transcriptions", transcription)):
        path = session / "dialog" / folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(line + end for line in lines).encode())
    write_clip(
        session / "dialog" / "avi" / "DivX" / f"{name}.avi",
        frames=len(turns) * TURN,
        colour=grey_of_turn,
    )


SMALL = {
    "frames": 4,
    "resize": (16, 16),
    "size": 16,
    "sample_rate": 8_000,
    "audio_seconds": 0.1,
    "batch_size": 8,
}


def iemocap(root, student=("audio",), auxiliary=("text", "video"), **arguments):
    return IEMOCAP(str(root), list(student), list(auxiliary), **(SMALL | arguments))


def remove(root, *parts):
    for part in parts:
        for path in root.glob(f"Session*/{part}"):
            shutil.rmtree(path)
