"""How the AMID objective's defaults were chosen: variants of its student stage, by validation.

python experiments/evidence/amid_defaults.py
python experiments/evidence/amid_defaults.py --data ucf51

Seeds are others than those of the comparison of all methods, nothing is tuned, and the table shows
the validation score alone: mean paired difference to the student alone, with half its 95 % interval
of Student's t, as if the pairs were independent.
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from h_ts import written
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from cmkd.compare.statistics import t_interval

HERE = Path(__file__).parent
EXPERIMENTS = HERE.parent
AMID = str(EXPERIMENTS / "methods" / "amid.yaml")
RELATIONAL = str(EXPERIMENTS / "methods" / "amid_relational.yaml")
BASELINE = "none"
#: Seeds by folder of experiments/.
SEEDS = {"ucf51": "10..12", "avmnist": "10..11", "ravdess": "10..11", "spoken_digits": "10..11"}
ADVERSARY = "model.student_terms.h_ts.weight"
HIDDEN = "model.student_terms.h_label.objective"
KD = {
    "class_path": "cmkd.objectives.SelfPacedDistillation",
    "init_args": {"temperature": 4.0, "threshold": 0.5},
}
#: What differs from the default.
VARIANTS: dict[str, dict[str, Any]] = {
    "adversary 0.1, KD where no label is": {
        "configs": AMID,
        ADVERSARY: 0.1,
        HIDDEN: {"class_path": "cmkd.objectives.Unlabelled", "init_args": {"objective": KD}},
    },
    "adversary 0.03": {"configs": AMID, ADVERSARY: 0.03},
    "adversary 0.01 (the default)": {"configs": AMID},
    "adversary 0.03, DIST everywhere": {
        "configs": AMID,
        ADVERSARY: 0.03,
        HIDDEN: {"class_path": "cmkd.objectives.DIST"},
    },
    "adversary 0.03, RKD": {"configs": RELATIONAL, ADVERSARY: 0.03},
}
OTHERS = ("dist", "rkd")


def compare(data: str, folder: Path, jobs: int) -> Path:
    """Run the variants on one data set and return its results.

    Raises:
        subprocess.CalledProcessError: when a run failed; the message is on the screen.
    """
    content = {
        "include": str(EXPERIMENTS / data / "compare.yaml"),
        "methods": VARIANTS,
        "seeds": SEEDS[data],
        "tune": None,
    }
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{data}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "cmkd", "compare", "--config", str(path), "--jobs", str(jobs)]
    methods = (BASELINE, *VARIANTS, *OTHERS)
    command += ["--out", str(folder / data), "--methods", *methods]
    subprocess.run(command, check=True, cwd=EXPERIMENTS.parent)  # noqa: S603 - it stands above
    return folder / data / "results.csv"


def read(path: Path) -> dict[str, dict[str, str]]:
    """Return a text for each group and method: its validation score against the student alone's."""
    scores: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            of_method = scores.setdefault(line["group"], {}).setdefault(line["method"], {})
            of_method[line["fold"], line["seed"]] = 100 * float(line["val"])
    texts: dict[str, dict[str, str]] = {}
    for group, methods in scores.items():
        alone = methods.pop(BASELINE)
        for method, own in methods.items():
            gain = t_interval([score - alone[pair] for pair, score in own.items()])
            texts.setdefault(group, {})[method] = written(gain)
    return texts


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at once (2)")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence/amid_defaults"))
    options = parser.parse_args(arguments)
    columns: dict[str, dict[str, str]] = {}
    for data in options.data:
        found = read(compare(data, options.out, options.jobs))
        columns |= {f"{data}, {group}" if group else data: texts for group, texts in found.items()}
    table = Table(box=MARKDOWN)
    for heading in ("student stage", *columns):
        table.add_column(heading, justify="right" if heading in columns else "left", no_wrap=True)
    for method in (*VARIANTS, *OTHERS):
        table.add_row(method, *(texts[method] for texts in columns.values()))
    Console(width=400).print(table)


if __name__ == "__main__":
    main()
