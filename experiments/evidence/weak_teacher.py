"""The weak teacher and its cure: what the weight of I(T;S) does to teacher and student.

cmkd compare --config experiments/evidence/weak_teacher_world.yaml --jobs 2
cmkd compare --config experiments/evidence/weak_teacher_ravdess.yaml --jobs 2
python experiments/evidence/weak_teacher.py

Reads what the two comparisons left in runs/compare, prints a table and writes weak_teacher.csv and
weak_teacher.svg. Means over seeds and folds with 95 % intervals, Student's t, as if the runs were
independent; folds share training samples, so the intervals are somewhat too short.
"""

import argparse
import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from cmkd.compare.config import read_comparison
from cmkd.compare.statistics import t_interval
from cmkd.compare.store import Store, write_csv

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = ("world", "ravdess")
ALONE = "student alone"
GAIN = "student_gain"
#: Metrics by heading, with the factor that the table shows them with.
METRICS = {
    "teacher_accuracy": ("teacher %", 100),
    "student_accuracy": ("student %", 100),
    GAIN: (f"- {ALONE}", 100),
    "teacher_auxiliary_only_r2": ("R² teacher", 1),
    "student_auxiliary_only_r2": ("R² student", 1),
}


@dataclass(frozen=True)
class Row:
    """One metric of one pair of weights.

    Attributes:
        data: ``world`` or ``ravdess``.
        mi_ts: weight of I(T;S) in the teacher stage, None for the student alone.
        mi_ta: weight of I(T;A).
        metric: of the test; ``student_gain`` is the student's accuracy less that of the student
            alone, paired by fold and seed.
        mean: over the runs.
        half_width: of its 95 % interval, None for a single run.
        runs: how many.
    """

    data: str
    mi_ts: float | None
    mi_ta: float | None
    metric: str
    mean: float
    half_width: float | None
    runs: int


def weights(config: Path) -> dict[str, tuple[float | None, float | None]]:
    """Return the weights of I(T;S) and I(T;A) by method; None for the student alone.

    Raises:
        ValueError: for a method that says only one of them.
    """
    found: dict[str, tuple[float | None, float | None]] = {}
    for name, method in read_comparison(config).methods.items():
        keys = [f"model.teacher_terms.{term}.weight" for term in ("mi_ts", "mi_ta")]
        given = [method.overrides[key] for key in keys if key in method.overrides]
        if len(given) != (0 if name == ALONE else 2):
            raise ValueError(f"{config}: methods.{name} has to give {' and '.join(keys)}")
        found[name] = (float(given[0]), float(given[1])) if given else (None, None)
    return found


def read(data: str, config: Path, folder: Path) -> list[Row]:
    """Return the summary of a comparison.

    Args:
        data: name of the data.
        config: YAML of the comparison.
        folder: its results.

    Raises:
        FileNotFoundError: when it was not run; the message has the command.
        ValueError: when its results are not of this config, or a record is missing.
    """
    runs, known = _runs(config, folder), weights(config)
    alone = runs.get(ALONE, {})
    rows = []
    for method, scores in runs.items():
        gains = {
            pair: test["student_accuracy"] - alone[pair]["student_accuracy"]
            for pair, test in scores.items()
            if pair in alone and method != ALONE
        }
        for metric in METRICS:
            values = [test[metric] for test in scores.values() if metric in test]
            if values := list(gains.values()) if metric == GAIN else values:
                found = t_interval(values)
                half = None if found.half_width is None else round(found.half_width, 5)
                mean = round(found.mean, 5)
                rows.append(Row(data, *known[method], metric, mean, half, found.count))
    return rows


def _runs(config: Path, folder: Path) -> dict[str, dict[tuple[str, str], Mapping[str, float]]]:
    """Return the test metrics of the finished runs by method, then by fold and seed."""
    path, command = folder / "results.csv", f"cmkd compare --config {config}"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; make it by: {command}")
    runs: dict[str, dict[tuple[str, str], Mapping[str, float]]] = {}
    store, known = Store(folder), read_comparison(config).methods
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            method = line["method"]
            # The CSV has one metric of the teacher, the record has all.
            record = store.record(line["key"])
            if record is None or method not in known:
                raise ValueError(
                    f"{path}: {method}, run {line['key']}, has no record or is not in {config}; "
                    f"make it again by: {command}"
                )
            runs.setdefault(method, {})[line["fold"], line["seed"]] = record.test
    return runs


def table(rows: Sequence[Row], data: str) -> Table:
    """Return the table of one data set in Markdown: a line a pair of weights."""
    own = [row for row in rows if row.data == data]
    result = Table(box=MARKDOWN)
    for heading in ("I(T;S)", "I(T;A)", *(heading for heading, _ in METRICS.values()), "runs"):
        result.add_column(heading, justify="right", no_wrap=True)
    for pair in dict.fromkeys((row.mi_ts, row.mi_ta) for row in own):
        cells = {row.metric: row for row in own if (row.mi_ts, row.mi_ta) == pair}
        names = [ALONE, ""] if pair[0] is None else [f"{weight:g}" for weight in pair]
        texts = [_text(cells.get(metric), factor) for metric, (_, factor) in METRICS.items()]
        result.add_row(*names, *texts, str(cells["student_accuracy"].runs))
    return result


def _text(row: Row | None, factor: float) -> str:
    if row is None:
        return ""
    digits = 1 if factor == 100 else 2
    sign = "+" if row.metric == GAIN else ""
    half = "" if row.half_width is None else f" ± {factor * row.half_width:.{digits}f}"
    return f"{factor * row.mean:{sign}.{digits}f}{half}"


def write(rows: Iterable[Row], path: Path) -> None:
    """Write the CSV."""
    write_csv(path, [field.name for field in fields(Row)], [asdict(row) for row in rows])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--data", nargs="+", choices=DATA, default=DATA, help="which of the two (both)")
    add(
        "--runs", type=Path, default=Path("runs/compare"), help="where the comparisons' folders are"
    )
    add("--out", type=Path, default=ROOT / "experiments/results", help="folder to write into")
    options = parser.parse_args(arguments)
    rows = []
    for data in options.data:
        name = f"weak_teacher_{data}"
        rows += read(data, HERE / f"{name}.yaml", options.runs / f"evidence-{name}")
    write(rows, options.out / "weak_teacher.csv")
    from weak_teacher_figure import draw

    draw(rows, options.out / "weak_teacher.svg")
    # Wide enough for its own columns: a table cut to the terminal would be no Markdown.
    wide = Console(width=120)
    for data in options.data:
        wide.print(f"{data}\n", table(rows, data), sep="\n")
    Console().print(f"Written: {options.out / 'weak_teacher.csv'} and .svg", soft_wrap=True)


if __name__ == "__main__":
    main()
