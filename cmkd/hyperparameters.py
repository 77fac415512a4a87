"""Which constructor arguments a checkpoint may hold."""

from typing import Any

from lightning.pytorch import LightningModule


def is_plain(value: Any) -> bool:
    """Tell whether value is data that ``torch.load(weights_only=True)`` reads back."""
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


def keep_plain_hyperparameters(module: LightningModule) -> None:
    """Drop saved hyper-parameters that are objects: factories given from Python.

    From the CLI all of them are plain (classes are stored as ``class_path``), and
    ``load_from_checkpoint`` needs no arguments. Built in Python, it needs the factories again; a
    pickled one could not be loaded with ``weights_only=True`` and could execute code.
    """
    for name in [name for name, value in module.hparams.items() if not is_plain(value)]:
        del module.hparams[name]
