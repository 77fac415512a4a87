"""Writes tiny real media files, so that the tests decode what users decode."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FRAME_RATE = 25
SAMPLE_RATE = 16_000

Colour = tuple[int, int, int]


def grey_ramp(frame: int) -> Colour:
    """A colour that tells each frame from its neighbours."""
    level = 30 + 7 * (frame % 30)
    return (level, level, level)


def write_clip(
    path: Path,
    frames: int = 20,
    colour: Callable[[int], Colour] = grey_ramp,
    tone: Callable[[np.ndarray], np.ndarray] | None = lambda t: 0.5 * np.sin(2 * np.pi * 440 * t),
    size: tuple[int, int] = (48, 64),
    frame_rate: int = FRAME_RATE,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode plain-coloured frames and a tone of the same length.

    MP4 files get H.264 and AAC, AVI files MPEG-4 and MP3, as real clips have.

    Args:
        path: where to; the suffix decides on the codecs.
        frames: number of frames.
        colour: RGB by frame number.
        tone: the wave form by time in seconds, None for a file without an audio track.
        size: (height, width).
        frame_rate: frames a second.
        options: of the container, ``{"movflags": "faststart"}`` for one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    video_codec, audio_codec = {".mp4": ("libx264", "aac"), ".avi": ("mpeg4", "mp3")}[path.suffix]
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream(video_codec, rate=frame_rate)
        video.height, video.width, video.pix_fmt = *size, "yuv420p"
        video.codec_context.thread_count = 1
        audio = None
        if tone is not None:
            audio = container.add_stream(audio_codec, rate=SAMPLE_RATE)
            audio.layout = "mono"
        for number in range(frames):
            image = np.broadcast_to(np.array(colour(number), np.uint8), (*size, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, frame_rate)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if tone is not None:
            times = np.arange(round(frames / frame_rate * SAMPLE_RATE)) / SAMPLE_RATE
            wave = tone(times).astype(np.float32)[None]
            sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            sound.rate, sound.pts, sound.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(sound))
            container.mux(audio.encode())
    return path


def write_ucf_layout(
    folder: Path,
    classes: Sequence[str] = ("Archery", "Bowling", "Diving"),
    train_groups: int = 4,
    suffix: str = ".mp4",
    silent: Sequence[str] = (),
) -> tuple[Path, Path]:
    """Write clips and official list files: test groups 1 and 2, training groups from 3 on.

    Args:
        folder: where to.
        classes: names, in the order of the class index.
        train_groups: training groups a class, two clips each.
        suffix: of the files; the lists say .avi.
        silent: classes whose clips have no audio track.

    Returns:
        The root and the list folder.
    """
    root, lists = folder / "clips", folder / "lists"
    lists.mkdir(parents=True)
    train, test = [], []
    for label, name in enumerate(classes, start=1):
        for group in range(1, train_groups + 3):
            for clip in (1, 2) if group > 2 else (1,):
                stem = f"v_{name}_g{group:02d}_c{clip:02d}"
                tone = {} if name not in silent else {"tone": None}
                write_clip(root / name / f"{stem}{suffix}", **tone)
                line = f"{name}/{stem}.avi"
                (test if group <= 2 else train).append((line, label))
    (lists / "classInd.txt").write_text(
        "".join(f"{label} {name}\n" for label, name in enumerate(classes, start=1))
    )
    (lists / "trainlist01.txt").write_text("".join(f"{line} {label}\n" for line, label in train))
    (lists / "testlist01.txt").write_text("".join(f"{line}\n" for line, _ in test))
    return root, lists
