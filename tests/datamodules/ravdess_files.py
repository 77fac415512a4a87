"""Writes RAVDESS's layout with real encoded media, small."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.datamodules.digit_files import write_wav
from tests.datamodules.media_files import write_clip

SIZE = (32, 48)


def write_recording(folder: Path, name: str, kinds: Iterable[str] = ("02", "03")) -> None:
    """Write the files of one recording, ``VC-EE-II-SS-RR-AA``: full, video-only, audio-only."""
    actor = folder / f"Actor_{name[-2:]}"
    for kind in kinds:
        if kind == "03":
            tone = 0.5 * np.sin(2 * np.pi * 880 * np.arange(16_000) / 16_000)
            write_wav(actor / f"03-{name}.wav", tone, rate=16_000)
        else:
            silent = {"tone": None} if kind == "02" else {}
            write_clip(actor / f"{kind}-{name}.mp4", frames=20, size=SIZE, **silent)


def write_actors(
    folder: Path,
    actors: Iterable[int],
    emotions: Iterable[int] = (1, 5),
    channel: str = "01",
    kinds: Iterable[str] = ("02", "03"),
) -> Path:
    """Write one recording an actor and emotion."""
    for actor in actors:
        for emotion in emotions:
            name = f"{channel}-{emotion:02d}-01-01-01-{actor:02d}"
            write_recording(folder, name, kinds)
    return folder
