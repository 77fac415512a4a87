"""Files with one id a line."""

from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only


def read_ids(paths: Iterable[Path]) -> set[str]:
    """Read files with one id a line; a byte order mark, Windows line ends and blank lines are fine.

    Raises:
        FileNotFoundError: when one is not there.
        ValueError: for an id given twice, with file and line, or files without any.
    """
    ids: set[str] = set()
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"ids: there is no file {path}; give a list with an id a line")
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
            identity = line.strip()
            if identity in ids:
                raise ValueError(f"{path}, line {number}: {identity} is listed twice; remove one")
            if identity:
                ids.add(identity)
    if not ids:
        raise ValueError("ids: the files hold no id; give one a line, or leave ids out")
    return ids


@rank_zero_only
def write_lines(path: Path, lines: Iterable[str], argument: str) -> None:
    """Write lines to a file on the first rank.

    Args:
        path: where to; folders are made.
        lines: what.
        argument: which one chose the place, for the message.

    Raises:
        ValueError: when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"{argument}: cannot write {path} ({error.strerror}); give a folder that can be "
            "written to"
        ) from error
