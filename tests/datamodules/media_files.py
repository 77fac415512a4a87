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


def moving_picture(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """(H, W, 3) uint8: a texture that moves, so that frames refer to each other, in some noise."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    channels = [columns * 3 + number * 5, rows * 4 + number * 3, rows + columns + number * 7]
    noise = np.random.default_rng(number).integers(0, 40, (*size, 3))
    return ((np.stack(channels, -1) + noise) % 256).astype(np.uint8)


def write_video(
    path: Path,
    codec: str,
    frames: int = 48,
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    size: tuple[int, int] = (48, 64),
    pix_fmt: str = "yuv420p",
) -> Path:
    """Encode moving pictures.

    Args:
        path: where to; the suffix decides on the container.
        codec: FFmpeg's name of the encoder.
        frames: number of frames.
        options: of the encoder.
        times: of the frames in milliseconds; None: 25 frames a second from 0 on.
        size: (height, width).
        pix_fmt: of the encoded frames.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FRAME_RATE, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(moving_picture(number, size), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, FRAME_RATE) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(
    path: Path,
    wave: np.ndarray,
    rate: int = SAMPLE_RATE,
    codec: str = "pcm_s16le",
    layout: str = "mono",
) -> Path:
    """Encode sound.

    Args:
        path: where to; the suffix decides on the container.
        wave: (channels, L) in [-1, 1].
        rate: samples a second.
        codec: FFmpeg's name of the encoder.
        layout: of the channels: mono, stereo, 5.1.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        converter = av.AudioResampler(stream.codec_context.format.name, layout, rate)
        for place in range(0, wave.shape[1], 1_024):
            part = np.ascontiguousarray(wave[:, place : place + 1_024], np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, place, Fraction(1, rate)
            for converted in converter.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode())
    return path


def hide_beginning(source: Path, target: Path, seconds: float) -> Path:
    """Copy a video into an MP4 whose edit list hides its beginning."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as cut:
        stream = cut.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                shift = int(seconds / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                cut.mux(packet)
    return target


def pack_bitstream(source: Path, target: Path) -> Path:
    """Copy an MPEG-4 AVI with B-frames as DivX and XviD write it.

    The frame after each one shown later goes into that one's packet; where the last frame of a
    packet's run would have stood is a placeholder of a few bytes.
    """
    start = b"\0\0\1\xb6"
    with av.open(str(source)) as whole:
        coded = [bytes(packet) for packet in whole.demux(video=0) if packet.size]
    is_b = [data[data.index(start) + 4] >> 6 == 2 for data in coded] + [False]
    head = coded[0].index(start)
    coded[0] = coded[0][:head] + b"\0\0\1\xb2DivX503b1393p" + coded[0][head:]
    # A predicted frame with the "coded" bit off; 25 frames a second take 5 bits of time.
    placeholder = start + bytes([0b01010000, 0b01001111])
    packets: list[bytes] = []
    number = 0
    while number < len(coded):
        if is_b[number + 1] and not is_b[number]:
            packets.append(coded[number] + coded[number + 1])
            number += 2
            while is_b[number]:
                packets.append(coded[number])
                number += 1
            packets.append(placeholder)
        else:
            packets.append(coded[number])
            number += 1
    with av.open(str(source)) as whole, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        for place, data in enumerate(packets):
            packet = av.Packet(data)
            packet.pts = packet.dts = place
            packet.time_base = Fraction(1, FRAME_RATE)
            packet.is_keyframe = data[data.index(start) + 4] >> 6 == 0
            packet.stream = stream
            out.mux(packet)
    return target
