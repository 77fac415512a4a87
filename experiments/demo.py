"""The demo: student alone, KD and the AMID objective on the quickstart's clips, in one table.

python experiments/demo.py                    # what `make demo` runs
python experiments/demo.py --trainer.max_epochs 30    # further options go to every fit
"""

import logging
import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from cmkd.callbacks import ResultsTable
from cmkd.cli import run

HERE = Path(__file__).parent
METHODS = {"student alone": "none", "KD": "kd", "AMID objective": "amid"}


@dataclass
class Outcome:
    """Test accuracies in [0, 1] and seconds by stage of one method."""

    student: float
    teacher: float | None
    seconds: dict[str, float]
    clips: int


def train_and_test(method: str, folder: Path, options: list[str]) -> Outcome:
    """Fit a method and test its best student; its teacher too, on the full test clips."""
    configs = ["--config", str(HERE / "quickstart.yaml")]
    configs += ["--config", str(HERE / "methods" / f"{method}.yaml")]
    cli = run(["fit", *configs, "--run.dir", str(folder / method), *options])
    clock = next(c for c in cli.trainer.callbacks if isinstance(c, ResultsTable))
    best = cli.trainer.checkpoint_callback.best_model_path
    (student,) = cli.trainer.test(cli.model, cli.datamodule, best, verbose=False)
    tested = len(cli.datamodule.dataset("test"))
    teacher = None
    if cli.model.has_teacher:
        # The test data of the line above holds no sound; the teacher needs it.
        full = [*configs, *options, "--data.init_args.auxiliary_at_test", "true"]
        again = run(["test", *full, "--ckpt_path", best, "--verbose", "false"])
        teacher = float(again.trainer.callback_metrics["test/teacher_accuracy"])
    return Outcome(student["test/student_accuracy"], teacher, clock.seconds, tested)


def print_table(outcomes: dict[str, Outcome], console: Console) -> None:
    """Print what each network reached on the test clips, and how long its stage took."""
    table = Table(title="Quickstart, accuracy on the test clips")
    for heading in ("network", "sees", "accuracy", "time"):
        table.add_column(heading, justify="right" if heading in ("accuracy", "time") else "left")

    def add(name: str, sees: str, accuracy: float, seconds: float) -> None:
        table.add_row(name, sees, f"{100 * accuracy:.1f} %", f"{seconds:.0f} s")

    for name, outcome in outcomes.items():
        if outcome.teacher is not None:
            seconds = outcome.seconds["teacher"]
            add(f"teacher ({name})", "video + audio", outcome.teacher, seconds)
    for name, outcome in outcomes.items():
        add(name, "video", outcome.student, outcome.seconds["student"])
    console.print(table)
    alone = outcomes["student alone"]
    error = 100 * (2 * alone.student * (1 - alone.student) / alone.clips) ** 0.5
    console.print(
        f"One seed and {alone.clips} clips: two students differ by {error:.1f} points (one "
        "standard error) by chance alone."
    )


def main() -> None:
    begun = time.perf_counter()
    os.environ.setdefault("WANDB_SILENT", "true")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # The loader's two workers decode on the other cores.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) - 2))
    console = Console()
    folder = Path("runs") / "demo" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    outcomes = {}
    for name, method in METHODS.items():
        console.rule(name)
        outcomes[name] = train_and_test(method, folder, sys.argv[1:])
    console.rule()
    print_table(outcomes, console)
    minutes = (time.perf_counter() - begun) / 60
    console.print(f"{minutes:.1f} minutes in all; checkpoints, metrics and configs: {folder}")


if __name__ == "__main__":
    main()
