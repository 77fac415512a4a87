"""The training cache: frames and sound in files from which any window is read at once.

`cmkd prepare --cache` makes it. Frames are JPEG images with a shortened side, sound is plain
samples. The numbers of the frames, their rate and the clock of the sound stay those of the media
files, so that training sees the same windows with and without the cache. Still images come from
the media files: they are larger than the frames of the cache.

Why JPEG, measured by `experiments/benchmarks/cache.py` on real clips of UCF101 at 128x171, windows
of 16 frames in a loader's worker (bytes a frame; milliseconds a window, of which the clips
themselves take 2,778 and 7.1):

* H.264, a key frame in 8: 1,167; 2.4. All of them key frames: 2,014; 3.0. Small, but the codec
  and its container cost more than the pixels.
* JPEG images behind each other, at this quality (35 dB): 3,431; 1.4. In an MJPEG container: 2.1.
* Raw pixels: 65,664; 0.1. Fastest from memory, but 24 times the clips' size does not stay there.

So training reads 4 to 5 times as many clips a second as from the clips themselves, 6 times where
they come with sound, from 1.2 times the room.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from datamodules.cached_readers import CachedAudio, CachedVideo
from datamodules.clip_format import ClipFormat
from datamodules.file_keys import FileKeys, KeyTable
from datamodules.readers import AudioReader, Reader, VideoReader
from datamodules.resumable_csv import read_table

#: The list of its files, in its folder.
CACHE_NAME = "cmkd_cache.csv"
#: ``setting`` is the short side of frames, or the rate of sound.
CACHE_COLUMNS = ["name", "source_size", "source_mtime_ns", "setting", "bytes"]

Kind = Literal["frames", "sound"]
SUFFIXES: dict[Kind, str] = {"frames": ".mjpeg", "sound": ".f32"}


def cached_kind(reader: Reader) -> Kind | None:
    """Return what of a reader's files the cache holds, None where it is nothing."""
    if isinstance(reader, AudioReader):
        return "sound"
    # Not its subclasses: a still image is larger than the frames in the cache.
    return "frames" if type(reader) in (VideoReader, CachedVideo) else None


class CacheNames:
    """Names the files of a cache.

    Args:
        folder: of the cache.
        root: of the media files.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._keys = FileKeys(root)

    def name(self, path: Path, kind: Kind) -> str:
        """Return the name of a media file's frames or sound, relative to the cache's folder."""
        key = self._keys.key(path)
        if key.startswith(os.sep) or ".." in key:
            key = f"elsewhere/{key.replace('..', '__').lstrip(os.sep)}"
        return f"{key}{SUFFIXES[kind]}"


class ClipCache:
    """Gives readers that take what they can from the cache.

    Args:
        folder: of the cache.
        root: of the media files.
        form: what samples hold.

    Raises:
        FileNotFoundError: when there is no whole cache.
        ValueError: when it is damaged, or too small or of another rate than the samples need.
    """

    def __init__(self, folder: Path, root: Path, form: ClipFormat) -> None:
        path = folder / CACHE_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"cache: {folder} holds no cache that is whole ({CACHE_NAME} is not there); make "
                f"or finish it with `cmkd prepare ... --cache {folder}`"
            )
        self.folder = folder
        self._names = CacheNames(folder, root)
        names, sizes, settings = [], [], dict[str, int]()
        for row in read_table(path, CACHE_COLUMNS):
            names.append(row["name"])
            sizes.append(int(row["source_size"]))
            settings[Path(row["name"]).suffix] = int(row["setting"])
        self._table = KeyTable(names)
        self._sizes = np.array(sizes, dtype=np.int64)
        self._check_settings(settings, form)

    def readers(
        self, readers: Mapping[str, Reader], files: Mapping[str, Iterable[Path]]
    ) -> dict[str, Reader]:
        """Replace the readers of frames and sound by those that read the cache.

        Args:
            readers: by modality.
            files: the media files that each of them will read.

        Raises:
            ValueError: when one of the files is not in the cache, or has changed since.
        """
        replaced = dict(readers)
        for name, reader in readers.items():
            kind = cached_kind(reader)
            if kind == "frames" and isinstance(reader, VideoReader):
                self._check(files[name], kind)
                replaced[name] = CachedVideo(reader, self._find_frames)
            elif kind == "sound" and isinstance(reader, AudioReader):
                sounding = (path for path in files[name] if reader.probe(path).has_audio)
                self._check(sounding, kind)
                replaced[name] = CachedAudio(reader, self._find_sound)
        return replaced

    def _find_frames(self, path: Path) -> str:
        return f"{self.folder}/{self._names.name(path, 'frames')}"

    def _find_sound(self, path: Path) -> str:
        return f"{self.folder}/{self._names.name(path, 'sound')}"

    def _check(self, files: Iterable[Path], kind: Kind) -> None:
        unfit = [path for path in dict.fromkeys(files) if not self._holds(path, kind)]
        if unfit:
            raise ValueError(
                f"cache: the {kind} of {len(unfit)} files, the first is {unfit[0]}, are not in "
                f"{self.folder}, or the files have changed since; finish it with `cmkd prepare ... "
                f"--cache {self.folder}`"
            )

    def _holds(self, path: Path, kind: Kind) -> bool:
        row = self._table.row(self._names.name(path, kind))
        return row is not None and path.stat().st_size == self._sizes[row]

    def _check_settings(self, settings: Mapping[str, int], form: ClipFormat) -> None:
        side = settings.get(SUFFIXES["frames"])
        if side is not None and side < min(form.resize):
            raise ValueError(
                f"cache: the frames in {self.folder} have a short side of {side}, less than resize "
                f"{tuple(form.resize)}; make resize smaller, or another cache with --short_side "
                f"{min(form.resize)}"
            )
        rate = settings.get(SUFFIXES["sound"])
        if rate is not None and rate != form.sample_rate:
            raise ValueError(
                f"cache: the sound in {self.folder} has {rate} samples a second, sample_rate is "
                f"{form.sample_rate}; set it to {rate}, or make another cache"
            )
