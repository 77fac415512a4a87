"""The command line: LightningCLI with our module, run folders and loggers."""

import os
import warnings
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from cmkd.callbacks import (
    BestCheckpoint,
    Dashboard,
    GradientNorms,
    NonFiniteGuard,
    ResultsTable,
    RunConfig,
    StageCheckpoint,
    StageLog,
    StageProgressBar,
    StopOnSignal,
    Throughput,
    WeakTeacherAlarm,
)
from cmkd.callbacks.nonfinite import NonFiniteError
from cmkd.distillation import CrossModalDistillation
from cmkd.runs import (
    RunOptions,
    checkpoint_to_resume,
    config_name,
    default_loggers,
    run_folder,
)
from cmkd.whole_numbers import keep_whole_numbers

_DESCRIPTION = (
    "Cross-modal knowledge distillation. Beside the subcommands below there are, each with a "
    "--help of its own: prepare (check a dataset's files), compare (methods over seeds and folds, "
    "one table), report (one HTML file on a run or a comparison), export (the student alone), "
    "infer (the student's word on files), search (the nearest clips), keys (what a config key "
    "means)."
)
#: Where the run's seed is linked to.
_DATA_SEED = "data.init_args.seed"
_HARMLESS = (
    "The .*_dataloader. does not have many workers",
    "The number of training batches .* is smaller than the logging interval",
    "LightningCLI's args parameter is intended to run from within Python",
    "Found .* module.s. in eval mode at the start of training",
    "You have overridden `on_before_batch_transfer`",
    "Checkpoint directory .* exists and is not empty",
    "Experiment logs directory .* exists and is not empty",
    ".*treespec, LeafSpec.* is deprecated",
    # `cmkd test` of what `cmkd fit` kept: there are fewer callbacks, and none is missed.
    "Be aware that when using `ckpt_path`, callbacks used to create the checkpoint",
    # Metrics are over all ranks already; training losses are the first rank's, and say so.
    "It is recommended to use `self.log..(train|val|test)/.*sync_dist=True",
)


class CrossModalCLI(LightningCLI):
    """``cmkd fit|validate|test|predict``: networks, objectives, task and data by class_path.

    Everything a run writes goes into one folder (``run.dir``): config.yaml, checkpoints,
    metrics.csv, the W&B files.
    """

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the trainer's options."""
        keep_whole_numbers(Trainer.__init__)
        super().add_core_arguments_to_parser(parser)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's options and tell the data what the model sees and which seed it has."""
        parser.add_class_arguments(RunOptions, "run")
        parser.add_lightning_class_args(StageCheckpoint, "checkpoint")
        parser.add_lightning_class_args(NonFiniteGuard, "nonfinite")
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")
        for side in ("student", "auxiliary"):
            name = f"{side}_modalities"
            parser.link_arguments(f"model.{name}", f"data.init_args.{name}")
        parser.link_arguments("seed_everything", _DATA_SEED, compute_fn=_data_seed)
        parser.set_defaults({"seed_everything": 0})

    def _parse_ckpt_path(self) -> None:
        """Let the config stand: a checkpoint's hyper-parameters do not overwrite it."""

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint that the run goes on from."""
        if self.subcommand == "fit":
            config = self.config["fit"]
            options = RunOptions(**config["run"].as_dict())
            config["ckpt_path"] = checkpoint_to_resume(
                options, config.get("ckpt_path"), config["checkpoint"].get("dirpath")
            )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the trainer the run's folder, loggers and progress bar."""
        options: RunOptions = self._get(self.config_init, "run")
        given = self._get(self.config_init, "trainer")
        ckpt_path = self._get(self.config_init, "ckpt_path")
        configs = [str(path) for path in self._get(self.config, "config") or []]
        self.folder = run_folder(options, configs, ckpt_path)
        fitting = self.subcommand in (None, "fit")
        if given.get("default_root_dir") is None:
            kwargs["default_root_dir"] = str(self.folder)
        if given.get("logger") is None:
            group = options.name or config_name(configs)
            kwargs["logger"] = default_loggers(options, self.folder, group) if fitting else False
        callbacks = list(given.get("callbacks") or [])
        if given.get("enable_progress_bar") is not False:
            callbacks.append(StageProgressBar())
        if fitting:
            own = {type(callback) for callback in callbacks}
            callbacks += [c for c in default_callbacks(options) if type(c) not in own]
        kwargs["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)


def default_callbacks(options: RunOptions) -> list[Callback]:
    """Return what every fit has; one that the config lists itself, with other arguments, stays."""
    callbacks = [
        StopOnSignal(),
        Throughput(),
        GradientNorms(),
        StageLog(),
        WeakTeacherAlarm(),
        ResultsTable(),
        BestCheckpoint(),
    ]
    return callbacks + ([Dashboard(options.figures)] if options.figures else [])


def give_seed(config: Namespace, seed: int) -> None:
    """Put a seed into a config that is parsed already, and where the seed is linked to."""
    config.seed_everything = seed
    if _DATA_SEED in config:
        config[_DATA_SEED] = _data_seed(seed)


def _data_seed(seed: bool | int) -> int:
    """Give the data the run's seed; with ``true`` or ``false`` there is none to give."""
    return 0 if isinstance(seed, bool) else seed


def leave_out_harmless_warnings() -> None:
    """Ignore warnings that name nothing the user could change."""
    # Lightning's own calls.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for message in _HARMLESS:
        warnings.filterwarnings("ignore", message=message)


def run(args: list[str] | None = None) -> CrossModalCLI:
    """Run one command and return the CLI object, with ``trainer``, ``model`` and ``datamodule``.

    Args:
        args: the command line without the program's name, None for that of the process.
    """
    leave_out_harmless_warnings()
    return CrossModalCLI(
        CrossModalDistillation,
        LightningDataModule,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        save_config_callback=RunConfig,
        args=args,
        parser_kwargs={"description": _DESCRIPTION, "prog": "cmkd"},
    )


def main() -> None:
    """Run LightningCLI's commands on the process's arguments.

    What a constructor says about a config reaches the user as one line: jsonargparse wraps it in
    the description of every type it tried.
    """
    try:
        run()
    except ValueError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if cause is error:
            raise
        raise SystemExit(f"cmkd: error: {cause}") from None
    except NonFiniteError as error:
        raise SystemExit(f"cmkd: error: {error}") from None
