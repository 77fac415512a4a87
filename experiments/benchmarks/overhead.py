"""What the frame costs: `cmkd fit` with logging and progress bar against a loop written by hand.

python experiments/benchmarks/overhead.py [--rounds 3 --epochs 4]

Both do the student stage of the AMID objective on the simulated world: the same networks, losses,
loader, optimizers and clipping; a step is the time from the beginning of one to that of the next,
the mean over an epoch. The fit is started through the command line, with CSV and W&B files
(offline) and a bar that is drawn, into nothing. They take turns; figures are medians over epochs.
"""

import argparse
import contextlib
import logging
import os
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.utils import clip_grad_norm_

from cmkd import CrossModalDistillation
from cmkd.cli import CrossModalCLI, run
from cmkd.staged import StagedModule

EXPERIMENTS = Path(__file__).parents[1]
CLIP = 1.0


@dataclass(frozen=True)
class Setting:
    """A size of step.

    Attributes:
        width: of the encoders.
        depth: of the encoders.
        batch: rows.
        batches: of an epoch.
    """

    width: int
    depth: int
    batch: int
    batches: int


SETTINGS = {
    "small": Setting(width=64, depth=2, batch=128, batches=150),
    "large": Setting(width=2048, depth=3, batch=256, batches=30),
}


def arguments(setting: Setting, epochs: int, wandb: str) -> list[str]:
    """Return the command line of a fit."""
    base, method = EXPERIMENTS / "latent_world" / "base.yaml", EXPERIMENTS / "methods" / "amid.yaml"
    given = ["fit", "--config", str(base), "--config", str(method), "--run.wandb", wandb]
    for modality in ("first", "second"):
        for name in ("width", "depth"):
            value = str(getattr(setting, name))
            given += [f"--model.encoders.{modality}.init_args.{name}", value]
    return [
        *given,
        *("--model.gradient_clip_norm", str(CLIP), "--model.teacher_epochs", "1"),
        *("--data.init_args.batch_size", str(setting.batch)),
        *("--data.init_args.train", str(setting.batch * setting.batches)),
        *("--data.init_args.val", "128", "--trainer.max_epochs", str(1 + epochs)),
    ]


def means(begun: list[float]) -> float:
    """Return the mean seconds from one beginning to the next."""
    return (begun[-1] - begun[0]) / (len(begun) - 1)


def by_fit(setting: Setting, epochs: int, wandb: str) -> tuple[CrossModalCLI, list[float]]:
    """Fit through the command line; return the seconds of a step, by epoch."""
    begun: dict[int, list[float]] = {}
    original = CrossModalDistillation.training_step

    def timed(self: CrossModalDistillation, *given: object) -> None:
        if self.stage.name == "student":
            begun.setdefault(self.current_epoch, []).append(time.perf_counter())
        original(self, *given)  # type: ignore[arg-type]

    CrossModalDistillation.training_step = timed  # type: ignore[method-assign]
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Path(os.devnull).open("w") as nothing,
            contextlib.redirect_stdout(nothing),
        ):
            cli = run([*arguments(setting, epochs, wandb), "--run.dir", folder])
    finally:
        CrossModalDistillation.training_step = original  # type: ignore[method-assign]
    return cli, [means(times) for times in begun.values()]


def by_hand(cli: CrossModalCLI, epochs: int) -> list[float]:
    """Go on with the fitted networks in a plain loop; return the seconds of a step, by epoch."""
    model: StagedModule = cli.model
    stage, networks = model.stage, model.networks
    objectives = stage.terms.by_name()
    critics = [p for group in stage.terms.critic_groups() for p in group]
    learning = [p for p in networks["student"].parameters() if p.requires_grad]
    learning += stage.terms.main_parameters()
    optimizer, critic_optimizer = model.optimizer_factory(learning), None
    if critics:
        critic_optimizer = model.critic_optimizer_factory(critics)
    cli.datamodule.trainer = None  # or its sampler would ask a trainer that has finished
    loader = cli.datamodule.train_dataloader()
    model.train()
    seconds = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        begun = []
        for batch in loader:
            begun.append(time.perf_counter())
            with torch.no_grad():
                given = {role: networks[role](batch) for role in stage.used - {"student"}}
            given["student"] = networks["student"](batch)
            loss = nn.functional.cross_entropy(given["student"].logits, batch["label"])
            for name, objective in objectives.items():
                output = objective(given, batch)
                loss = loss + stage.terms.weights[name] * output.loss
                if output.critic_loss is not None:
                    loss = loss + output.critic_loss
            optimizer.zero_grad()
            if critic_optimizer is not None:
                critic_optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(learning, CLIP)
            for group in stage.terms.critic_groups():
                clip_grad_norm_(group, CLIP)
            optimizer.step()
            if critic_optimizer is not None:
                critic_optimizer.step()
        seconds.append(means(begun))
    return seconds


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--settings", nargs="*", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--epochs", type=int, default=4, help="of each round, the first not counted"
    )
    parser.add_argument("--wandb", choices=["offline", "disabled"], default="offline")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ["FORCE_COLOR"] = "1"  # Rich draws the bar also where there is no terminal
    rows = []
    for name in options.settings:
        fit, hand = [], []
        for _ in range(options.rounds):
            cli, seconds = by_fit(SETTINGS[name], options.epochs, options.wandb)
            fit += seconds[1:]
            hand += by_hand(cli, options.epochs)[1:]
        rows.append((name, statistics.median(fit), statistics.median(hand)))
    del os.environ["FORCE_COLOR"]
    table = Table(title="A step of the student stage, ms")
    table.add_column("")
    for heading in ("cmkd fit", "by hand", "more, ms", "more, %"):
        table.add_column(heading, justify="right")
    for name, fit_seconds, hand_seconds in rows:
        more = fit_seconds - hand_seconds
        figures = [1000 * fit_seconds, 1000 * hand_seconds, 1000 * more, 100 * more / hand_seconds]
        table.add_row(name, *(f"{figure:.2f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
