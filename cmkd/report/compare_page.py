"""The page of a comparison."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmkd.compare.choice import Choices
from cmkd.compare.plan import Run
from cmkd.compare.results import Line, Outcome, compare
from cmkd.compare.store import Record, Store
from cmkd.compare.tables import ResultTable
from cmkd.figures import intervals
from cmkd.report.canvas import Canvas
from cmkd.report.page import Block, Drawing, Drawings, Facts, Folded, Page, Section, Table, Text

_KEYS = ("group", "method", "fold", "seed")
_NO_METRICS = (*_KEYS, "val", "seconds", "key")


@dataclass(frozen=True)
class Results:
    """What ``results.csv`` and ``table.md`` hold.

    Attributes:
        columns: of ``results.csv``.
        rows: of ``results.csv``, as text.
        metrics: of the student, with the factor that the table multiplies them with.
        baseline: the method that the others are compared with.
        command: the command line, empty where it is not known.
        notes: what is missing.
    """

    columns: Sequence[str]
    rows: Sequence[Mapping[str, str]]
    metrics: Mapping[str, float]
    baseline: str
    command: str
    notes: Sequence[str]


def read_results(folder: Path) -> Results:
    """Read a comparison's results.

    Raises:
        ValueError: for a ``results.csv`` without rows or of another kind.
    """
    path = folder / "results.csv"
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames or []), list(reader)
    lacking = [name for name in _NO_METRICS if name not in columns]
    if lacking:
        raise ValueError(
            f"{path} has no column {', '.join(lacking)}: `cmkd compare` did not write it"
        )
    if not rows:
        raise ValueError(f"{path} holds no run: none is finished")
    table = folder / "table.md"
    text = table.read_text(encoding="utf-8") if table.is_file() else ""
    names = [n for n in columns if n not in _NO_METRICS and not n.startswith("teacher_")]
    baseline = re.search(r"^\| method \|.*\| - (.+?) \|", text, re.MULTILINE)
    return Results(
        columns=columns,
        rows=rows,
        metrics={n: 100.0 if f"test {n} in %" in text else 1.0 for n in names},
        # The first method is the baseline unless the YAML says otherwise.
        baseline=baseline[1].replace("\\|", "|") if baseline else rows[0]["method"],
        command=text.splitlines()[0].strip("` ") if text.startswith("`") else "",
        notes=[line[2:] for line in text.splitlines() if line.startswith("* ")],
    )


def compare_page(folder: Path, canvas: Canvas) -> Page:
    """Return the page.

    Args:
        folder: of the comparison.
        canvas: where figures go.

    Raises:
        ValueError: for files that hold something else.
    """
    results = read_results(folder)
    sections = [_what(folder, results), *_tables(folder, results, canvas), *_settings(folder)]
    cells = [[row.get(name) or "" for name in results.columns] for row in results.rows]
    sections.append(Section("Runs", [Folded("Every run", Table(results.columns, cells))]))
    return Page(folder.resolve().name, "A comparison of cmkd compare.", sections)


def _what(folder: Path, results: Results) -> Section:
    def different(key: str) -> str:
        return ", ".join(dict.fromkeys(row[key] for row in results.rows if row[key]))

    seconds = sum(float(row["seconds"] or 0) for row in results.rows)
    pairs = [
        ("command", results.command),
        ("settings", different("group")),
        ("methods", different("method")),
        ("baseline", results.baseline),
        ("folds", different("fold")),
        ("seeds", different("seed")),
        ("runs", f"{len(results.rows)}, {seconds / 60:.1f} minutes of training and test in all"),
        ("versions", _versions(folder, results)),
    ]
    blocks: list[Block] = [Facts([(name, value) for name, value in pairs if value])]
    return Section("What was run", blocks + [Text(note) for note in results.notes])


def _versions(folder: Path, results: Results) -> str:
    """Return the libraries' versions, of every kind that a run had."""
    records = [Store(folder).record(row["key"]) for row in results.rows]
    kinds = {tuple(record.versions.items()): None for record in records if record is not None}
    return "; ".join(", ".join(f"{name} {number}" for name, number in kind) for kind in kinds)


