"""A run's folder: its checkpoint, its config, and the data it was trained on."""

from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

from cmkd.preprocessing import STUDENT_STATE, Shape

_SIDES = ("student_modalities", "auxiliary_modalities")


class RunFiles(NamedTuple):
    """What of a run is exported.

    Attributes:
        checkpoint: the checkpoint.
        config: the run's ``config.yaml``; None where there is none.
    """

    checkpoint: Path
    config: Path | None


def find_run(path: Path) -> RunFiles:
    """Return the files of a run, given by its folder or by one of its checkpoints.

    Of a folder it is the best checkpoint, or the last where no best one was kept.

    Raises:
        FileNotFoundError: when there is no such file, or no checkpoint in the folder.
    """
    if path.is_dir():
        found = [path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
        checkpoint = next((one for one in found if one.is_file()), None)
        if checkpoint is None:
            raise FileNotFoundError(
                f"{path}: there is no checkpoints/best.ckpt or last.ckpt in it; give the folder of "
                "a run, runs/<name>/<time>, or a checkpoint"
            )
    else:
        checkpoint = path
        if not checkpoint.is_file():
            raise FileNotFoundError(f"there is no checkpoint {path}")
    folder = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else path.parent
    config = folder / "config.yaml"
    return RunFiles(checkpoint, config if config.is_file() else None)


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's config.

    Raises:
        ValueError: when it is none.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: is no YAML: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("data"), dict):
        raise ValueError(f"{path}: is no config of a run: it has no data")
    return config


class RunData:
    """The datamodule of a run, built when it is asked for.

    Args:
        config: what ``read_config`` gave; None where there is none. It is the user's own, and what
            it names is imported.
        where: its file, for messages.

    Attributes:
        problem: why the data could not be opened; empty before that, and where it could.
    """

    def __init__(self, config: Mapping[str, Any] | None, where: Path | None) -> None:
        self._config = config
        self._where = where
        self._built: LightningDataModule | None = None
        self.problem = "" if config is not None else "there is no config.yaml"

    def open(self) -> LightningDataModule | None:
        """Return the datamodule with its test data; None where its data is not there."""
        if self._built is None and not self.problem and self._config is not None:
            try:
                built = _build(self._config)
                built.prepare_data()
                built.setup("test")
            except (OSError, ValueError) as error:
                self.problem = f"the data of {self._where} cannot be opened: {error}"
            else:
                self._built = built
        return self._built

    def student_state(self) -> Mapping[str, Any] | None:
        """Return what the datamodule says of the student's inputs; None where it says nothing.

        Raises:
            ValueError: when the data cannot be opened.
        """
        data = self.open()
        if data is None:
            raise ValueError(
                "the checkpoint does not say how the student's inputs are made, and "
                f"{self.problem}; export it where its data is"
            )
        return data.state_dict().get(STUDENT_STATE)

    def shapes(self, modalities: Sequence[str]) -> dict[str, Shape] | None:
        """Return the shapes of a training sample, if the data is open."""
        dataset = getattr(self._built, "dataset", None)
        if dataset is None:
            return None
        sample = dataset("train")[0]
        return {name: tuple(sample[name].shape) for name in modalities}


def _build(config: Mapping[str, Any]) -> LightningDataModule:
    data = dict(config["data"])
    model = config.get("model") or {}
    arguments = dict(data.get("init_args") or {})
    arguments |= {side: model[side] for side in _SIDES if side in model}
    seed = config.get("seed_everything")
    if isinstance(seed, int) and not isinstance(seed, bool):
        arguments["seed"] = seed
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    try:
        parsed = parser.parse_object({"data": {**data, "init_args": arguments}})
    except ArgumentError as error:
        raise ValueError(str(error)) from error
    built: LightningDataModule = parser.instantiate(parsed).data
    return built
