"""Builds model, data and trainer as ``cmkd fit`` does, many times with one parser."""

import re
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, seed_everything
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from cmkd.cli import CrossModalCLI, give_seed, leave_out_harmless_warnings
from cmkd.compare.plan import Run
from cmkd.compare.worker import root_cause
from cmkd.distillation import CrossModalDistillation


@dataclass(frozen=True)
class Built:
    """What a run is made of.

    Attributes:
        model: the module.
        data: the datamodule.
        trainer: arguments of the trainer.
        checkpoint: arguments of the checkpoint callback, of which ``monitor`` and ``mode`` count.
        config: the whole config as plain data, defaults included.
    """

    model: CrossModalDistillation
    data: LightningDataModule
    trainer: dict[str, Any]
    checkpoint: dict[str, Any]
    config: dict[str, Any]


class _ParserOnly(CrossModalCLI):
    """Makes the command line's parser and nothing else."""

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        pass

    def _set_seed(self) -> None:
        pass

    def instantiate_classes(self) -> None:
        pass


@cache
def _parser() -> LightningArgumentParser:
    leave_out_harmless_warnings()
    cli = _ParserOnly(
        CrossModalDistillation,
        LightningDataModule,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        save_config_callback=None,
        run=False,
        load_from_checkpoint_support=False,
        # argparse would take a key that lacks its last letters for the key.
        parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
    )
    return cli.parser


def parse_run(run: Run) -> Namespace:
    """Parse the arguments of a run; errors as of ``parse``.

    It takes as long as some epochs of a small network: runs that differ by seed alone share it.
    """
    parsed = _parsed(tuple(run.settings)).clone()
    give_seed(parsed, run.seed)
    return parsed


@lru_cache(maxsize=64)
def _parsed(settings: tuple[str, ...]) -> Namespace:
    return parse(settings)


def parse(arguments: Sequence[str]) -> Namespace:
    """Parse arguments of ``cmkd fit``.

    Raises:
        ValueError: for whatever does not fit; the message names the key.
    """
    try:
        return _parser().parse_args(list(arguments))
    except ArgumentError as error:
        # jsonargparse says which key it is at first, then all types it tried, and last the cause.
        key = re.match(r'Parser key "(.+?)"', str(error))
        message = f"{key[1]}: {root_cause(error)}" if key else str(error)
        raise ValueError(message) from None


def build(parsed: Namespace, **changes: Any) -> Built:
    """Seed everything as ``cmkd fit`` does, and make what parsed arguments describe.

    Args:
        parsed: what ``parse`` gave; it is not changed.
        **changes: values by key, with ``__`` for the dot: parsing takes longer than building.

    Raises:
        ValueError: for whatever does not fit.
    """
    parsed = parsed.clone()
    for key, value in changes.items():
        parsed[key.replace("__", ".")] = value
    if parsed.seed_everything is not False:
        seed_everything(parsed.seed_everything, workers=True, verbose=False)
    made = _parser().instantiate(parsed)
    return Built(
        model=made.model,
        data=made.data,
        trainer=dict(made.trainer.items()),
        checkpoint=dict(parsed.checkpoint.items()),
        config=parsed.as_dict(),
    )
