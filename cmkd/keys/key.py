"""The config keys of one class: its constructor's arguments, with what the docstring says."""

import inspect
import typing
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from docstring_parser import parse
from jsonargparse import ArgumentParser

from cmkd.keys.wording import default_text, type_text


@dataclass(frozen=True)
class Key:
    """One key of a config.

    Attributes:
        name: the argument's name.
        owner: the class whose constructor has it; a base's where the class passes it on.
        annotation: its type.
        type: the same in words.
        default: in YAML; None where the key has to be given.
        description: what the docstring says, one line; empty where it says nothing.
    """

    name: str
    owner: type
    annotation: Any
    type: str
    default: str | None
    description: str


def keys_of(cls: type, given: int = 0) -> list[Key]:
    """Return the keys of a class, those that it passes on to its bases among them.

    Which of its bases' arguments a class takes by ``**kwargs`` is jsonargparse's answer, the one
    that counts when the config is read.

    Args:
        cls: the class.
        given: how many leading arguments the library gives it; they are no keys.

    Raises:
        ValueError: for a class that takes an argument which none of its bases names.
    """
    parameters = list(inspect.signature(cls).parameters.values())[given:]
    names = [one.name for one in parameters]
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        names = ArgumentParser().add_class_arguments(cls, None, instantiate=False)[given:]
    return [_key(cls, name) for name in names]


def summary(cls: type) -> str:
    """Return the first paragraph of a class's docstring, one line."""
    return plain(inspect.cleandoc(vars(cls).get("__doc__") or "").split("\n\n")[0])


def plain(text: str) -> str:
    """Return a docstring's text on one line, Sphinx's double backticks and roles as Markdown."""
    line = " ".join(text.split())
    for role in (":class:", ":func:", ":meth:"):
        line = line.replace(role, "")
    return line.replace("``", "`")


def _key(cls: type, name: str) -> Key:
    for owner in (one for one in cls.__mro__ if "__init__" in vars(one)):
        parameter = inspect.signature(owner.__init__).parameters.get(name)  # type: ignore[misc]
        if parameter is not None:
            annotation = typing.get_type_hints(owner.__init__).get(name, Any)  # type: ignore[misc]
            return Key(
                name=name,
                owner=owner,
                annotation=annotation,
                type=type_text(annotation),
                default=_default(owner, parameter),
                description=_description(cls, name),
            )
    raise ValueError(
        f"{cls.__qualname__}.{name}: no constructor among its bases names this argument; write it "
        "into the signature"
    )


def _default(owner: type, parameter: inspect.Parameter) -> str | None:
    if parameter.default is parameter.empty:
        return None
    if is_dataclass(owner):
        for one in fields(owner):
            if one.name == parameter.name and callable(one.default_factory):
                return default_text(one.default_factory())
    return default_text(parameter.default)


def _description(cls: type, name: str) -> str:
    """Return what the class says of an argument, or else the nearest base that does."""
    for one in cls.__mro__:
        for documented in (one, vars(one).get("__init__")):
            text = inspect.cleandoc(getattr(documented, "__doc__", None) or "")
            for described in parse(text).params:
                if described.arg_name == name and described.description:
                    return plain(described.description)
    return ""
