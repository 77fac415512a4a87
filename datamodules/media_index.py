"""The media index: what `cmkd prepare` found out about each file, so that training need not."""

import os
from array import array
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.file_keys import FileKeys, KeyTable
from datamodules.media import MediaInfo, media_error
from datamodules.resumable_csv import read_table

#: Its name, in the folder of the files.
INDEX_NAME = "cmkd_index.csv"
#: What of a file can be broken; a header that does not open breaks both.
Track = Literal["video", "audio"]

INFO_COLUMNS = [field.name for field in fields(MediaInfo)]
INDEX_COLUMNS = [
    "file",
    "size",
    "mtime_ns",
    "decoded",
    *INFO_COLUMNS,
    "duration",
    "video_error",
    "audio_error",
]
_CODES: dict[Any, str] = {int: "q", float: "d", bool: "b"}
_REMEDY = "run `cmkd prepare` again"


class StaleIndexError(ValueError):
    """The index does not fit the files; the message names the first and the remedy."""


class MediaIndex:
    """Looks up what a file's header says, instead of opening it.

    Held in columns of about 60 bytes a file. A file's size is compared with the index's when it is
    first asked for.

    Args:
        path: the index.
        root: what its files' names are relative to.

    Raises:
        FileNotFoundError: when it is not there.
        ValueError: when it is damaged.
    """

    def __init__(self, path: Path, root: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no media index {path}; make it with `cmkd prepare`, or leave out `index`"
            )
        self.path = path
        self._keys = FileKeys(root)
        self._errors: dict[Track, dict[int, str]] = {"video": {}, "audio": {}}
        self._columns: dict[str, array[Any]] = {"size": array("q")}
        for field in fields(MediaInfo):
            self._columns[field.name] = array(_CODES[field.type])
        self._table = KeyTable(self._load())
        self._values = {name: np.array(column) for name, column in self._columns.items()}
        del self._columns
        # A sample's readers ask for the same file one after the other.
        self._last: tuple[Path | None, MediaInfo] = (None, MediaInfo(0, 0.0, 0.0, False))
        self._compared = np.zeros(len(self._table), dtype=bool)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def is_clean(self) -> bool:
        """Return whether no file is broken."""
        return not any(self._errors.values())

    def probe(self, path: Path) -> MediaInfo:
        """Return what the file's header says.

        Raises:
            StaleIndexError: when the file is not in the index, or has another size.
            MediaError: when its header does not open.
        """
        last, info = self._last
        if last == path:
            return info
        row = self._row(path)
        values = {name: self._values[name][row].item() for name in INFO_COLUMNS}
        if not any(values.values()):
            raise media_error(path, self._errors["video"].get(row, "there is nothing in it"))
        info = MediaInfo(**values | {"has_audio": bool(values["has_audio"])})
        self._last = (path, info)
        return info

    def error(self, path: Path, track: Track) -> str | None:
        """Return why a track of a file cannot be read, None where it can.

        Raises:
            StaleIndexError: when the file is not in the index, or has another size.
        """
        return self._errors[track].get(self._row(path))

    def _load(self) -> Iterator[str]:
        for row, texts in enumerate(read_table(self.path, INDEX_COLUMNS)):
            try:
                for name, column in self._columns.items():
                    number = float(texts[name]) if column.typecode == "d" else int(texts[name])
                    column.append(number)
            except ValueError as error:
                raise ValueError(
                    f"{self.path}, file {texts['file']}: {error}; delete the index and {_REMEDY}"
                ) from error
            for track, errors in self._errors.items():
                if reason := texts[f"{track}_error"]:
                    errors[row] = reason
            yield texts["file"]

    def _row(self, path: Path) -> int:
        row = self._table.row(self._keys.key(path))
        if row is None:
            raise StaleIndexError(f"{path} is not in the media index {self.path}; {_REMEDY}")
        if not self._compared[row]:
            self._compare_size(path, int(self._values["size"][row]))
            self._compared[row] = True
        return row

    def _compare_size(self, path: Path, indexed: int) -> None:
        try:
            size = os.stat(path).st_size  # noqa: PTH116 - half the time of Path.stat
        except OSError as error:
            raise media_error(path, error.strerror or str(error)) from error
        if size != indexed:
            raise StaleIndexError(
                f"{path} has {size} bytes, but had {indexed} when the media index {self.path} was "
                f"made; {_REMEDY}"
            )
