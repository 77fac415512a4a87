"""All methods in all settings: one table and one figure from the records of the comparisons.

    python experiments/evidence/comparison.py

Reads what ``cmkd compare --tune`` left of each data set in runs/compare (``--runs``), prints a
Markdown table and writes comparison.csv and comparison.svg. A cell is the mean difference to the
student alone, paired by fold and seed, with half its 95 % interval (Student's t, as if the pairs
were independent; folds share training samples, so it is somewhat too short). A star: the interval
does not hold 0. The CSV says also how far a method is from the best one of its setting, paired the
same way.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean, stdev

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from cmkd.compare.choice import Choices
from cmkd.compare.statistics import Interval, t_interval
from cmkd.compare.store import write_csv

ROOT = Path(__file__).parents[2]
BASELINE = "none"
#: Heading by folder of the comparison; the group is added where there are several.
DATA = {
    "ravdess-compare": "RAVDESS",
    "ucf51-compare": "UCF51 RGB <- flow",
    "mosi-compare": "MOSI audio <- text",
    "avmnist-compare": "AV-MNIST image <- audio",
    "spoken_digits-compare": "speech far <- close",
    "quickstart-compare": "quickstart video <- audio",
}
#: Scores of one method by fold and seed.
Scores = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Row:
    """One method in one setting; test accuracies and their differences in percent.

    Attributes:
        setting: data set and group.
        method: name.
        runs: how many.
        teacher: mean of the teacher's accuracy, None where there is none.
        mean: of the student's accuracy.
        deviation: standard deviation over the runs, None for one.
        gain: mean paired difference to the student alone, None for itself.
        gain_half: half of its interval, None for one pair.
        behind: mean paired difference of the setting's best method to this one.
        behind_half: half of its interval.
        chosen: values of what was tuned, with the number of folds that chose them on validation
            data; the student's learning rate, chosen for all methods together, is not among them.
    """

    setting: str
    method: str
    runs: int
    teacher: float | None
    mean: float
    deviation: float | None
    gain: float | None
    gain_half: float | None
    behind: float | None
    behind_half: float | None
    chosen: str

    @property
    def clear(self) -> bool:
        """Whether the interval of the gain does not hold 0."""
        return self.gain is not None and abs(self.gain) > (self.gain_half or float("inf"))


def read(folder: Path, name: str) -> list[Row]:
    """Return the rows of one comparison.

    Args:
        folder: its results.
        name: of the data set.

    Raises:
        ValueError: when the student alone is not among the methods.
    """
    students: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
    teachers: dict[tuple[str, str], list[float]] = {}
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            group, method = line["group"], line["method"]
            of_method = students.setdefault(group, {}).setdefault(method, {})
            of_method[line["fold"], line["seed"]] = 100 * float(line["accuracy"])
            if line["teacher_accuracy"]:
                teacher = 100 * float(line["teacher_accuracy"])
                teachers.setdefault((group, method), []).append(teacher)
    rows, tuned = [], chosen(folder / "tuned.yaml")
    for group, methods in students.items():
        setting = f"{name}, {group}" if group else name
        if BASELINE not in methods:
            raise ValueError(f"{folder}: there are no runs of {BASELINE} in {setting}")
        best = max(methods.values(), key=lambda scores: fmean(scores.values()))
        for method, scores in methods.items():
            gain = _paired(scores, methods[BASELINE]) if method != BASELINE else None
            behind = _paired(best, scores)
            values, taught = list(scores.values()), teachers.get((group, method))
            rows.append(
                Row(
                    setting=setting,
                    method=method,
                    runs=len(values),
                    teacher=None if taught is None else fmean(taught),
                    mean=fmean(values),
                    deviation=stdev(values) if len(values) > 1 else None,
                    gain=None if gain is None else gain.mean,
                    gain_half=None if gain is None else gain.half_width,
                    behind=None if behind is None else behind.mean,
                    behind_half=None if behind is None else behind.half_width,
                    chosen=tuned.get((group, method), ""),
                )
            )
    return rows


def chosen(path: Path) -> dict[tuple[str, str], str]:
    """Return what was chosen of each group and method, nothing where nothing was tuned."""
    if not path.is_file():
        return {}
    values: dict[tuple[str, str], Counter[str]] = {}
    for place, choice in Choices.read(path).by_place.items():
        # Behind the shared settings stands the method's own.
        last = list(choice.setting.values())[-1]
        values.setdefault((place.group, place.method), Counter())[str(last)] += 1
    return {
        place: ", ".join(f"{value}: {count}" for value, count in sorted(counts.items()))
        for place, counts in values.items()
    }


def _paired(scores: Scores, others: Scores) -> Interval | None:
    differences = [score - others[pair] for pair, score in scores.items() if pair in others]
    return t_interval(differences) if differences else None


def table(rows: Sequence[Row]) -> Table:
    """Return a line a method, a column a setting; the student alone has its accuracy."""
    settings = list(dict.fromkeys(row.setting for row in rows))
    cells = {(row.method, row.setting): row for row in rows}
    result = Table(box=MARKDOWN)
    result.add_column("method", no_wrap=True)
    for setting in settings:
        result.add_column(setting, justify="right", no_wrap=True)
    for method in dict.fromkeys(row.method for row in rows):
        result.add_row(method, *(_text(cells.get((method, setting))) for setting in settings))
    return result


def _text(row: Row | None) -> str:
    if row is None:
        return ""
    if row.gain is None:
        return f"{row.mean:.1f}"
    half = "" if row.gain_half is None else f" ± {row.gain_half:.1f}"
    return f"{row.gain:+.1f}{half}{' *' if row.clear else ''}"


def standing(rows: Sequence[Row], method: str) -> Table:
    """Return how a method stands in each setting: against the student alone and the best method."""
    result = Table(box=MARKDOWN)
    headings = ("setting", "student alone", method, "rank", "best", "best's lead", "within")
    for number, heading in enumerate(headings):
        result.add_column(heading, justify="right" if 0 < number < 4 else "left", no_wrap=True)
    for setting in dict.fromkeys(row.setting for row in rows):
        own = sorted((r for r in rows if r.setting == setting), key=lambda r: -r.mean)
        mine = next((row for row in own if row.method == method), None)
        if mine is None or mine.behind is None:
            continue
        alone = next(row for row in own if row.method == BASELINE)
        lead = f"{mine.behind:.1f} ± {mine.behind_half or 0:.1f}"
        result.add_row(
            setting,
            f"{alone.mean:.1f}",
            f"{mine.mean:.1f}",
            f"{own.index(mine) + 1} of {len(own)}",
            own[0].method,
            lead,
            "yes" if mine.behind <= (mine.behind_half or 0) else "no",
        )
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add(
        "--runs", type=Path, default=Path("runs/compare"), help="where the comparisons' folders are"
    )
    add("--out", type=Path, default=ROOT / "experiments/results", help="folder to write into")
    add("--standing", nargs="+", default=["amid"], help="methods to hold against the best")
    options = parser.parse_args(arguments)
    there = [name for name in DATA if (options.runs / name / "results.csv").is_file()]
    if not there:
        raise FileNotFoundError(
            f"{options.runs} holds none of {', '.join(DATA)}; make one by: "
            "cmkd compare --config experiments/ravdess/compare.yaml --tune"
        )
    rows = [row for name in there for row in read(options.runs / name, DATA[name])]
    columns = [field.name for field in fields(Row)]
    write_csv(options.out / "comparison.csv", columns, [asdict(row) for row in rows])
    from comparison_figure import draw

    draw(rows, options.out / "comparison.svg")
    # Wide enough for all columns: a table cut to the terminal would be no Markdown.
    wide = Console(width=400)
    wide.print(table(rows))
    for method in options.standing:
        wide.print(standing(rows, method))
    Console().print(f"Written: {options.out / 'comparison.csv'} and .svg", soft_wrap=True)


if __name__ == "__main__":
    main()
