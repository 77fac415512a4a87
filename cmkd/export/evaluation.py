"""The student's test metrics with intervals, for its card."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cmkd.batch import Batch, batch_window
from cmkd.compare.statistics import t_interval
from cmkd.metrics.classification import classification_metrics
from cmkd.metrics.regression import regression_metrics
from cmkd.metrics.sample_means import SampleMeans
from cmkd.student import Student
from cmkd.student.student import to_device

RESAMPLES = 1000


@dataclass(frozen=True)
class Measured:
    """A metric with its 95 % interval.

    Attributes:
        name: of the metric.
        value: the metric.
        low: lower end of the interval; None where there is too little for one.
        high: upper end.
    """

    name: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Evaluated:
    """Metrics and what they were measured on.

    Attributes:
        metrics: the metrics.
        protocol: a sentence that says how they and their intervals come about.
    """

    metrics: Sequence[Measured]
    protocol: str


@torch.inference_mode()
def evaluate(student: Student, batches: Iterable[Batch], **label_range: Any) -> Evaluated:
    """Evaluate a student as ``cmkd test`` does, with bootstrap intervals.

    The intervals are the percentiles of 1,000 resamples of the test samples (Efron & Tibshirani,
    "An Introduction to the Bootstrap", 1993), as if samples were independent: clips of one
    recording are not, and nothing in them says how another training would come out.

    Args:
        student: the student.
        batches: of the test data, with labels.
        **label_range: ``low``, ``high`` and ``neutral`` of a regression.

    Raises:
        ValueError: when no sample has any of the student's modalities.
    """
    means = SampleMeans()
    for batch in batches:
        seen = student.network(to_device(_inputs(student, batch), student.device))
        logits = seen.logits.float()
        value = logits[:, 0] if student.task == "regression" else logits.softmax(dim=1)
        valid = seen.valid.cpu()
        means.update(value.cpu(), batch["label"], batch["index"], batch_window(batch), valid)
    samples = means.compute()
    if not len(samples.target):
        raise ValueError("no test sample has any of the student's modalities")
    score = classification_metrics
    if student.task == "regression":
        score = partial(regression_metrics, **label_range)
    generator = torch.Generator().manual_seed(0)
    count = len(samples.target)
    draws = [
        score(samples.value[rows], samples.target[rows])
        for rows in (torch.randint(count, (count,), generator=generator) for _ in range(RESAMPLES))
    ]
    metrics = []
    for name, value in score(samples.value, samples.target).items():
        resampled = torch.stack([draw[name] for draw in draws if name in draw]).double()
        low, high = resampled.nanquantile(torch.tensor([0.025, 0.975]).double()).tolist()
        metrics.append(Measured(name, float(value), low, high))
    left_out = f"; {samples.left_out} lack the student's modalities" if samples.left_out else ""
    return Evaluated(
        metrics,
        f"{count} test samples, predictions averaged over the windows of each{left_out}. The "
        f"intervals are percentiles of {RESAMPLES:,} bootstrap resamples of the test samples, as "
        "if these were independent; another training would vary more.",
    )


def from_comparison(folder: Path, method: str, group: str | None) -> Evaluated:
    """Return the mean test metrics of a method over the runs of a comparison.

    Args:
        folder: of ``cmkd compare``, with its ``results.csv``.
        method: the method of the student.
        group: the setting; None where there is one.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has no such runs, or several groups and none is named.
    """
    path = folder / "results.csv"
    if not path.is_file():
        raise FileNotFoundError(f"--compare: there is no {path}; give a folder of cmkd compare")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or [])
        rows = list(reader)
    if "val" not in columns or not any(column.startswith("teacher_") for column in columns):
        raise ValueError(f"{path}: is no results.csv of cmkd compare")
    groups = sorted({row["group"] for row in rows if row["method"] == method})
    if group is None and len(groups) > 1:
        raise ValueError(f"--compare_group: name one of {', '.join(groups)}")
    chosen = [r for r in rows if r["method"] == method and group in (None, r["group"])]
    if not chosen:
        methods = sorted({row["method"] for row in rows})
        raise ValueError(
            f"--compare_method: {path} has no runs of '{method}'"
            f"{'' if group is None else f' in {group!r}'}; it has {', '.join(methods)}"
        )
    teacher = next(n for n, column in enumerate(columns) if column.startswith("teacher_"))
    metrics = []
    for name in columns[columns.index("val") + 1 : teacher]:
        interval = t_interval([float(row[name]) for row in chosen])
        half = interval.half_width
        ends = (None, None) if half is None else (interval.mean - half, interval.mean + half)
        metrics.append(Measured(name, interval.mean, *ends))
    return Evaluated(
        metrics,
        f"Means over {len(chosen)} runs of '{method}' in a comparison over seeds and folds, of "
        "which this student is not necessarily one; t intervals over the runs.",
    )


def _inputs(student: Student, batch: Batch) -> Batch:
    """Return what of a batch the network reads."""
    keys = [*student.modalities, "present", "length"]
    return {key: batch[key] for key in keys if key in batch}
