"""Types and defaults as a config writes them."""

import collections.abc
import enum
import inspect
import types
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

_PLAIN = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    Path: "path",
    Any: "any",
    type(None): "null",
}


def type_text(annotation: Any) -> str:
    """Return a type in words: ``dict[str, int] | None`` is ``int by name or null``."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(one) for one in inner)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {_one(inner[0])}"
        return f"[{', '.join(type_text(one) for one in inner)}]"
    if origin is collections.abc.Callable:
        return type_text(inner[1])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"{_one(inner[1])} by {'name' if inner[0] is str else type_text(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, collections.abc.Iterable):
        return f"list of {_one(inner[0])}"
    if isinstance(annotation, TypeVar):
        return type_text(annotation.__bound__ or Any)
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _one(annotation: Any) -> str:
    """Return a type in words that stand for themselves within others."""
    text = type_text(annotation)
    return f"({text})" if " or " in text else text


def default_text(value: Any) -> str:
    """Return a default as YAML has it; a class or function by its name."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list | tuple):
        return f"[{', '.join(default_text(one) for one in value)}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key}: {default_text(one)}" for key, one in value.items())
        return f"{{{inside}}}"
    if isinstance(value, partial):
        return default_text(value.func)
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__name__
    if isinstance(value, int | float | Path):
        return str(value)
    return type(value).__name__
