"""How the AMID objective's defaults were chosen: variants of its student stage, by validation.

python experiments/evidence/amid_defaults.py
python experiments/evidence/amid_defaults.py --data ucf51

Seeds are others than those of the comparison of all methods, nothing is tuned, and the table shows
the validation score alone: mean paired difference to the student alone, with half its 95 % interval
of Student's t, as if the pairs were independent.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from validation import Column, columns, show

from cmkd.compare.config import read_comparison

HERE = Path(__file__).parent
EXPERIMENTS = HERE.parent
AMID = str(EXPERIMENTS / "methods" / "amid.yaml")
RELATIONAL = str(EXPERIMENTS / "methods" / "amid_relational.yaml")
BASELINE = "none"
#: Seeds by folder of experiments/.
SEEDS = {
    "ucf51": "10..12",
    "avmnist": "10..11",
    "ravdess": "10..11",
    "spoken_digits": "10..11",
    "quickstart": "10..12",
}
ADVERSARY, LABEL, UNLABELLED = (
    f"model.student_terms.{term}.weight" for term in ("h_ts", "h_label", "h_unlabelled")
)
HIDDEN = "model.student_terms.h_unlabelled.objective"
DIST = {"class_path": "cmkd.objectives.DIST"}
KD = {"class_path": "cmkd.objectives.CategoricalConditionalEntropy"}
#: What differs from the default.
VARIANTS: dict[str, dict[str, Any]] = {
    "DIST where no label is": {"configs": AMID, LABEL: 0},
    "the same without the adversary": {"configs": AMID, LABEL: 0, ADVERSARY: 0},
    "KD where no label is": {
        "configs": AMID,
        LABEL: 0,
        HIDDEN: {"class_path": "cmkd.objectives.Unlabelled", "init_args": {"objective": KD}},
    },
    "DIST everywhere": {"configs": AMID, LABEL: 0, HIDDEN: DIST},
    "KD everywhere": {"configs": AMID, LABEL: 1, UNLABELLED: 0},
    "KD everywhere, DIST where no label is": {"configs": AMID, LABEL: 1},
    "KD at 0.3 everywhere": {"configs": AMID, UNLABELLED: 0},
    "KD at 0.3 everywhere, DIST where no label is": {"configs": AMID},
    "RKD, DIST where no label is": {"configs": RELATIONAL, LABEL: 0},
    "RKD, DIST everywhere": {"configs": RELATIONAL, LABEL: 0, HIDDEN: DIST},
    "RKD, KD everywhere": {"configs": RELATIONAL, LABEL: 1, UNLABELLED: 0},
    "RKD, KD everywhere, DIST where no label is": {"configs": RELATIONAL, LABEL: 1},
    "RKD, KD at 0.3 everywhere": {"configs": RELATIONAL, UNLABELLED: 0},
    "RKD, KD at 0.3 everywhere, DIST where no label is": {"configs": RELATIONAL},
}
OTHERS = ("kd", "dist", "rkd", "gaussian")


def others(data: str) -> list[str]:
    """Return those of the other methods that a data set's comparison has."""
    known = read_comparison(EXPERIMENTS / data / "compare.yaml").methods
    return [method for method in OTHERS if method in known]


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
    methods = (BASELINE, *VARIANTS, *others(data))
    command += ["--out", str(folder / data), "--methods", *methods]
    subprocess.run(command, check=True, cwd=EXPERIMENTS.parent)  # noqa: S603 - it stands above
    return folder / data / "results.csv"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at once (2)")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence/amid_defaults"))
    options = parser.parse_args(arguments)
    by_group: dict[str, Column] = {}
    for data in options.data:
        found = columns(compare(data, options.out, options.jobs), BASELINE)
        by_group |= {f"{data}, {group}" if group else data: own for group, own in found.items()}
    show("student stage", (BASELINE, *VARIANTS, *OTHERS), by_group)


if __name__ == "__main__":
    main()
