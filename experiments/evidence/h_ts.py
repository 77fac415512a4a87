"""What H(T|S) adds: table, choice by validation, and figure of a finished comparison.

    cmkd compare --config experiments/evidence/h_ts.yaml --jobs 2
    cmkd compare --config experiments/evidence/h_ts_speech.yaml --jobs 2
    python experiments/evidence/h_ts.py

Reads what the comparisons left in runs/compare, prints the tables, writes h_ts.csv and h_ts.svg.
Differences are to the student of the same fold, seed and first weights without any term, with 95 %
intervals of Student's t. What is called best is best by its mean *validation* accuracy; its test
accuracy was not looked at for that. The best of many has profited from chance on validation, not on
test.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from cmkd.compare.statistics import Interval, t_interval
from cmkd.compare.store import write_csv

ROOT = Path(__file__).parents[2]
COMPARISONS = ("evidence-h_ts", "evidence-h_ts_speech")
BASELINE = "none"
EXPLICIT = ("gaussian", "categorical")
#: What the figure shows: forms that were run at every weight.
DRAWN = (
    "adversarial embedding",
    "adversarial logits",
    "adversarial both",
    "gaussian",
    "categorical tau 1",
    "categorical tau 4",
)


class Row(NamedTuple):
    """One method on one data set.

    Attributes:
        method: its name, which ends in the weight.
        val_pairs: differences to the baseline on validation, points of accuracy, a pair each.
        test_pairs: the same on test.
        accuracy: mean on test, in %.
    """

    method: str
    val_pairs: list[float]
    test_pairs: list[float]
    accuracy: float

    @property
    def val(self) -> Interval:
        """The mean difference on validation."""
        return t_interval(self.val_pairs)

    @property
    def test(self) -> Interval:
        """The mean difference on test."""
        return t_interval(self.test_pairs)

    @property
    def form(self) -> str:
        """The form of the term, without its weight."""
        return self.method.rpartition(" ")[0]

    @property
    def adversarial_alone(self) -> bool:
        """Whether the adversary stands alone, in whatever variant."""
        return not self.form.startswith((*EXPLICIT, "all three")) and " + " not in self.form


def read(path: Path) -> dict[str, list[Row]]:
    """Return the rows by data set, from the CSV file of a comparison.

    Args:
        path: ``results.csv``.

    Raises:
        ValueError: for a data set without the baseline.
    """
    scores: dict[str, dict[str, dict[tuple[str, str], tuple[float, float]]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            methods = scores.setdefault(row["group"], {})
            pairs = methods.setdefault(row["method"], {})
            pairs[row["fold"], row["seed"]] = 100 * float(row["val"]), 100 * float(row["accuracy"])
    found = {}
    for group, methods in scores.items():
        if BASELINE not in methods:
            raise ValueError(f"{path}: '{group}' has no run of '{BASELINE}' to compare with")
        alone = methods.pop(BASELINE)
        found[group] = [_row(method, pairs, alone) for method, pairs in methods.items()]
        found[group].insert(0, _row(BASELINE, alone, alone))
    return found


def _row(
    method: str,
    mine: Mapping[tuple[str, str], tuple[float, float]],
    alone: Mapping[tuple[str, str], tuple[float, float]],
) -> Row:
    pairs = [(scores, alone[pair]) for pair, scores in mine.items() if pair in alone]
    val, test = ([a[part] - b[part] for a, b in pairs] for part in (0, 1))
    return Row(method, val, test, fmean(a[1] for a, _ in pairs))


def pooled(groups: Mapping[str, list[Row]]) -> list[Row]:
    """Return the methods that every data set has, with the pairs of all data sets together.

    What is to be a default has to be chosen on more than one data set.
    """
    common = set.intersection(*({row.method for row in rows} for rows in groups.values()))
    first = next(iter(groups.values()))
    found = []
    for method in (row.method for row in first if row.method in common):
        mine = [row for rows in groups.values() for row in rows if row.method == method]
        val = [value for row in mine for value in row.val_pairs]
        test = [value for row in mine for value in row.test_pairs]
        found.append(Row(method, val, test, fmean(row.accuracy for row in mine)))
    return found


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| term and weight | validation - none | test | test - none |", "|---|---|---|---|"]
    for row in rows:
        if row.method == BASELINE:
            lines.append(f"| {row.method} | | {row.accuracy:.1f} | |")
        else:
            val, test = written(row.val), written(row.test)
            lines.append(f"| {row.method} | {val} | {row.accuracy:.1f} | {test} |")
    return "\n".join(lines)


def written(interval: Interval) -> str:
    """Return an interval for people."""
    width = "" if interval.half_width is None else f" ± {interval.half_width:.1f}"
    return f"{interval.mean:+.1f}{width}"


def choices(rows: list[Row]) -> list[str]:
    """Return sentences on what validation chooses, and what it is worth on test."""
    terms = [row for row in rows if row.method != BASELINE]
    kinds = {
        "of all": terms,
        "of the adversary alone": [row for row in terms if row.adversarial_alone],
        "of the bounds alone": [row for row in terms if row.form.startswith(EXPLICIT)
                                and " + " not in row.form],
    }  # fmt: skip
    sentences = []
    for kind, candidates in kinds.items():
        if candidates:
            best = max(candidates, key=lambda row: row.val.mean)
            sentences.append(
                f"best by validation {kind} ({len(candidates)} tried): {best.method}, validation "
                f"{written(best.val)}, test {written(best.test)}"
            )
    return sentences


def draw(groups: Mapping[str, list[Row]], path: Path) -> None:
    """Draw the test difference over the weight, a panel a data set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(groups), 3.8), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for panel, (group, rows) in zip(panels, groups.items(), strict=True):
        for shift, form in enumerate(DRAWN):
            mine = [row for row in rows if row.form == form]
            # Beside each other, so that the intervals can be told apart.
            weights = [float(row.method.split()[-1]) * 1.05**shift for row in mine]
            widths = [row.test.half_width or 0.0 for row in mine]
            means = [row.test.mean for row in mine]
            panel.errorbar(weights, means, widths, marker="o", markersize=3, capsize=2, label=form)
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set(xscale="log", xlabel="weight", title=group)
    panels[0].set_ylabel("test accuracy - none, points")
    panels[-1].legend(fontsize=7)
    figure.savefig(path, dpi=120)


