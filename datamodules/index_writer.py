"""Making the media index."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datamodules.file_keys import FileKeys
from datamodules.in_parallel import in_parallel
from datamodules.media_check import Decode, check_media
from datamodules.media_index import INDEX_COLUMNS, INDEX_NAME, INFO_COLUMNS, Track
from datamodules.resumable_csv import ResumableCSV


@dataclass(frozen=True)
class IndexReport:
    """What was written.

    Attributes:
        path: the index.
        files: how many of the files asked for it knows, all of them.
        broken: which of those cannot be read, in the order asked for, and why.
    """

    path: Path
    files: int
    broken: dict[Path, str]


def write_index(
    files: Iterable[Path],
    path: Path,
    root: Path,
    decode: Decode = "ends",
    threads: int | None = None,
) -> IndexReport:
    """Check the files that the index does not know yet, or that have changed, and write it.

    Interrupted, it goes on where it stopped. Files of an earlier index that are not asked for now
    keep their rows. What was broken is always tried again.

    Args:
        files: the media files.
        path: where the index is, or is to be; in a folder it has its usual name.
        root: folder that names in the index are relative to.
        decode: what to decode of each file.
        threads: files checked at once; None: as many as there are cores.

    Raises:
        OSError: when it cannot be written.
        ValueError: when there is an index and it is damaged.
    """
    path = path / INDEX_NAME if path.is_dir() else path
    keys = FileKeys(root)
    named = {keys.key(file): file for file in files}
    with ResumableCSV(path, INDEX_COLUMNS) as table:
        todo = [
            one for one in named.items() if not _is_known(table.rows.get(one[0]), one[1], decode)
        ]

        def check(one: tuple[str, Path]) -> dict[str, object]:
            return _row(*one, decode)

        for row in in_parallel(check, todo, "Checking files", len(todo), threads):
            table.add(row)
        table.finish()
        broken = {file: why for key, file in named.items() if (why := _reason(table.rows[key]))}
    return IndexReport(path, len(named), broken)


def record_errors(path: Path, root: Path, errors: Mapping[tuple[Path, Track], str]) -> None:
    """Write down what was found to be broken after the index was made."""
    keys = FileKeys(root)
    with ResumableCSV(path, INDEX_COLUMNS) as table:
        for (file, track), reason in errors.items():
            table.add(table.rows[keys.key(file)] | {f"{track}_error": reason})
        table.finish()


def file_stamp(file: Path) -> tuple[int, int]:
    """Return a file's size in bytes and time of change; zeros where there is no such file."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _is_known(row: dict[str, str] | None, file: Path, decode: Decode) -> bool:
    if row is None or _reason(row) or (decode == "all" and row["decoded"] != "all"):
        return False
    size, mtime_ns = file_stamp(file)
    return (row["size"], row["mtime_ns"]) == (str(size), str(mtime_ns))


def _row(key: str, file: Path, decode: Decode) -> dict[str, object]:
    size, mtime_ns = file_stamp(file)  # before it is read: a change meanwhile shows
    check = check_media(file, decode)
    info = check.info
    values = {name: "0" if info is None else _text(getattr(info, name)) for name in INFO_COLUMNS}
    return values | {
        "file": key,
        "size": size,
        "mtime_ns": mtime_ns,
        "decoded": decode,
        "duration": "0" if info is None else f"{info.duration:.3f}",
        "video_error": check.video_error,
        "audio_error": check.audio_error,
    }


def _text(value: float) -> str:
    # The shortest text from which the very same number is read back.
    return str(int(value)) if isinstance(value, bool) else repr(value)


def _reason(row: dict[str, str]) -> str:
    video, audio = row["video_error"], row["audio_error"]
    if video == audio:
        return video
    named = (("video", video), ("audio", audio))
    return "; ".join(f"{track}: {why}" for track, why in named if why)
