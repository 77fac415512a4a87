"""Building what a file names by class path, without letting the file choose what code runs.

Only classes of this library are imported, and only as what they are: an encoder as an encoder. A
class of the user's needs the user's word, ``trust``, for the package it is in.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")

#: Packages whose classes may be imported; importing their modules does nothing else.
LIBRARY = ("cmkd.networks", "cmkd.preprocessing", "datamodules")


@dataclass(frozen=True)
class ClassSpec:
    """A class and the arguments it is built with.

    Attributes:
        class_path: import path.
        init_args: plain data and tensors.
    """

    class_path: str
    init_args: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Any, where: str) -> "ClassSpec":
        """Read ``{class_path: ..., init_args: {...}}``, or a class path alone.

        Args:
            given: what a file or a checkpoint holds.
            where: the file and the field, for messages.

        Raises:
            ValueError: for anything else.
        """
        if isinstance(given, str):
            given = {"class_path": given}
        if not isinstance(given, Mapping) or not isinstance(given.get("class_path"), str):
            raise ValueError(f"{where}: has to be a class_path with its init_args, got {given!r}")
        known = ("class_path", "init_args", "dict_kwargs")
        if unknown := sorted(set(map(str, given)) - set(known)):
            raise ValueError(f"{where}: unknown field {unknown[0]}; it has {', '.join(known)}")
        arguments: dict[str, Any] = {}
        for key in ("init_args", "dict_kwargs"):
            part = given.get(key) or {}
            if not isinstance(part, Mapping) or not all(isinstance(name, str) for name in part):
                raise ValueError(f"{where}.{key}: has to be arguments by name, got {part!r}")
            arguments |= part
        for name, value in arguments.items():
            _check_plain(value, f"{where}.init_args.{name}")
        return cls(given["class_path"], arguments)

    def written(self) -> dict[str, Any]:
        """Return what ``read`` reads."""
        return {"class_path": self.class_path, "init_args": dict(self.init_args)}

    def build(
        self, base: type[T], where: str, trust: Collection[str], *args: Any, **kwargs: Any
    ) -> T:
        """Import the class and build it.

        Args:
            base: what it has to be a subclass of.
            where: the file and the field, for messages.
            trust: names of further packages whose classes may be imported.
            *args: what it gets in front of its own arguments.
            **kwargs: what it gets instead of its own arguments.

        Raises:
            ValueError: when it is not allowed, not there, no such class, or refuses its arguments.
        """
        kind = import_class(self.class_path, base, where, trust)
        try:
            return kind(*args, **{**self.init_args, **kwargs})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {self.class_path} cannot be built: {error}") from error


def import_class(class_path: str, base: type[T], where: str, trust: Collection[str]) -> type[T]:
    """Return the class behind a path.

    Raises:
        ValueError: when its package is neither this library nor trusted, or it is not there or
            no subclass of the base.
    """
    module, _, name = class_path.rpartition(".")
    allowed = (*LIBRARY, *trust)
    if not any(module == package or module.startswith(f"{package}.") for package in allowed):
        raise ValueError(
            f"{where}.class_path: {class_path} is no class of this library, and importing it could "
            "run any code. If you know it and the file's origin, trust its package: "
            f"load_student(..., trust=['{class_path.split('.')[0]}']) or --trust"
        )
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{where}.class_path: there is no {class_path} ({error}); install what it is in, in "
            "the version that the file was made with"
        ) from error
    if not isinstance(kind, type) or not issubclass(kind, base):
        raise ValueError(f"{where}.class_path: {class_path} is no {base.__name__}")
    return kind


def _check_plain(value: Any, where: str) -> None:
    """Refuse what is no plain data: a class within a class above all."""
    if isinstance(value, Mapping):
        if "class_path" in value:
            raise ValueError(
                f"{where}: is a class of its own ({value['class_path']}), which a saved student "
                "cannot hold; let the class around it take plain arguments"
            )
        for key, item in value.items():
            _check_plain(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _check_plain(item, f"{where}[{number}]")
    elif not (value is None or isinstance(value, str | int | float | bool | Tensor)):
        raise ValueError(f"{where}: is no plain data, got {type(value).__name__}")
