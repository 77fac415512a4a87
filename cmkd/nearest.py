"""Messages for a name that is not known."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Return the part of a message that suggests the nearest name; empty where none is near."""
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def unknown(what: str, name: Any, known: Collection[str]) -> str:
    """Return the message for a name that is not known; it suggests the nearest one."""
    hint = did_you_mean(name, known) or "."
    return f"there is no {what} '{name}'{hint} There are: {', '.join(known)}"
