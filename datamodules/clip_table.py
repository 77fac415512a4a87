"""The clips of a dataset as a table that stays small in memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Source:
    """Where one modality of a clip lies.

    Attributes:
        path: the file, or the folder of frames.
        begin: where in it the clip begins, in seconds from its first frame or sample.
        end: where the clip ends; None: with the file.
    """

    path: Path
    begin: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """One sample: a clip with its label.

    Attributes:
        name: unique in the dataset; messages and stored features go by it.
        label: class number, or value of a regression.
        group: recording, source video, speaker or actor; never on two sides of a split.
        sources: by modality; one that is not named is absent.
    """

    name: str
    label: int | float
    group: str
    sources: Mapping[str, Source]


class _Strings(Sequence[str]):
    """Strings end to end in one array: no object a string, nothing to copy into a worker."""

    def __init__(self, strings: Iterable[str]) -> None:
        # Names of files may hold bytes that are no text; they have to come back as they were.
        encoded = [string.encode("utf-8", "surrogateescape") for string in strings]
        self._ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "list[str]": ...
    def __getitem__(self, row: int | slice) -> "str | list[str]":
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        begin = 0 if row == 0 else int(self._ends[row - 1])
        end = int(self._ends[row])
        return self._bytes[begin:end].tobytes().decode("utf-8", "surrogateescape")


class ClipTable(Sequence[Clip]):
    """Clips in columns, about 200 bytes each; ``table[i]`` makes one.

    A list of objects would cost several times as much, and again in every loader worker, where
    counting references copies the pages that the processes share.

    Args:
        clips: any iterable, read once.

    Raises:
        ValueError: for two clips of one name.
    """

    def __init__(self, clips: Iterable[Clip]) -> None:
        names: list[str] = []
        groups: list[str] = []
        labels: list[int | float] = []
        sources: dict[str, tuple[list[int], list[str], list[float], list[float]]] = {}
        for row, clip in enumerate(clips):
            names.append(clip.name)
            groups.append(clip.group)
            labels.append(clip.label)
            for modality, source in clip.sources.items():
                rows, paths, begins, ends = sources.setdefault(modality, ([], [], [], []))
                rows.append(row)
                paths.append(str(source.path))
                begins.append(source.begin)
                ends.append(np.nan if source.end is None else source.end)
        if len(set(names)) < len(names):
            raise ValueError(f"two clips have the same name, {_first_repeated(names)}")
        self.labels = np.array(labels)
        self.groups = _Strings(groups)
        self._names = _Strings(names)
        self._sources = {
            modality: _Sources(len(names), *columns) for modality, columns in sources.items()
        }

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, row: int) -> Clip: ...
    @overload
    def __getitem__(self, row: slice) -> "list[Clip]": ...
    def __getitem__(self, row: int | slice) -> "Clip | list[Clip]":
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        sources = {
            modality: source
            for modality, column in self._sources.items()
            if (source := column.get(row)) is not None
        }
        return Clip(self._names[row], self.labels[row].item(), self.groups[row], sources)

    def __iter__(self) -> Iterator[Clip]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: Iterable[int]) -> "ClipTable":
        """Return a table of some rows."""
        return ClipTable(self[int(row)] for row in rows)


class _Sources:
    """One modality's sources, by row of the table."""

    def __init__(
        self, length: int, rows: list[int], paths: list[str], begins: list[float], ends: list[float]
    ) -> None:
        self._place: NDArray[np.int32] = np.full(length, -1, dtype=np.int32)
        self._place[rows] = np.arange(len(rows))
        self._paths = _Strings(paths)
        self._begins, self._ends = np.array(begins), np.array(ends)

    def get(self, row: int) -> Source | None:
        place = int(self._place[row])
        if place < 0:
            return None
        end = float(self._ends[place])
        return Source(
            Path(self._paths[place]), float(self._begins[place]), None if np.isnan(end) else end
        )


def _first_repeated(names: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
