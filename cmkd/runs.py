"""A run's folder and its loggers."""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities import rank_zero_only


@dataclass
class RunOptions:
    """Where a run writes, and who is told.

    Attributes:
        dir: the run's folder; by default ``<root>/<name>/<time>``, or that of the checkpoint it
            resumes from.
        root: folder of all runs.
        name: name of the experiment; by default the names of the config files.
        wandb: ``offline``, ``online`` or ``disabled``; by default the environment's WANDB_MODE,
            else ``offline``. ``wandb sync`` uploads an offline run later.
        project: Weights & Biases project.
        tensorboard: also write TensorBoard files (needs ``pip install cmkd[tensorboard]``).
        figures: epochs from one set of figures to the next, 0 for none: confusion matrix, embedding
            map and others (:class:`cmkd.callbacks.Dashboard`; needs ``pip install cmkd[plots]``).
        resume: let a fit go on from ``last.ckpt`` if ``dir`` holds one, so that one command starts
            a run and, given again after a kill, continues it.
    """

    dir: str | None = None
    root: str = "runs"
    name: str | None = None
    wandb: Literal["offline", "online", "disabled"] | None = None
    project: str = "cmkd"
    tensorboard: bool = False
    figures: int = 1
    resume: bool = False

    def __post_init__(self) -> None:
        if self.figures < 0:
            raise ValueError(f"run.figures must be 0 or more epochs, got {self.figures}")


def run_folder(options: RunOptions, configs: Sequence[str], ckpt_path: str | None) -> Path:
    """Return the folder of a run, without making it.

    Args:
        options: what the user said.
        configs: paths of the config files, which name the experiment.
        ckpt_path: the checkpoint a fit resumes from; the run goes on in its folder.
    """
    if options.dir is not None:
        return Path(options.dir)
    if ckpt_path is not None and Path(ckpt_path).parent.name == "checkpoints":
        return Path(ckpt_path).parent.parent
    name = options.name or config_name(configs)
    return Path(options.root) / name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")


def checkpoint_to_resume(
    options: RunOptions, ckpt_path: str | None, folder: str | None
) -> str | None:
    """Return the checkpoint from which a fit goes on, None where it begins.

    Args:
        options: what the user said.
        ckpt_path: the checkpoint that the user named.
        folder: of the checkpoints; None for that within the run's folder.

    Raises:
        ValueError: for ``run.resume`` without ``run.dir``, or beside a named checkpoint.
    """
    if not options.resume:
        return ckpt_path
    if options.dir is None:
        raise ValueError("run.resume looks for last.ckpt in the run's folder; name it by run.dir")
    if ckpt_path is not None:
        raise ValueError(
            f"run.resume goes on from last.ckpt in '{options.dir}', ckpt_path from '{ckpt_path}'; "
            "leave one of them out"
        )
    last = Path(folder or Path(options.dir) / "checkpoints") / "last.ckpt"
    return str(last) if last.is_file() else None


def config_name(configs: Sequence[str]) -> str:
    """Join the configs' names: ravdess/base.yaml, methods/kd.yaml -> ravdess-base_methods-kd."""
    names = []
    for config in configs:
        parts = list(Path(config).with_suffix("").parts)
        start = parts.index("experiments") + 1 if "experiments" in parts else -1
        names.append("-".join(parts[start:]))
    return "_".join(names) or "run"


def default_loggers(options: RunOptions, folder: Path, group: str | None = None) -> list[Logger]:
    """Return CSV, Weights & Biases and, if asked for, TensorBoard, all inside the run's folder.

    A run that goes on in its folder goes on in the same W&B run.

    Args:
        options: what the user said.
        folder: the run's.
        group: under which W&B lists the run beside others; None: that of the environment's
            WANDB_RUN_GROUP, if any.

    Raises:
        ValueError: for W&B online without an API key; it would ask for one and wait.
    """
    loggers: list[Logger] = [AppendingCSVLogger(folder)]
    mode = options.wandb or os.environ.get("WANDB_MODE", "offline")
    if mode != "disabled":
        loggers.append(_wandb_logger(options.project, folder, group, mode))
    if options.tensorboard:
        from lightning.pytorch.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    return loggers


class AppendingCSVLogger(CSVLogger):
    """``metrics.csv`` in the run's folder; that of an interrupted run is kept as ``metrics-1.csv``.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=folder, name="", version="")
        self._folder = folder

    @property
    @rank_zero_experiment  # The other ranks would move aside the file that rank 0 has begun.
    def experiment(self) -> object:
        """Return the writer; an earlier file is moved aside before it is made."""
        if self._experiment is None:
            metrics = self._folder / "metrics.csv"
            if metrics.exists():
                metrics.rename(free_path(metrics))
        return super().experiment


def free_path(path: Path) -> Path:
    """Return path if nothing is there, else the first free ``<stem>-<n><suffix>``."""
    free, number = path, 0
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def _wandb_logger(project: str, folder: Path, group: str | None, mode: str) -> Logger:
    import wandb

    from cmkd.wandb_logger import PanelLogger

    if mode == "online" and not wandb.api.api_key:
        raise ValueError(
            "run.wandb is 'online', but there is no W&B API key: run `wandb login` or set "
            "WANDB_API_KEY, or leave run.wandb at 'offline' and upload later with `wandb sync`"
        )
    # Lightning would go on in a run that an earlier fit of this process left open.
    wandb.finish()
    logging.getLogger("wandb").setLevel(logging.ERROR)
    # The time in the folder's name may be another one on another rank; only rank 0 writes.
    rank_zero_only(folder.mkdir)(parents=True, exist_ok=True)
    # A resumed run may be given the same folder by another path.
    parts = folder.absolute().parts[-3:]
    # W&B allows letters, digits, - and _ in an id.
    identity = re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(parts)).strip("-")
    return PanelLogger(
        project=project,
        name="/".join(parts),
        group=group or os.environ.get("WANDB_RUN_GROUP"),
        id=identity[-120:],
        save_dir=folder,
        offline=mode != "online",
        resume="allow",
        settings=wandb.Settings(silent=True, console="off"),
    )
