"""What the dashboard costs: the time of a fit with it, against the same fit without.

python experiments/benchmarks/dashboard.py [--rounds 2 --epochs 80 --width 1024] [-- of cmkd fit]

Three fits take turns: with CSV alone, with CSV and W&B (offline), and as `cmkd fit` does it, with
all of the dashboard: throughput, gradient norms, figures, weak-teacher alarm, the best checkpoint
as an artifact. The time of a fit is that from its first step to its end, with the figures that are
drawn there; given are medians over the rounds, one more before which is not counted. Two fits of
the same differ by some percent on many machines, so the share that the dashboard's callbacks spend
in their own hooks is given, too: all but what W&B's process does beside. By default the data are
the simulated world and the method is the AMID objective, both stages; what stands behind `--` is
added to the command line, for example another `--config`, whose settings then count.
"""

import argparse
import contextlib
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import wandb
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from cmkd import cli
from cmkd.callbacks import ResultsTable, StopOnSignal
from cmkd.runs import RunOptions

EXPERIMENTS = Path(__file__).parents[1]
WORLD = [EXPERIMENTS / "latent_world" / "base.yaml", EXPERIMENTS / "methods" / "amid.yaml"]
#: W&B's mode, and whether the dashboard's callbacks are there.
FITS = {
    "CSV": ("disabled", False),
    "CSV, W&B": ("offline", False),
    "dashboard": ("offline", True),
}


class Clock(Callback):
    """Measures a fit, from the beginning of its first epoch to its end.

    Attributes:
        seconds: of the fit.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start."""
        self._began = time.perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop; it is the last callback."""
        self.seconds = time.perf_counter() - self._began


def timed(callback: Callback, spent: list[float]) -> Callback:
    """Let a callback note what its hooks take."""
    for name in dir(callback):
        hook = getattr(callback, name)
        if name.startswith("on_") and getattr(type(callback), name) is not getattr(Callback, name):
            setattr(callback, name, _noting(hook, spent))
    return callback


def _noting(hook: Callable[..., object], spent: list[float]) -> Callable[..., object]:
    def noted(*given: object, **named: object) -> object:
        begun = time.perf_counter()
        try:
            return hook(*given, **named)
        finally:
            spent.append(time.perf_counter() - begun)

    return noted


def seconds(arguments: list[str], folder: Path, mode: str, dashboard: bool) -> tuple[float, float]:
    """Fit through the command line, into a folder; return its time, and that in the hooks."""
    clock, usual, spent = Clock(), cli.default_callbacks, list[float]()

    def callbacks(options: RunOptions) -> list[Callback]:
        kept: list[Callback] = [StopOnSignal(), ResultsTable()]
        if dashboard:
            own = {type(callback) for callback in kept}
            kept += [timed(c, spent) for c in usual(options) if type(c) not in own]
        return [*kept, clock]

    cli.default_callbacks = callbacks
    try:
        with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
            cli.run([*arguments, "--run.dir", str(folder), "--run.wandb", mode])
    finally:
        cli.default_callbacks = usual
    return clock.seconds, sum(spent)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=80, help="half of them the teacher's")
    parser.add_argument("--width", type=int, default=1024, help="of the encoders")
    parser.add_argument("further", nargs="*", help="for cmkd fit, behind --")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    arguments = ["fit"]
    if "--config" not in options.further:
        for config in WORLD:
            arguments += ["--config", str(config)]
        for modality in ("first", "second"):
            arguments += [f"--model.encoders.{modality}.init_args.width", str(options.width)]
        arguments += ["--model.teacher_epochs", str(options.epochs // 2)]
        arguments += ["--trainer.max_epochs", str(options.epochs)]
    arguments += ["--trainer.enable_progress_bar", "false", *options.further]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in FITS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1 + options.rounds):
            for name, (mode, dashboard) in FITS.items():
                spent = seconds(arguments, Path(folder) / f"{name} {number}", mode, dashboard)
                # The first round imports what the others have at hand.
                if number > 0:
                    found[name].append(spent)
        # W&B's own process writes there until it ends.
        wandb.teardown()
    medians = {name: statistics.median(s for s, _ in values) for name, values in found.items()}
    table = Table(title="A fit")
    for heading in ("", "s", "more than CSV alone, %", "in the dashboard's hooks, %"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, value in medians.items():
        more = 100 * (value / medians["CSV"] - 1)
        hooks = statistics.median(100 * inside / whole for whole, inside in found[name])
        table.add_row(name, f"{value:.2f}", f"{more:.2f}", f"{hooks:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
