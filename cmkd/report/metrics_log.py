"""What a run logged, over its epochs."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: A metric over time: epochs that were done, and its values.
Series = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Row:
    """What was logged at once.

    Attributes:
        time: in epochs; that of a whole epoch n (from 0) is n + 1.
        epoch: its number where a whole epoch was logged, else None.
        values: by name.
    """

    time: float
    epoch: int | None
    values: dict[str, float]


class MetricsLog:
    """The metrics of a run, pieces that were interrupted included.

    Args:
        rows: in the order of time.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    @classmethod
    def read(cls, folder: Path, accumulate: int = 1) -> "MetricsLog":
        """Read ``metrics-1.csv``, ``metrics-2.csv``, ... and ``metrics.csv``.

        A run that goes on begins a new file where its checkpoint was: what the file before has
        from there on was lost and is left out.

        Args:
            folder: of the run.
            accumulate: batches a step of the run; what is logged within an epoch counts batches.

        Raises:
            ValueError: for a file that is no log of metrics.
        """
        kept: list[_Raw] = []
        for path in _pieces(folder):
            raw = _read(path, accumulate)
            start = min((row.step for row in raw), default=math.inf)
            kept = [row for row in kept if row.step < start] + raw
        return cls(_timed(kept))

    @property
    def names(self) -> list[str]:
        """The names of all metrics, in alphabetical order."""
        return sorted({name for row in self.rows for name in row.values})

    def series(self, name: str) -> Series:
        """Return a metric over time; empty where it was never logged."""
        points = [(row.time, row.values[name]) for row in self.rows if name in row.values]
        return [time for time, _ in points], [value for _, value in points]

    def last(self, name: str) -> float | None:
        """Return a metric's last value, None where it was never logged."""
        _, values = self.series(name)
        return values[-1] if values else None

    def by_epoch(self, prefix: str) -> dict[int, dict[str, float]]:
        """Return the metrics whose names begin so, without it, by the number of the epoch."""
        found: dict[int, dict[str, float]] = {}
        for row in self.rows:
            mine = {
                n.removeprefix(prefix): v for n, v in row.values.items() if n.startswith(prefix)
            }
            if row.epoch is not None and mine:
                found.setdefault(row.epoch, {}).update(mine)
        return found


@dataclass(frozen=True)
class _Raw:
    step: float
    epoch: int | None
    values: dict[str, float]


def _pieces(folder: Path) -> list[Path]:
    numbered = {
        int(found[1]): path
        for path in folder.glob("metrics-*.csv")
        if (found := re.fullmatch(r"metrics-(\d+)", path.stem))
    }
    return [*(numbered[n] for n in sorted(numbered)), folder / "metrics.csv"]


def _read(path: Path, accumulate: int) -> list[_Raw]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if "step" not in (reader.fieldnames or []):
            raise ValueError(f"{path} has no column 'step': it is no metrics.csv of a cmkd run")
        rows = []
        for line in reader:
            try:
                numbers = {n: float(v) for n, v in line.items() if n is not None and v}
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
            # A run that was killed may have left half a line.
            if "step" not in numbers:
                continue
            step, epoch = numbers.pop("step"), numbers.pop("epoch", None)
            if epoch is None:
                step /= accumulate
            rows.append(_Raw(step, None if epoch is None else int(epoch), numbers))
    return rows


def _timed(raw: Sequence[_Raw]) -> list[Row]:
    """Give what was logged within an epoch a time between the epochs around it."""
    ends = {row.step: row.epoch + 1 for row in raw if row.epoch is not None}
    first = min((row.epoch for row in raw if row.epoch is not None), default=0)
    steps, epochs = [0.0, *sorted(ends)], [first, *(ends[step] for step in sorted(ends))]
    rows = [
        Row(
            time=float(np.interp(row.step, steps, epochs)) if row.epoch is None else row.epoch + 1,
            epoch=row.epoch,
            values=row.values,
        )
        for row in raw
        # What follows the last whole epoch has no known length.
        if row.epoch is not None or row.step <= steps[-1]
    ]
    return sorted(rows, key=lambda row: row.time)
