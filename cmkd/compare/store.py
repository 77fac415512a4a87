"""Where a comparison keeps what is finished, so that it is never run twice."""

import csv
import fcntl
import io
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """What came out of a run.

    Attributes:
        key: of the run.
        val: validation metric of its best student.
        mode: ``max`` or ``min``, which of its values is better.
        epoch: of the best student.
        test: test metrics by ``<network>_<metric>``; empty for a run that was not tested.
        seconds: wall time, without that of a teacher stage that is shared.
        teacher: key of the shared teacher, None where there is none.
        command: the command line that repeats the training.
        versions: of the libraries.
    """

    key: str
    val: float
    mode: str
    epoch: int
    test: Mapping[str, float]
    seconds: float
    teacher: str | None
    command: str
    versions: Mapping[str, str]


class Store:
    """A comparison's folder. Every file is written whole or not at all.

    Args:
        folder: it; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, key: str) -> Record | None:
        """Return what came out of a run, None where it is not finished."""
        path = self._record(key)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return Record(**{field.name: content[field.name] for field in fields(Record)})
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{path} is damaged ({error}): its run is made again", stacklevel=2)
            return None

    def save(self, record: Record) -> None:
        """Keep what came out of a run."""
        write_whole(self._record(record.key), json.dumps(asdict(record), indent=1) + "\n")

    def forget(self, key: str) -> None:
        """Drop what came out of a run."""
        self._record(key).unlink(missing_ok=True)

    def log(self, key: str) -> Path:
        """Return the path of what a run printed."""
        return self.folder / "logs" / f"{key}.log"

    def teacher(self, key: str) -> Path:
        """Return the path of a shared teacher's checkpoint."""
        return self.folder / "teachers" / f"{key}.ckpt"

    def _record(self, key: str) -> Path:
        return self.folder / "runs" / f"{key}.json"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that there is never half of it, whatever happens."""
    with replacing(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file, whole or not at all; numbers with six digits, None as nothing."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({
            key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()
        })  # fmt: skip
    write_whole(path, text.getvalue())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes ``path`` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time into the block, of all that name the same path.

    The system takes the lock from a process that dies. Where the file system knows no locks,
    nobody waits: what is written under a lock has to be right without it, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
