"""What ``cmkd prepare`` is told: which datamodule, with which arguments."""

from argparse import SUPPRESS
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

from cmkd.nearest import did_you_mean

#: Entry points of this group are the names that the command knows; packages may add theirs.
GROUP = "cmkd.datamodules"
_SIDES = ("student_modalities", "auxiliary_modalities")
#: What the command gives the datamodule by itself.
_NOT_ASKED = (*_SIDES, "index", "cache", "on_corrupt", "auxiliary_at_test")


def known_names() -> list[str]:
    """Return the names of the datamodules that installed packages declare."""
    return sorted(point.name for point in entry_points(group=GROUP))


def find_class(name: str) -> type[LightningDataModule]:
    """Return a datamodule by its entry point's name or by class path.

    Raises:
        ValueError: when there is none; the message suggests the nearest name.
    """
    named = {point.name: point for point in entry_points(group=GROUP)}
    if name.lower() in named:
        found = named[name.lower()].load()
    else:
        module, _, attribute = name.rpartition(".")
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            hint = did_you_mean(name.lower(), named)
            why = f" ({error})" if module else ""
            raise ValueError(
                f"there is no datamodule '{name}'{why}{hint} Known names: "
                f"{', '.join(sorted(named)) or 'none, install the package again'}; any other "
                "datamodule is given by its class path"
            ) from None
    if not (isinstance(found, type) and issubclass(found, LightningDataModule)):
        raise ValueError(f"{name} is not a LightningDataModule")
    return found


def read_configs(paths: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """Return the class path and the arguments of the ``data`` part of config files.

    The model's modalities stand in for the data's, as in ``cmkd fit``. Later files win.

    Raises:
        ValueError: for a file that is no config, or has no data part.
    """
    name: str | None = None
    arguments: dict[str, Any] = {}
    for path in paths:
        try:
            config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is not YAML: {error}") from error
        if not isinstance(config, dict):
            raise ValueError(f"{path} is not a config: it holds no keys")
        data = config.get("data") or {}
        if isinstance(data, str):
            data = {"class_path": data}
        name = data.get("class_path", name)
        model = config.get("model") or {}
        arguments |= {side: model[side] for side in _SIDES if side in model}
        arguments |= data.get("init_args") or {}
    if paths and name is None:
        raise ValueError(f"{', '.join(paths)}: there is no data.class_path")
    return name, arguments


def parse_arguments(
    name: str,
    data_class: type[LightningDataModule],
    options: type,
    given: Mapping[str, Any],
    args: Sequence[str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse a command line of the datamodule's and the command's own arguments.

    Args:
        name: of the datamodule as given, for the usage line.
        data_class: the datamodule.
        options: dataclass of the command's own.
        given: arguments of the datamodule from config files.
        args: the command line; it wins over ``given``.

    Returns:
        The command's own options, and the datamodule's arguments, classes among them made.

    Raises:
        SystemExit: for arguments that are unknown, missing or of the wrong type.
    """
    parser = ArgumentParser(prog=f"cmkd prepare {name}", description=str(data_class.__doc__))
    parser.add_argument("--given", action="config", help=SUPPRESS)
    own = parser.add_class_arguments(options, None, instantiate=False)
    theirs = parser.add_class_arguments(
        data_class, None, skip={*_NOT_ASKED, *own}, instantiate=False
    )
    config = {key: value for key, value in given.items() if key not in _NOT_ASKED or key in _SIDES}
    parsed = parser.parse_args(["--given", yaml.safe_dump(config), *args])
    made = parser.instantiate(parsed)
    return {key: made[key] for key in own}, {key: made[key] for key in theirs}


def choose_modalities(
    data_class: type[LightningDataModule],
    arguments: Mapping[str, Any],
    student: list[str] | None,
    auxiliary: list[str] | None,
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the modality sets to prepare, by default all for which the arguments suffice.

    Args:
        data_class: the datamodule.
        arguments: its other arguments.
        student: those given, None for the first offered.
        auxiliary: those given, None for all the others.

    Returns:
        The two arguments, and the modalities that are left out with the reason.

    Raises:
        ValueError: what the constructor raises without any auxiliary modality.
    """
    if student is not None and auxiliary is not None:
        return dict(zip(_SIDES, (student, auxiliary), strict=True)), {}
    offered = _offered(data_class, arguments)
    student = student or offered[:1]
    if auxiliary is not None:
        return dict(zip(_SIDES, (student, auxiliary), strict=True)), {}
    data_class(**arguments, student_modalities=student, auxiliary_modalities=[])
    usable, left_out = [], {}
    for name in offered:
        if name in student:
            continue
        try:
            data_class(**arguments, student_modalities=student, auxiliary_modalities=[name])
        except (ValueError, OSError) as error:
            left_out[name] = str(error)
        else:
            usable.append(name)
    return dict(zip(_SIDES, (student, usable), strict=True)), left_out


def _offered(data_class: type[LightningDataModule], arguments: Mapping[str, Any]) -> list[str]:
    """Ask a datamodule what it offers; some know that only in the middle of their construction."""

    class Answer(Exception):  # noqa: N818 - it is none
        pass

    def answer(self: LightningDataModule) -> list[str]:
        raise Answer(list(super(asked, self).offered_modalities))

    asked: Any = type(data_class.__name__, (data_class,), {"offered_modalities": property(answer)})
    try:
        asked(**arguments, student_modalities=[], auxiliary_modalities=[])
    except Answer as given:
        offered: list[str] = given.args[0]
        return offered
    raise ValueError(
        f"{data_class.__name__} does not say which modalities it offers: give student_modalities "
        "and auxiliary_modalities"
    )