def write(path: Path, groups: Mapping[str, list[Row]]) -> None:
    """Write the means and intervals of every data set to a CSV file."""
    columns = ["data", "method", "pairs", "test", "gain", "gain_half_width"]
    columns += ["val_gain", "val_gain_half_width"]
    rows = [
        {
            "data": group,
            "method": row.method,
            "pairs": len(row.test_pairs),
            "test": row.accuracy,
            "gain": row.test.mean,
            "gain_half_width": row.test.half_width,
            "val_gain": row.val.mean,
            "val_gain_half_width": row.val.half_width,
        }
        for group, rows in groups.items()
        for row in rows
    ]
    write_csv(path, columns, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print tables and choices of every data set, write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add(
        "--runs", type=Path, default=Path("runs/compare"), help="where the comparisons' folders are"
    )
    add("--out", type=Path, default=ROOT / "experiments/results", help="folder to write into")
    options = parser.parse_args(arguments)
    paths = [options.runs / name / "results.csv" for name in COMPARISONS]
    if not any(path.is_file() for path in paths):
        parser.error(
            f"there is no {paths[0]}: run the comparison first, or name its folder's folder"
        )
    groups = {g: rows for path in paths if path.is_file() for g, rows in read(path).items()}
    drawn = dict(groups)
    if len(groups) > 1:
        groups["all of them"] = pooled(groups)
    for group, rows in groups.items():
        print(f"\n### {group}, {len(rows[0].test_pairs)} pairs\n\n{table(rows)}\n")
        for sentence in choices(rows):
            print(f"* {sentence}")
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "h_ts.csv", groups)
    draw(drawn, options.out / "h_ts.svg")


if __name__ == "__main__":
    main()
