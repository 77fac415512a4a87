"""What the benchmarks of loading share: the real clips, and timing that stands a busy machine.

Each round goes through all items in every way, and ratios are taken within a round. Time is that of
the processor, so that what else runs does not count.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from datamodules import UCF101

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


def clip_parser(description: str, **numbers: int) -> argparse.ArgumentParser:
    """Return a parser of where the clips are, and of some numbers."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--root", default=str(DATA / "ucf101_clips"), help="UCF101's clips")
    parser.add_argument("--list_folder", default=str(DATA / "ucfTrainTestlist"))
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser


def parse(description: str, **numbers: int) -> argparse.Namespace:
    """Parse where the clips are, and some numbers."""
    return clip_parser(description, **numbers).parse_args()


def ucf101(options: argparse.Namespace, auxiliary: list[str], **arguments: Any) -> UCF101:
    """Return the clips that are there: 16 frames, 128x171, crops of 112, 16 kHz."""
    return UCF101(
        options.root,
        options.list_folder,
        ["video"],
        auxiliary,
        classes="present",
        missing_clips="skip",
        **arguments,
    )


def interleave(
    ways: Mapping[str, Callable[[int], object]], items: int, rounds: int
) -> dict[str, list[float]]:
    """Do all items in one way after the other, round by round, in a loader's worker.

    Returns:
        By way, the processor's seconds of each round.
    """
    loader = DataLoader(_Rounds(ways, items, rounds), batch_size=None, num_workers=1)
    return next(iter(loader))


class _Rounds(Dataset[dict[str, list[float]]]):
    """One item: the measurement itself. In a worker, decoding uses one thread."""

    def __init__(
        self, ways: Mapping[str, Callable[[int], object]], items: int, rounds: int
    ) -> None:
        self.measure = lambda: _interleave(ways, items, rounds)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> dict[str, list[float]]:
        return self.measure()


def _interleave(
    ways: Mapping[str, Callable[[int], object]], items: int, rounds: int
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.process_time()
            for item in range(items):
                way(item)
            seconds[name].append(time.process_time() - begin)
    return seconds


def ratios(slow: list[float], fast: list[float]) -> str:
    """Return the median, least and greatest ratio of a round."""
    found = [one / other for one, other in zip(slow, fast, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def quiet() -> None:
    """Use one core, and leave out the warnings about clips that are not there."""
    import logging
    import warnings

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="UCF101: .* listed clips are not under")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning_utilities").setLevel(logging.ERROR)
