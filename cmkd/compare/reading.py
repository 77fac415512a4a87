"""Helpers to read YAML values, with errors that say where and what to do."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from cmkd.nearest import unknown

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return a mapping that holds something.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{where}: has to be a mapping with at least one key, got {value!r}")
    return value


def check_keys(given: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise a ValueError for a key that is not known."""
    for key in given:
        if key not in known:
            raise ValueError(f"{where}: {unknown('key', key, known)}")


def integers(value: Any, where: str) -> tuple[int, ...]:
    """Return the numbers of ``3``, ``"0..4"`` (both ends included), ``"0,2,5..7"`` or a list.

    Raises:
        ValueError: for anything else, none at all, or a number given twice.
    """
    parts = value if isinstance(value, list) else str(value).split(",")
    numbers: list[int] = []
    for part in parts:
        text = str(part).strip()
        if found := _RANGE.fullmatch(text):
            numbers += range(int(found[1]), int(found[2]) + 1)
        elif re.fullmatch(r"-?\d+", text):
            numbers.append(int(text))
        else:
            raise ValueError(f"{where}: '{text}' is no number and no range such as 0..4")
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"{where}: '{value}' names no number, or one of them twice")
    return tuple(numbers)
