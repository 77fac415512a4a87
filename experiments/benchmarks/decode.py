"""How fast a window of a clip is decoded, as ratios measured in one run.

python experiments/benchmarks/decode.py --data /data/with/ucf101_clips

A window of 16 frames at a random place, by `read_video`; by PyAV, decoding the whole clip and
converting the slice; and by TorchCodec where it imports (it needs FFmpeg's libraries). One thread
each, in turn for every window. The frames are compared while measuring: those of `read_video` must
equal the slice. Then the same for a second of audio.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from datamodules.decode import read_audio, read_video
from datamodules.media import MediaError, probe

FRAMES = 16
LONG_SECONDS = 60
FRAME_RATE = 25
SIZE = (240, 320)
SAMPLE_RATE = 16_000
#: Colour conversions differ by a few levels from one FFmpeg to the next, neighbouring frames more.
SAME_FRAME = 3.0

Window = tuple[Path, int]
Method = Callable[[Path, int], Tensor]


def ours(path: Path, start: int) -> Tensor:
    return read_video(path, start, FRAMES)


def ours_scaled(path: Path, start: int) -> Tensor:
    return read_video(path, start, FRAMES, size=(128, 171))


def decode_whole(path: Path, start: int) -> list[av.VideoFrame]:
    with av.open(str(path), metadata_errors="ignore") as container:
        frames = enumerate(container.decode(video=0))
        return [frame for number, frame in frames if start <= number < start + FRAMES]


def whole_clip(path: Path, start: int) -> Tensor:
    frames = decode_whole(path, start)
    return torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in frames]))


def whole_clip_scaled(path: Path, start: int) -> Tensor:
    arrays = []
    for frame in decode_whole(path, start):
        scaled = frame.reformat(171, 128, format="rgb24", interpolation="BILINEAR")
        arrays.append(scaled.to_ndarray())
    return torch.from_numpy(np.stack(arrays))


def torchcodec_methods() -> tuple[dict[str, Method], str]:
    """Return TorchCodec's two ways to seek, or none of them and why."""
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:
        return {}, f"TorchCodec is left out, it does not import: {str(error).splitlines()[0]}"

    def decode(path: Path, start: int, mode: str) -> Tensor:
        options: dict[str, Any] = {"num_ffmpeg_threads": 1, "dimension_order": "NHWC"}
        decoder = VideoDecoder(str(path), seek_mode=mode, **options)
        return decoder.get_frames_in_range(start, start + FRAMES).data

    return {
        "TorchCodec, exact": lambda path, start: decode(path, start, "exact"),
        "TorchCodec, approximate": lambda path, start: decode(path, start, "approximate"),
    }, ""


def audio(path: Path, start: int, samples: int) -> Tensor:
    window = read_audio(path, probe(path).start + start / SAMPLE_RATE, samples, SAMPLE_RATE)
    if window is None:
        raise ValueError(f"{path}: no audio track")
    return window


def our_audio(path: Path, start: int) -> Tensor:
    return audio(path, start, SAMPLE_RATE)


def whole_track(path: Path, start: int) -> Tensor:
    return audio(path, 0, LONG_SECONDS * SAMPLE_RATE)[:, start : start + SAMPLE_RATE]


