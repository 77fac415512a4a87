"""The datasets of clips: a random view of each in training, fixed windows in evaluation."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.clip_format import ClipFormat
from datamodules.clip_table import ClipTable
from datamodules.collate import Sample
from datamodules.corrupt import CorruptClips
from datamodules.media import MediaError
from datamodules.readers import Reader
from datamodules.sampler import sample_rng
from datamodules.views import (
    CLOCK,
    Timeline,
    View,
    middle_view,
    random_view,
    view_at,
    window_starts,
)


class ClipReader:
    """Makes samples of clips: every modality that is asked for, of the same view.

    Args:
        table: the clips; a sample's ``index`` is its row.
        readers: by modality; the first that has a timeline says how long a clip is.
        form: what a sample holds.
    """

    def __init__(self, table: ClipTable, readers: Mapping[str, Reader], form: ClipFormat) -> None:
        self.table = table
        self.readers = dict(readers)
        self.form = form
        self._kept: dict[str, NDArray[np.bool_]] = {}

    def keep_only(self, kept: Mapping[str, NDArray[np.bool_]]) -> None:
        """Make modality ``m`` of row ``i`` absent where ``kept[m][i]`` is False; not even read."""
        self._kept = dict(kept)

    def timeline(self, row: int) -> Timeline:
        """Return a clip's length.

        Raises:
            MediaError: for a file that does not open, or a segment outside its file.
        """
        clip = self.table[row]
        for reader in self.readers.values():
            timeline = reader.timeline(clip)
            if timeline is not None:
                return timeline
        return Timeline(1, CLOCK)  # nothing that passes in time: stored features, text

    def read(self, row: int, view: View) -> Sample:
        """Return a sample.

        Raises:
            MediaError: for a file that does not decode.
        """
        clip = self.table[row]
        sample: Sample = {"label": clip.label, "index": row, "present": {}}
        for modality, reader in self.readers.items():
            kept = modality not in self._kept or self._kept[modality][row]
            value = reader.read(clip, view) if kept else None
            sample["present"][modality] = value is not None
            sample[modality] = reader.blank() if value is None else value
            if reader.is_sequence:
                sample.setdefault("length", {})[modality] = len(sample[modality])
        return sample

    def timelines(self) -> list[Timeline]:
        """Return the length of every clip.

        Raises:
            MediaError: for the first file that does not open.
        """
        # Over a network file system opening a file is mostly waiting.
        with ThreadPoolExecutor(max_workers=8) as pool:
            rows = iter(range(len(self.table)))
            timelines: list[Timeline] = []
            while chunk := list(islice(rows, 1_000)):  # map() would queue every row at once
                timelines += pool.map(self.timeline, chunk)
            return timelines


class Clips:
    """A sample a clip: ``clips[index, epoch]`` is a random view, ``clips[index]`` the middle one.

    Args:
        reader: makes the samples.
        corrupt: what to do about a clip that cannot be read.
        seed: seed of the views.
    """

    def __init__(self, reader: ClipReader, corrupt: CorruptClips, seed: int = 0) -> None:
        self.reader = reader
        self.corrupt = corrupt
        self.seed = seed

    def __len__(self) -> int:
        return len(self.reader.table)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        if not isinstance(key, tuple):
            return self.reader.read(key, middle_view(self.reader.timeline(key), self.reader.form))
        index, epoch = key
        rng = sample_rng(self.seed, epoch, index)
        while True:
            try:
                view = random_view(self.reader.timeline(index), self.reader.form, rng)
                return self.reader.read(index, view)
            except MediaError as error:
                self.corrupt.add(error)
                index = int(rng.integers(len(self)))

    def all_labels(self) -> NDArray[Any]:
        """Return the labels of all clips (N,)."""
        return self.reader.table.labels

    def keep_only(self, kept: Mapping[str, NDArray[np.bool_]]) -> None:
        """See ``ClipReader.keep_only``."""
        self.reader.keep_only(kept)

    def end_epoch(self) -> None:
        """Report the corrupt clips of the epoch."""
        self.corrupt.report()


class ClipWindows:
    """A sample a window: clips at fixed windows, for evaluation.

    The windows of a clip share its ``index``; ``window`` is their number in it. Whoever scores
    them takes the mean over a clip's windows.

    Args:
        reader: makes the samples.
        stride: frames from one window to the next; None: the middle window alone.
        max_windows: most windows of a clip, evenly spaced; None: all.

    Raises:
        MediaError: for a file that does not open; the lengths have to be known beforehand.
    """

    def __init__(
        self, reader: ClipReader, stride: int | None = None, max_windows: int | None = None
    ) -> None:
        self.reader = reader
        form, rows = reader.form, range(len(reader.table))
        if stride is None:
            starts = [[-1] for _ in rows]
        else:
            starts = [
                list(window_starts(timeline.frames, form.span, stride, max_windows))
                for timeline in reader.timelines()
            ]
        counts = np.array([len(one) for one in starts], dtype=np.int64)
        self._row = np.repeat(np.arange(len(counts)), counts)
        self._start = np.array([start for one in starts for start in one], dtype=np.int32)
        self._window = np.arange(len(self._row)) - np.repeat(np.cumsum(counts) - counts, counts)

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        place = key[0] if isinstance(key, tuple) else key
        row, start = int(self._row[place]), int(self._start[place])
        timeline, form = self.reader.timeline(row), self.reader.form
        view = middle_view(timeline, form) if start < 0 else view_at(timeline, form, start)
        return self.reader.read(row, view) | {"window": int(self._window[place])}

    def all_labels(self) -> NDArray[Any]:
        """Return the labels of all windows (N,)."""
        labels: NDArray[Any] = self.reader.table.labels[self._row]
        return labels

    def keep_only(self, kept: Mapping[str, NDArray[np.bool_]]) -> None:
        """See ``ClipReader.keep_only``."""
        self.reader.keep_only(kept)
