"""The clips of a dataset as a table that stays small in memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


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
        self._store([string.encode("utf-8", "surrogateescape") for string in strings])

    def _store(self, encoded: list[bytes]) -> None:
        self._ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Strings)
            and np.array_equal(self._ends, other._ends)
            and np.array_equal(self._bytes, other._bytes)
        )

    __hash__ = None  # type: ignore[assignment]

    def take(self, rows: Rows) -> "_Strings":
        """Return some of them."""
        taken = _Strings(())
        taken._store([self._encoded(row) for row in rows.tolist()])
        return taken

    def _encoded(self, row: int) -> bytes:
        begin = 0 if row == 0 else int(self._ends[row - 1])
        return self._bytes[begin : int(self._ends[row])].tobytes()

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "list[str]": ...
    def __getitem__(self, row: int | slice) -> "str | list[str]":
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        return self._encoded(range(len(self))[row]).decode("utf-8", "surrogateescape")


class ClipTable(Sequence[Clip]):
    """Clips in columns, about 150 bytes each; ``table[i]`` makes one.

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
        columns: dict[str, tuple[list[int], list[str], list[float], list[float]]] = {}
        for row, clip in enumerate(clips):
            names.append(clip.name)
            groups.append(clip.group)
            labels.append(clip.label)
            for modality, source in clip.sources.items():
                rows, paths, begins, ends = columns.setdefault(modality, ([], [], [], []))
                rows.append(row)
                paths.append(str(source.path))
                begins.append(source.begin)
                ends.append(np.nan if source.end is None else source.end)
        if len(set(names)) < len(names):
            raise ValueError(f"two clips have the same name, {_first_repeated(names)}")
        self.labels = np.array(labels)
        self.groups = _Strings(groups)
        self._names = _Strings(names)
        self._sources: dict[str, _Sources] = {}
        for modality, (rows, paths, begins, ends) in columns.items():
            made = _Sources.of(len(names), rows, paths, begins, ends)
            # A video file is the source of several modalities: once is enough.
            same = (one for one in self._sources.values() if one == made)
            self._sources[modality] = next(same, made)

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

    def take(self, rows: Rows) -> "ClipTable":
        """Return a table of some rows."""
        taken = ClipTable(())
        taken.labels = self.labels[rows]
        taken.groups = self.groups.take(rows)
        taken._names = self._names.take(rows)
        different = {id(sources): sources.take(rows) for sources in self._sources.values()}
        taken._sources = {name: different[id(one)] for name, one in self._sources.items()}
        return taken


@dataclass(eq=False)
class _Sources:
    """One modality's sources: where each row's stands among them, -1 for none."""

    place: NDArray[np.int32]
    paths: _Strings
    begins: NDArray[np.float64]
    ends: NDArray[np.float64]

    @staticmethod
    def of(
        length: int, rows: list[int], paths: list[str], begins: list[float], ends: list[float]
    ) -> "_Sources":
        place: NDArray[np.int32] = np.full(length, -1, dtype=np.int32)
        place[rows] = np.arange(len(rows))
        return _Sources(place, _Strings(paths), np.array(begins), np.array(ends))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Sources)
            and np.array_equal(self.place, other.place)
            and self.paths == other.paths
            and np.array_equal(self.begins, other.begins)
            and np.array_equal(self.ends, other.ends, equal_nan=True)
        )

    def get(self, row: int) -> Source | None:
        place = int(self.place[row])
        if place < 0:
            return None
        end = float(self.ends[place])
        return Source(
            Path(self.paths[place]), float(self.begins[place]), None if np.isnan(end) else end
        )

    def take(self, rows: Rows) -> "_Sources":
        places = self.place[rows]
        there = places >= 0
        kept = places[there].astype(np.int64)
        place: NDArray[np.int32] = np.full(len(rows), -1, dtype=np.int32)
        place[there] = np.arange(len(kept))
        return _Sources(place, self.paths.take(kept), self.begins[kept], self.ends[kept])


def _first_repeated(names: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