def write_long_clip(path: Path, gop: int) -> Path:
    """Encode a minute of a moving texture as H.264 with B-frames."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    grain = np.random.default_rng(0).integers(0, 24, (*SIZE, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"g": str(gop)})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(LONG_SECONDS * FRAME_RATE):
            waves = [np.sin((rows * a + columns * b + number * 4) / 30) for a, b in
                     ((1, 2), (2, -1), (-1, 1))]  # fmt: skip
            image = (100 + 70 * np.stack(waves, -1) + np.roll(grain, number, 1)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_long_track(path: Path, codec: str) -> Path:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, LONG_SECONDS * 44_100))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100, layout="mono")
        converter = av.AudioResampler(stream.codec_context.format.name, "mono", 44_100)
        for place in range(0, wave.shape[1], 1_024):
            part = np.ascontiguousarray(wave[:, place : place + 1_024], np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, place, Fraction(1, 44_100)
            for converted in converter.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode())
    return path


def random_windows(paths: Sequence[Path], count: int, rng: np.random.Generator) -> list[Window]:
    # Two frames from the end: a few headers count one frame too many.
    last = {path: probe(path).frames - FRAMES - 2 for path in paths}
    return [(path, int(rng.integers(last[path] + 1))) for path in paths for _ in range(count)]


def compare(
    table: Table,
    name: str,
    windows: Sequence[Window],
    methods: dict[str, Method],
    rounds: int,
) -> None:
    """Time the methods, the first of them ours and the second the one that defines the result."""
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    wrong = dict.fromkeys(methods, 0)
    failed = dict.fromkeys(methods, 0)
    exact, reference, *_ = methods
    for turn in range(rounds):
        totals = dict.fromkeys(methods, 0.0)
        for path, start in windows:
            expected = methods[reference](path, start) if turn == 0 else None
            for method, read in methods.items():
                begin = time.process_time()
                try:
                    result = read(path, start)
                except (RuntimeError, IndexError, MediaError):
                    failed[method] += turn == 0
                    continue
                finally:
                    totals[method] += time.process_time() - begin
                if expected is None:
                    continue
                if method == exact and not torch.equal(result, expected):
                    raise RuntimeError(f"{path}: read_video gives other frames from {start} on")
                difference = (result.float() - expected.float()).abs().flatten(1).mean(1)
                wrong[method] += bool(difference.max() > SAME_FRAME)
        for method, total in totals.items():
            seconds[method].append(total)
    for method, totals_of_rounds in seconds.items():
        ratio = median(a / b for a, b in zip(totals_of_rounds, seconds[exact], strict=True))
        table.add_row(
            name if method == exact else "",
            method,
            f"{1000 * median(totals_of_rounds) / len(windows):.2f}",
            "" if method == exact else f"{ratio:.2f}",
            f"{wrong[method]}",
            f"{failed[method]}",
        )
    table.add_section()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("CMKD_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(default), help="has ucf101_clips/")
    parser.add_argument("--rounds", type=int, default=5, help="the median of them counts")
    parser.add_argument("--every", type=int, default=1, help="take every n-th clip")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    table = Table("files", "method", "ms a window", "read_video is faster by", "wrong", "failed")
    torchcodec, reason = torchcodec_methods()
    video: dict[str, Method] = {"read_video": ours, "whole clip, PyAV": whole_clip}
    scaled: dict[str, Method] = {"read_video": ours_scaled, "whole clip, PyAV": whole_clip_scaled}
    clips = sorted(options.data.glob("ucf101_clips/*/*.avi"))[:: options.every]
    if clips:
        windows = random_windows(clips, 1, rng)
        compare(table, f"{len(clips)} UCF101 clips", windows, video | torchcodec, options.rounds)
        compare(table, "the same at 128x171", windows, scaled, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        for gop in (250, 25):
            long = write_long_clip(Path(folder) / f"{gop}.mp4", gop)
            name = f"{LONG_SECONDS} s of H.264, key frame every {gop}"
            windows = random_windows([long], 8, rng)
            compare(table, name, windows, video | torchcodec, options.rounds)
        sound: dict[str, Method] = {"read_audio": our_audio, "whole track": whole_track}
        for suffix, codec in ((".wav", "pcm_s16le"), (".m4a", "aac")):
            track = write_long_track(Path(folder) / f"a{suffix}", codec)
            starts = rng.integers((LONG_SECONDS - 1) * SAMPLE_RATE, size=8)
            windows = [(track, int(start)) for start in starts]
            compare(table, f"{LONG_SECONDS} s of {codec}", windows, sound, options.rounds)
    console = Console()
    console.print(table)
    if not clips:
        console.print(f"UCF101 is left out: no clips under {options.data / 'ucf101_clips'}")
    if reason:
        console.print(reason)


if __name__ == "__main__":
    main()