def _tables(folder: Path, results: Results, canvas: Canvas) -> list[Section]:
    sections, outcomes = [], _outcomes(folder, results)
    for number, (metric, factor) in enumerate(results.metrics.items()):
        unit = " in %" if factor == 100 else ""
        lines = compare(outcomes, metric, results.baseline)
        blocks: list[Block] = []
        if number == 0:
            blocks.append(
                Text(
                    "Differences are paired: a run is compared with the baseline's of the same "
                    "setting, fold and seed. The interval is Student's t over the pairs, as if "
                    "they were independent; folds share training samples, so it is somewhat too "
                    "short, and of many methods one in twenty lies clear of 0 by chance."
                )
            )
        drawings: list[Drawing] = []
        for group in dict.fromkeys(line.group for line in lines):
            mine = [line for line in lines if line.group == group]
            table = ResultTable("", mine, results.baseline, factor)
            caption = f"{group}: test {metric}{unit}" if group else f"test {metric}{unit}"
            blocks.append(Table(table.columns, table.rows, caption))
            name = f"difference_{metric}_{len(drawings) + 1}"
            drawings += _drawing(mine, name, caption, results.baseline, factor, canvas)
        if drawings:
            blocks.append(Drawings(drawings))
        sections.append(Section(f"Test {metric}", blocks))
    return sections


def _drawing(
    lines: Sequence[Line], name: str, caption: str, baseline: str, factor: float, canvas: Canvas
) -> list[Drawing]:
    values = {
        line.method: (
            factor * line.difference.mean,
            None if line.difference.half_width is None else factor * line.difference.half_width,
        )
        for line in lines
        if line.difference is not None
    }
    if not values:
        return []
    figure = intervals(values, f"difference to {baseline}" + (", points" if factor == 100 else ""))
    caption += f": paired difference to {baseline}, 95 % intervals, pale where they hold 0."
    return [canvas.draw(name, figure, caption)]


def _outcomes(folder: Path, results: Results) -> list[Outcome]:
    """Return the rows as what ``cmkd compare`` makes its tables of."""
    store = Store(folder)
    outcomes: list[Outcome] = []
    for row in results.rows:
        run = Run(
            group=row["group"],
            method=row["method"],
            fold=row["fold"],
            seed=int(row["seed"]),
            configs=(),
            overrides={},
            setting={},
            tested=True,
            key=row["key"],
        )
        outcomes.append((run, store.record(run.key) or _record(row, results.metrics)))
    return outcomes


def _record(row: Mapping[str, str], metrics: Iterable[str]) -> Record:
    """Return what a row of ``results.csv`` says of a run whose own file is gone: six digits."""
    teachers = [name for name in row if name.startswith("teacher_") and row[name]]
    return Record(
        key=row["key"],
        val=float(row["val"]),
        mode="",
        epoch=0,
        test={f"student_{name}": float(row[name]) for name in metrics}
        | {name: float(row[name]) for name in teachers},
        seconds=float(row["seconds"]),
        teacher=None,
        command="",
        versions={},
    )


def _settings(folder: Path) -> list[Section]:
    """Return the section on what was chosen by tuning, if anything was."""
    path = folder / "tuned.yaml"
    if not path.is_file():
        return []
    rows = [
        [
            place.group,
            place.method,
            place.fold,
            f"{choice.val:.4f}",
            str(choice.trials),
            ", ".join(f"{key.removeprefix('model.')} {v}" for key, v in choice.setting.items()),
        ]
        for place, choice in Choices.read(path).by_place.items()
    ]
    columns = ["setting", "method", "fold", "validation", "trials", "chosen"]
    blocks: list[Block] = [
        Text("Settings were chosen on validation parts cut from training; no trial saw test data."),
        Folded("What was chosen", Table(columns, rows)),
    ]
    trials = folder / "trials.csv"
    if trials.is_file():
        with trials.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            cells = [[value or "" for value in row.values()] for row in reader]
            blocks.append(Folded("Every trial", Table(list(reader.fieldnames or []), cells)))
    return [Section("Tuning", blocks)]
