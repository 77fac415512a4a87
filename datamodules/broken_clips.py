"""Clips whose files the media index says are broken."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.clip_table import ClipTable
from datamodules.corrupt import Policy
from datamodules.media import MediaError
from datamodules.media_index import MediaIndex, Track
from datamodules.readers import AudioReader, Reader, VideoReader


def media_track(reader: Reader) -> Track | None:
    """Return what of media files a reader reads, None where it reads other files."""
    if isinstance(reader, AudioReader):
        return "audio"
    return "video" if isinstance(reader, VideoReader) else None


def source_files(table: ClipTable, modality: str) -> Iterator[Path]:
    """Return the files of a modality, clip by clip; clips of one recording may share one."""
    for clip in table:
        if modality in clip.sources:
            yield clip.sources[modality].path


def without_broken(
    table: ClipTable, readers: Mapping[str, Reader], index: MediaIndex, policy: Policy, what: str
) -> ClipTable:
    """Return the clips of which every file that will be read is whole.

    Args:
        table: the clips.
        readers: by modality, those that will read them.
        index: says which files are broken.
        policy: whether a broken file is an ``error``, or its clip is left out with a warning.
        what: names the clips in messages.

    Raises:
        MediaError: for broken files, if they are an error.
    """
    if index.is_clean:
        return table
    tracks = {name: track for name, reader in readers.items() if (track := media_track(reader))}
    whole, broken = [], list[tuple[Path, str]]()
    for row, clip in enumerate(table):
        for name, track in tracks.items():
            source = clip.sources.get(name)
            if source is not None and (reason := index.error(source.path, track)):
                broken.append((source.path, reason))
                break
        else:
            whole.append(row)
    if not broken:
        return table
    path, reason = broken[0]
    found = (
        f"{what}: {len(broken)} of {len(table)} clips cannot be read, the first is of {path} "
        f"({reason}); all broken files are listed in {index.path}"
    )
    if policy == "error":
        raise MediaError(
            f"{found}. Replace them and run `cmkd prepare` again, or leave them out by "
            "on_corrupt: skip"
        )
    rank_zero_warn(f"{found}. They are left out")
    return table.take(np.array(whole, dtype=np.int64))
