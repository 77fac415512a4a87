"""Making the training cache."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datamodules.cache import CACHE_COLUMNS, CACHE_NAME, CacheNames, Kind
from datamodules.decode import read_video
from datamodules.in_parallel import in_parallel
from datamodules.index_writer import file_stamp, record_errors
from datamodules.media import MediaError, MediaInfo, open_media, video_stream
from datamodules.media_check import reason_of
from datamodules.media_index import Track
from datamodules.packed_frames import encode_frames, write_packed
from datamodules.packed_sound import decode_sound, write_sound
from datamodules.resumable_csv import ResumableCSV

#: Frames decoded at once: they are held in memory as they come from the file.
_CHUNK = 64
#: Files that the estimate encodes a part of.
_SAMPLE = 16


@dataclass(frozen=True)
class Job:
    """One file of the cache that is to be made.

    Attributes:
        name: of the file, in the cache's folder.
        source: the media file.
        kind: what of it.
        info: what its header says.
    """

    name: str
    source: Path
    kind: Kind
    info: MediaInfo


@dataclass(frozen=True)
class Estimate:
    """What making the cache will take.

    Attributes:
        files: how many files are to be made.
        done: how many are there already.
        bytes: about how large those to be made will be.
        free: how many bytes the disk has left.
    """

    files: int
    done: int
    bytes: int
    free: int


class CacheWriter:
    """Makes the files of a cache that are not there yet.

    Each is written under another name and renamed when it is whole. The list of files, without
    which the cache is not read, is written last.

    Args:
        folder: of the cache; made if it is not there.
        root: of the media files.
        sources: the media files by what of them is wanted, with what their headers say.
        short_side: of the frames, in pixels; those of smaller files stay as they are.
        sample_rate: of the sound.
        index: the media index, where what turns out to be broken is written down.

    Raises:
        OSError: when the folder cannot be made.
        ValueError: when it holds a cache of other settings.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        sources: Mapping[Kind, Mapping[Path, MediaInfo]],
        short_side: int = 128,
        sample_rate: int = 16_000,
        index: Path | None = None,
    ) -> None:
        if short_side < 1:
            raise ValueError(f"short_side: must be at least 1, got {short_side}")
        self.folder = folder
        self._root = root
        self._index = index
        self._settings: dict[Kind, int] = {"frames": short_side, "sound": sample_rate}
        names = CacheNames(folder, root)
        jobs = [
            Job(names.name(path, kind), path, kind, info)
            for kind, infos in sources.items()
            for path, info in infos.items()
        ]
        folder.mkdir(parents=True, exist_ok=True)
        rows = ResumableCSV(folder / CACHE_NAME, CACHE_COLUMNS).load()
        self._todo = [job for job in jobs if not self._is_done(job, rows.get(job.name))]
        self._done = len(jobs) - len(self._todo)

    def estimate(self) -> Estimate:
        """Encode parts of some files, without writing them, and reckon from their size.

        Raises:
            MediaError: when none of the parts decodes.
        """
        total = 0.0
        frames = [job for job in self._todo if job.kind == "frames"]
        size, count = 0, 0
        error: MediaError | None = None
        for job in frames[:: max(1, len(frames) // _SAMPLE)]:
            begin = max(0, job.info.frames - _CHUNK) // 2
            try:
                images = encode_frames(
                    read_video(job.source, begin, _chunk(job, begin), size=self._size(job.source))
                )
            except MediaError as raised:
                error = raised
                continue
            size, count = size + sum(map(len, images)), count + len(images)
        if error is not None and not count:
            raise error
        total += size / max(1, count) * sum(job.info.frames for job in frames)
        seconds = sum(job.info.audio_seconds for job in self._todo if job.kind == "sound")
        total += 4 * seconds * self._settings["sound"]
        free = shutil.disk_usage(self.folder).free
        return Estimate(len(self._todo), self._done, round(total), free)

    def write(self, threads: int | None = None) -> dict[Path, str]:
        """Make the files, with a progress bar.

        Args:
            threads: files made at once; None: as many as there are cores.

        Returns:
            The media files of which something turned out not to decode, with the reason.

        Raises:
            OSError: when the disk is full or cannot be written to; what is made stays.
        """
        errors: dict[tuple[Path, Track], str] = {}
        with ResumableCSV(self.folder / CACHE_NAME, CACHE_COLUMNS) as table:
            done = in_parallel(self._make, self._todo, "Caching", len(self._todo), threads)
            for job, made in done:
                if isinstance(made, MediaError):
                    track: Track = "video" if job.kind == "frames" else "audio"
                    errors[job.source, track] = reason_of(job.source, made)
                else:
                    table.add(made)
            table.finish()
        if errors and self._index:
            record_errors(self._index, self._root, errors)
        return {path: reason for (path, _), reason in errors.items()}

    def _is_done(self, job: Job, row: dict[str, str] | None) -> bool:
        if row is None:
            return False
        setting = self._settings[job.kind]
        if int(row["setting"]) != setting:
            raise ValueError(
                f"cache: {self.folder} was made with {row['setting']} for the {job.kind} (short "
                f"side or samples a second), not {setting}; give another folder, or delete it"
            )
        stamp = (int(row["source_size"]), int(row["source_mtime_ns"]))
        made = file_stamp(self.folder / job.name)[0]
        return stamp == file_stamp(job.source) and made == int(row["bytes"])

    def _make(self, job: Job) -> tuple[Job, dict[str, object] | MediaError]:
        size, mtime_ns = file_stamp(job.source)
        path = self.folder / job.name
        unfinished = path.with_name(f"{path.name}.unfinished")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            written = {"frames": self._write_frames, "sound": self._write_sound}[job.kind](
                job, unfinished
            )
        except MediaError as error:
            unfinished.unlink(missing_ok=True)
            return job, error
        unfinished.replace(path)
        return job, {
            "name": job.name,
            "source_size": size,
            "source_mtime_ns": mtime_ns,
            "setting": self._settings[job.kind],
            "bytes": written,
        }

    def _write_frames(self, job: Job, path: Path) -> int:
        size = self._size(job.source)
        images = (
            image
            for begin in range(0, job.info.frames, _CHUNK)
            for image in encode_frames(read_video(job.source, begin, _chunk(job, begin), size=size))
        )
        return write_packed(path, images, size)

    def _write_sound(self, job: Job, path: Path) -> int:
        rate = self._settings["sound"]
        return write_sound(path, *decode_sound(job.source, rate), rate)

    def _size(self, path: Path) -> tuple[int, int]:
        with open_media(path) as container:
            stream = video_stream(container, path)
            height, width = stream.height, stream.width
        scale = min(1.0, self._settings["frames"] / min(height, width))
        return round(height * scale), round(width * scale)


def _chunk(job: Job, begin: int) -> int:
    return min(_CHUNK, job.info.frames - begin)
