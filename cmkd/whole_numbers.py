"""Whole numbers on the command line stay whole."""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any, get_args


def keep_whole_numbers(function: Callable[..., Any]) -> None:
    """Put int before float in a function's annotations, which a parser tries in their order.

    ``typing`` holds ``Union[int, float]`` and ``Union[float, int]`` for the same, and gives the one
    that any library has named first. With float first ``limit_train_batches: 1``, one batch, is
    read as 1.0, which means all of them.
    """
    for name, hint in function.__annotations__.items():
        kinds = get_args(hint)
        if int in kinds and float in kinds:
            # `|` makes a union of its own, which is not looked up.
            function.__annotations__[name] = reduce(or_, sorted(kinds, key=lambda k: k is float))
