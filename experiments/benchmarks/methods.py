"""What a step of each method costs: time of the student stage's steps, as a ratio to KD's.

python experiments/benchmarks/methods.py                          # RAVDESS's feature vectors
python experiments/benchmarks/methods.py --base experiments/quickstart.yaml --steps 20

All methods run in one process, twice, the second time in the opposite order; a method's figure is
the smaller of its two medians. Teacher and student are the base's own. A step is forward, backward
and update, without the loading of the batch.
"""

import argparse
import contextlib
import io
import logging
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from cmkd import CrossModalDistillation
from cmkd.cli import run

EXPERIMENTS = Path(__file__).parents[1]
METHODS = EXPERIMENTS / "methods"
# Beside the methods lies what a comparison takes of them.
NAMES = sorted(path.stem for path in METHODS.glob("*.yaml") if path.stem != "compare")


def median_step(base: Path, method: str, steps: int) -> float | None:
    """Return the median seconds of a step, None for a method that does not fit the base."""
    seconds: list[float] = []
    original = CrossModalDistillation.training_step

    def timed(self: CrossModalDistillation, *arguments: Any) -> None:
        begin = time.perf_counter()
        original(self, *arguments)
        if self.stage.name == "student":
            seconds.append(time.perf_counter() - begin)

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        arguments = ["fit", "--config", str(base), "--config", str(METHODS / f"{method}.yaml")]
        arguments += ["--run.dir", folder, "--run.wandb", "disabled"]
        arguments += ["--model.teacher_epochs", "2", "--trainer.max_epochs", "3"]
        arguments += ["--trainer.limit_train_batches", str(steps)]
        arguments += ["--trainer.limit_val_batches", "1", "--trainer.accelerator", "cpu"]
        arguments += ["--trainer.enable_progress_bar", "false"]
        CrossModalDistillation.training_step = timed  # type: ignore[method-assign]
        try:
            run(arguments)
        except ValueError as error:
            logging.getLogger(__name__).warning("%s: %s", method, str(error).splitlines()[-1])
            return None
        finally:
            CrossModalDistillation.training_step = original  # type: ignore[method-assign]
    return statistics.median(seconds[2:])


def main() -> None:
    """Time the methods and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", type=Path, default=EXPERIMENTS / "ravdess" / "base.yaml")
    parser.add_argument("--methods", nargs="*", default=NAMES)
    parser.add_argument("--steps", type=int, default=20, help="steps of each stage's epoch")
    options = parser.parse_args()
    os.environ["WANDB_MODE"] = "disabled"
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    best: dict[str, float] = {}
    names = [name for name in options.methods if name != "kd"]
    for name in ["kd", *names, *reversed(names), "kd"]:
        seconds = median_step(options.base, name, options.steps)
        if seconds is not None:
            best[name] = min(seconds, best.get(name, float("inf")))
    table = Table(title=f"A step of the student stage on {options.base}")
    table.add_column("method")
    for heading in ("ms", "of KD's"):
        table.add_column(heading, justify="right")
    for name, seconds in sorted(best.items(), key=lambda item: item[1]):
        table.add_row(name, f"{1000 * seconds:.1f}", f"{seconds / best['kd']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
