"""The training cache against the media files, and its format against others.

python experiments/benchmarks/cache.py [--root UCF101 --list_folder LISTS --rounds 7 --clips 24]

First the samples of one dataset class with and without the cache: 16 frames scaled to 128x171,
crops of 112, one process. Then what else a cache could hold, of a part of the clips.
"""

import math
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from clips import interleave, parse, quiet, ratios, show, ucf101
from torch import Tensor

from datamodules.decode import read_video
from datamodules.media import probe
from datamodules.packed_frames import QUANTISER, encode_frames, read_packed, write_packed

SIZE = (128, 171)
FRAMES = 16
Read = Callable[[Path, int], Tensor]


@dataclass(frozen=True)
class Format:
    """A way to keep frames.

    Attributes:
        suffix: of its files.
        write: writes (T, H, W, 3) uint8.
        read: returns the window that begins at a frame.
    """

    suffix: str
    write: Callable[[Path, Tensor], None]
    read: Read


def read_media(path: Path, start: int) -> Tensor:
    """Read as the datamodules read any media file."""
    return read_video(path, start, FRAMES, size=SIZE)


def read_padded(path: Path, start: int) -> Tensor:
    """Read frames that were padded to an even width; there is nothing to scale."""
    return read_video(path, start, FRAMES, size=(SIZE[0], SIZE[1] + 1))[:, :, : SIZE[1]]


def write_media(
    codec: str, pix_fmt: str, options: dict[str, str]
) -> Callable[[Path, Tensor], None]:
    """Return what encodes into a container, padded to even sides, as most codecs want them."""

    def write(path: Path, frames: Tensor) -> None:
        padded = np.pad(frames.numpy(), [(0, 0), (0, 0), (0, 1), (0, 0)], mode="edge")
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.height, stream.width = padded.shape[1:3]
            stream.pix_fmt = pix_fmt
            for number, pixels in enumerate(padded):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())

    return write


def x264(gop: int) -> Format:
    """H.264 whose key frames are ``gop`` frames apart."""
    options = {
        "g": str(gop),
        "bf": "0",
        "sc_threshold": "0",
        "crf": "20",
        "preset": "veryfast",
        "tune": "fastdecode",
    }
    return Format(".mp4", write_media("libx264", "yuv420p", options), read_padded)


def packed(quantiser: int) -> Format:
    """JPEG images end to end."""

    def write(path: Path, frames: Tensor) -> None:
        write_packed(path, encode_frames(frames, quantiser), SIZE)

    def read(path: Path, start: int) -> Tensor:
        return read_packed(path, start, FRAMES, size=SIZE).permute(1, 2, 3, 0)

    return Format(".mjpeg", write, read)


def read_raw(path: Path, start: int) -> Tensor:
    """Read pixels as they are."""
    with path.open("rb") as file:
        file.seek(start * math.prod(SIZE) * 3)
        content = file.read(FRAMES * math.prod(SIZE) * 3)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, *SIZE, 3)


FORMATS = {
    "H.264, all intra": x264(1),
    "H.264, a key frame in 8": x264(8),
    "MJPEG in MOV, q 5": Format(
        ".mov", write_media("mjpeg", "yuvj420p", {"qmin": "5", "qmax": "5"}), read_padded
    ),
    "packed JPEG, q 2": packed(2),
    "packed JPEG, q 3": packed(3),
    "packed JPEG, q 5 (the cache)": packed(QUANTISER),
    "packed JPEG, q 8": packed(8),
    "raw RGB": Format(".raw", lambda path, frames: frames.numpy().tofile(path), read_raw),
}


def compare_formats(files: list[Path], rounds: int, folder: Path) -> None:
    """Print size, closeness and time of every format."""
    infos = [probe(file) for file in files]
    rng = np.random.default_rng(0)
    starts = [int(rng.integers(max(1, info.frames - FRAMES))) for info in infos]
    written: dict[str, list[Path]] = {name: [] for name in FORMATS}
    closeness: dict[str, list[float]] = {name: [] for name in FORMATS}
    count = 0
    for number, (file, info) in enumerate(zip(files, infos, strict=True)):
        frames = read_video(file, 0, info.frames, size=SIZE).contiguous()
        count += len(frames)
        for place, (name, form) in enumerate(FORMATS.items()):
            path = folder / f"{place}_{number}{form.suffix}"
            form.write(path, frames)
            written[name].append(path)
            start = starts[number]
            error = form.read(path, start).float() - frames[start : start + FRAMES].float()
            closeness[name].append(
                10 * math.log10(255**2 / max(error.square().mean().item(), 1e-9))
            )
    ways: dict[str, Callable[[int], object]] = {
        "the media files": lambda item: read_media(files[item], starts[item])
    }
    for name, form in FORMATS.items():
        ways[name] = lambda item, name=name, form=form: form.read(written[name][item], starts[item])
    seconds = interleave(ways, len(files), rounds)
    original = sum(file.stat().st_size for file in files)
    rows = []
    for name in ways:
        paths = written.get(name, files)
        size = sum(path.stat().st_size for path in paths)
        rows.append(
            [
                name,
                f"{size / count:,.0f}",
                f"{size / original:.2f}",
                f"{min(99.0, statistics.mean(closeness[name])):.1f}" if name in closeness else "",
                f"{statistics.median(seconds[name]) / len(files) * 1e3:.2f}",
                ratios(seconds["the media files"], seconds[name]),
            ]
        )
    columns = [
        "format",
        "bytes a frame",
        "of the originals",
        "PSNR, dB",
        "ms a window",
        "times faster",
    ]
    show(f"Windows of 16 frames, 128x171, of {len(files)} clips, decoding only", columns, rows)


def main() -> None:
    """Measure and print."""
    options = parse(__doc__ or "", rounds=7, clips=24)
    quiet()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = ucf101(options, ["audio"], index=False)
        index = str(plain.write_index(folder / "index.csv").path)
        writer = ucf101(options, ["audio"], index=index).cache_writer(folder / "cache", 128)
        writer.write()
        rows = []
        for auxiliary in ([], ["audio"]):
            one, other = (
                ucf101(options, auxiliary, index=index, cache=cache).dataset("train")
                for cache in (None, str(folder / "cache"))
            )
            ways: dict[str, Callable[[int], object]] = {
                "media files": lambda item, data=one: data[item, 0],
                "cache": lambda item, data=other: data[item, 0],
            }
            interleave(ways, len(one), 1)  # what is read for the first time comes from the disk
            seconds = interleave(ways, len(one), options.rounds)
            for way, spent in seconds.items():
                rate = len(one) / statistics.median(spent)
                rows.append(
                    [
                        " and ".join(["video", *auxiliary]),
                        way,
                        f"{rate:.0f}",
                        ratios(seconds["media files"], spent),
                    ]
                )
        show("Samples of a dataset, one process", ["sample", "from", "clips/s", "times"], rows)
        files = plain.media_files()
        compare_formats(files[:: max(1, len(files) // options.clips)], options.rounds, folder)


if __name__ == "__main__":
    main()
