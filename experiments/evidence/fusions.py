"""Which fusion a teacher learns best with, by validation.

python experiments/evidence/fusions.py

A network of all modalities is trained by itself, with every fusion, on all data sets of the
comparisons (``fusions.yaml``); seeds are others than theirs.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from validation import columns, show

from cmkd.compare.config import read_comparison

CONFIG = Path(__file__).with_suffix(".yaml")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at once (2)")
    parser.add_argument("--out", type=Path, default=Path("runs/compare/evidence-fusions"))
    options = parser.parse_args(arguments)
    command = [sys.executable, "-m", "cmkd", "compare", "--config", str(CONFIG)]
    command += ["--jobs", str(options.jobs), "--out", str(options.out)]
    subprocess.run(command, check=True)  # noqa: S603 - it stands above
    comparison = read_comparison(CONFIG)
    found = columns(options.out / "results.csv", comparison.baseline)
    show("fusion", list(comparison.methods), found)


if __name__ == "__main__":
    main()
