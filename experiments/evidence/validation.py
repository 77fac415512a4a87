"""What validation says of the runs of a comparison; their test scores are not looked at.

What is to become a default is chosen by these numbers.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from h_ts import written
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from cmkd.compare.statistics import t_interval

#: Text by method.
Column = Mapping[str, str]


def columns(path: Path, baseline: str) -> dict[str, Column]:
    """Return a column a group: the validation accuracy in % of each of a comparison's methods.

    The baseline has its mean, the others their mean difference to it, paired by fold and seed,
    with half the 95 % interval of Student's t, as if the pairs were independent.

    Args:
        path: ``results.csv`` of the comparison.
        baseline: a method that every group has.
    """
    scores: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            of_method = scores.setdefault(line["group"], {}).setdefault(line["method"], {})
            of_method[line["fold"], line["seed"]] = 100 * float(line["val"])
    found: dict[str, Column] = {}
    for group, methods in scores.items():
        base = methods[baseline]
        found[group] = {
            method: f"{fmean(own.values()):.1f}"
            if method == baseline
            else written(t_interval([score - base[pair] for pair, score in own.items()]))
            for method, own in methods.items()
        }
    return found


def show(title: str, methods: Sequence[str], by_group: Mapping[str, Column]) -> None:
    """Print a Markdown table: a line a method, a column a group."""
    table = Table(box=MARKDOWN)
    for heading in (title, *by_group):
        table.add_column(heading, justify="right" if heading in by_group else "left", no_wrap=True)
    for method in methods:
        table.add_row(method, *(column.get(method, "") for column in by_group.values()))
    # Wide enough for all columns: a table cut to the terminal would be no Markdown.
    Console(width=400).print(table)
