"""What came out: a row a run, and each method paired with the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from cmkd.compare.plan import Run
from cmkd.compare.statistics import Interval, t_interval
from cmkd.compare.store import Record, Store, write_csv
from cmkd.nearest import unknown

_STUDENT, _TEACHER = "student_", "teacher_"
_NAMED = 4

#: A run that was planned, and its record if it is finished.
Outcome = tuple[Run, Record | None]


@dataclass(frozen=True)
class Line:
    """One method in one group, by one metric.

    Attributes:
        group: name.
        method: name.
        runs: how many are finished.
        teacher: mean of the teacher's metric, None where no run has it.
        mean: of the student's metric over the runs, None where none is finished.
        deviation: standard deviation over the runs, None for fewer than two.
        difference: to the baseline over the pairs, None where there is none, and of the baseline.
    """

    group: str
    method: str
    runs: int
    teacher: float | None
    mean: float | None
    deviation: float | None
    difference: Interval | None


def outcomes(runs: Sequence[Run], store: Store) -> list[Outcome]:
    """Return what there is of the runs."""
    return [(run, store.record(run.key)) for run in runs]


def write_results(path: Path, finished: Sequence[Outcome], metrics: Sequence[str]) -> None:
    """Write a CSV file with one row a finished run.

    Args:
        path: the file.
        finished: what there is of the runs.
        metrics: test metrics of the student; the first one is given of the teacher, too.

    Raises:
        ValueError: for a metric that the runs do not have.
    """
    teacher = f"{_TEACHER}{metrics[0]}"
    columns = ["group", "method", "fold", "seed", "val", *metrics, teacher, "seconds", "key"]
    rows: list[dict[str, Any]] = []
    for run, record in finished:
        if record is not None:
            scores = {name: score_of(record, name) for name in metrics}
            row = {"group": run.group, "method": run.method, "fold": run.fold, "seed": run.seed}
            row |= {"val": record.val, **scores, teacher: record.test.get(teacher)}
            rows.append(row | {"seconds": record.seconds, "key": run.key})
    write_csv(path, columns, rows)


def score_of(record: Record, metric: str) -> float:
    """Return the student's metric on test.

    Raises:
        ValueError: when the run does not have it.
    """
    name = f"{_STUDENT}{metric}"
    if name not in record.test:
        known = [key.removeprefix(_STUDENT) for key in record.test if key.startswith(_STUDENT)]
        raise ValueError(f"metrics: {unknown('test metric', metric, known)}")
    return record.test[name]


def compare(finished: Sequence[Outcome], metric: str, baseline: str) -> list[Line]:
    """Return a line for each group and method, in the order of the runs.

    Differences are paired: a run is compared with the baseline's of the same group, fold and seed,
    which has the same data, the same order and the same first weights.
    """
    by_method = _by_method(finished)
    lines = []
    for (group, method), mine in by_method.items():
        scores = {pair: score_of(record, metric) for pair, record in mine.items() if record}
        theirs = by_method.get((group, baseline), {})
        differences = [
            score - score_of(other, metric)
            for pair, score in scores.items()
            if (other := theirs.get(pair)) is not None and method != baseline
        ]
        teachers = [
            record.test[_TEACHER + metric]
            for record in mine.values()
            if record is not None and _TEACHER + metric in record.test
        ]
        values = list(scores.values())
        lines.append(
            Line(
                group=group,
                method=method,
                runs=len(values),
                teacher=fmean(teachers) if teachers else None,
                mean=fmean(values) if values else None,
                deviation=stdev(values) if len(values) > 1 else None,
                difference=t_interval(differences) if differences else None,
            )
        )
    return lines


def missing(finished: Sequence[Outcome], baseline: str) -> list[str]:
    """Return a sentence for each method that lacks runs, or pairs with the baseline."""
    by_method = _by_method(finished)
    notes = []
    for (group, method), mine in by_method.items():
        name = f"{group}, {method}" if group else method
        absent = [pair for pair, record in mine.items() if record is None]
        if absent:
            notes.append(f"{name}: {len(absent)} of {len(mine)} runs are missing: {_named(absent)}")
        theirs = by_method.get((group, baseline))
        if theirs is None:
            notes.append(f"{name}: the baseline {baseline} is not among the runs")
        elif method != baseline:
            unpaired = [p for p, r in mine.items() if r is not None and theirs.get(p) is None]
            if unpaired:
                notes.append(
                    f"{name}: {len(unpaired)} of {len(mine)} runs have no {baseline} to be paired "
                    f"with: {_named(unpaired)}"
                )
    return notes


def _by_method(
    finished: Sequence[Outcome],
) -> Mapping[tuple[str, str], dict[tuple[str, int], Record | None]]:
    found: dict[tuple[str, str], dict[tuple[str, int], Record | None]] = {}
    for run, record in finished:
        found.setdefault((run.group, run.method), {})[run.fold, run.seed] = record
    return found


def _named(pairs: Sequence[tuple[str, int]]) -> str:
    names = [f"fold {fold} seed {seed}" if fold else f"seed {seed}" for fold, seed in pairs]
    return "; ".join(names[:_NAMED]) + ("; ..." if len(names) > _NAMED else "")
