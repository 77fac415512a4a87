"""The student stage with the frozen teacher run in every step, and run once on each sample.

python experiments/benchmarks/teacher_cache.py                # the quickstart's own teacher
python experiments/benchmarks/teacher_cache.py --teacher r3d_18 --val_fraction 0.6

Both runs train on the same unaugmented clips, start with the same networks and should end with the
same loss. An epoch is training and validation. The first epoch of the student stage fills the
cache, the later ones read it. "Stage" is what a student stage of --stage epochs takes at these
times.
"""

import argparse
import contextlib
import io
import logging
import os
import statistics
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from cmkd.callbacks import ResultsTable
from cmkd.cli import run

CONFIG = Path(__file__).parents[1] / "quickstart.yaml"
R3D_18 = (
    "{video: {class_path: cmkd.networks.TorchvisionVideo, init_args: {architecture: r3d_18}}, "
    "audio: {class_path: cmkd.networks.AudioCNN, "
    "init_args: {sample_rate: 8000, n_mels: 32, width: 8}}}"
)


def student_stage(options: argparse.Namespace, cached: bool) -> tuple[list[float], float]:
    """Train and return the seconds of the student's epochs, and its last loss."""
    totals = [0.0]
    original = ResultsTable.on_train_epoch_end

    def noted(self: ResultsTable, trainer: Trainer, module: LightningModule) -> None:
        original(self, trainer, module)
        if "student" in self.seconds:
            totals.append(self.seconds["student"])

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        arguments = ["fit", "--config", str(options.config), "--run.dir", folder]
        arguments += ["--run.wandb", "disabled", "--data.init_args.augment", "false"]
        arguments += ["--data.init_args.num_workers", str(options.workers)]
        arguments += ["--model.cache_teacher", str(cached).lower(), "--model.teacher_epochs", "1"]
        arguments += ["--trainer.max_epochs", str(1 + options.epochs)]
        arguments += ["--trainer.enable_progress_bar", "false"]
        if options.teacher == "r3d_18":
            arguments += ["--model.teacher_encoders", R3D_18]
        if options.val_fraction is not None:
            arguments += ["--data.init_args.val_fraction", str(options.val_fraction)]
            arguments += ["--trainer.limit_val_batches", "1"]
        ResultsTable.on_train_epoch_end = noted  # type: ignore[method-assign]
        try:
            cli = run(arguments)
        finally:
            ResultsTable.on_train_epoch_end = original  # type: ignore[method-assign]
    seconds = [end - begin for begin, end in pairwise(totals)]
    return seconds, float(cli.trainer.callback_metrics["train/student_loss"])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--teacher", choices=["own", "r3d_18"], default="own")
    parser.add_argument(
        "--val_fraction", type=float, help="train on fewer clips; the others are not looked at"
    )
    parser.add_argument("--epochs", type=int, default=4, help="of the student stage, at least 2")
    parser.add_argument("--stage", type=int, default=18, help="epochs of the whole student stage")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ["WANDB_MODE"] = "disabled"
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.manual_seed(0)
    table = Table(title=f"Student stage of {options.config.name}, teacher: {options.teacher}")
    table.add_column("teacher")
    for heading in ("first epoch, s", "later epochs, s", "stage, s", "times as fast", "last loss"):
        table.add_column(heading, justify="right")
    base = 0.0
    for cached in (False, True):
        (first, *later), loss = student_stage(options, cached)
        stage = first + statistics.median(later) * (options.stage - 1)
        base = base or stage
        table.add_row(
            "cached" if cached else "run in every step",
            f"{first:.2f}",
            f"{statistics.median(later):.2f}",
            f"{stage:.1f}",
            f"{base / stage:.2f}",
            f"{loss:.6f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
