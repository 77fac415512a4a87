"""What ``--tune`` searches: each method's trials, equally many for all."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmkd.compare.reading import check_keys, integers, mapping
from cmkd.nearest import unknown
from cmkd.randomness import derived_seed

#: Values of a run's overrides, by dotted key.
Setting = Mapping[str, Any]

_AXIS_KEYS = ("keys", "values", "range", "log")


@dataclass(frozen=True)
class Axis:
    """One number or choice that is searched.

    Attributes:
        keys: the overrides that all get its value.
        values: what may be chosen; empty for a range.
        low: of a range.
        high: of a range.
        log: draw the range's logarithm evenly.
    """

    keys: tuple[str, ...]
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def draw(self, uniform: float) -> Any:
        """Return the value that a number in [0, 1) stands for."""
        if self.values:
            return self.values[int(uniform * len(self.values))]
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            drawn = math.exp(low + uniform * (high - low))
        else:
            drawn = self.low + uniform * (self.high - self.low)
        # As many digits as anyone would write down.
        return float(f"{drawn:.3g}")


@dataclass(frozen=True)
class Search:
    """What is searched, and for how much.

    Attributes:
        budget: trials of each method.
        seeds: seeds of a trial's runs; each cuts its own validation part where the data draws it.
        shared: settings that are chosen first, for ``shared_method``, and then used by all.
        shared_method: whose validation score chooses among them.
        trials: settings of each method.
    """

    budget: int
    seeds: tuple[int, ...]
    shared: Sequence[Setting]
    shared_method: str
    trials: Mapping[str, Sequence[Setting]]


def read_search(given: Any, methods: Sequence[str]) -> Search:
    """Read the ``tune`` part of a comparison.

    Raises:
        ValueError: for a method without a grid, one whose grid holds more settings than the
            budget, or fewer and no range that more could be drawn from.
    """
    content = mapping(given, "tune")
    check_keys(content, ("budget", "seeds", "draw_seed", "shared", "grids"), "tune")
    budget, draw_seed = content.get("budget"), content.get("draw_seed", 0)
    if not isinstance(budget, int) or budget < 1:
        raise ValueError(f"tune.budget: the number of trials of each method, got {budget!r}")
    grids = mapping(content.get("grids"), "tune.grids")
    for name in grids:
        if name not in methods:
            raise ValueError(f"tune.grids: {unknown('method', name, methods)}")
    if missing := [name for name in methods if name not in grids]:
        raise ValueError(
            f"tune.grids: {', '.join(missing)} has no grid; every method is searched equally long"
        )
    shared, shared_method = _shared(content.get("shared"), methods, budget, draw_seed)
    trials = {
        name: settings(grid, budget, draw_seed, f"tune.grids.{name}")
        for name, grid in grids.items()
    }
    seeds = integers(content.get("seeds", 0), "tune.seeds")
    return Search(budget, seeds, shared, shared_method, trials)


def _shared(
    given: Any, methods: Sequence[str], budget: int, draw_seed: int
) -> tuple[list[Setting], str]:
    if given is None:
        return [], ""
    content = mapping(given, "tune.shared")
    check_keys(content, ("method", "grid"), "tune.shared")
    if (method := content.get("method")) not in methods:
        raise ValueError(f"tune.shared.method: {unknown('method', method, methods)}")
    return settings(content.get("grid"), budget, draw_seed, "tune.shared.grid"), str(method)


def settings(grid: Any, budget: int, draw_seed: int, where: str) -> list[Setting]:
    """Return exactly ``budget`` settings.

    A grid of values is gone through. Where an axis is a range, the first trial changes nothing
    and the others are drawn; methods that search the same axis see the same draws of it.

    Raises:
        ValueError: when a grid of values holds more or fewer settings than the budget.
    """
    axes = [_axis(name, given, where) for name, given in mapping(grid, where).items()]
    if any(not axis.values for axis in axes):
        drawn = [_drawn(axes, draw_seed, trial) for trial in range(1, budget)]
        return [{}, *drawn]
    every: list[Setting] = [
        {key: value for axis, value in zip(axes, chosen, strict=True) for key in axis.keys}
        for chosen in itertools.product(*(axis.values for axis in axes))
    ]
    if len(every) > budget:
        raise ValueError(
            f"{where}: its grid has {len(every)} settings and the budget of every method is "
            f"{budget}; take values out, or give a range to draw from"
        )
    if len(every) < budget:
        raise ValueError(
            f"{where}: its grid has {len(every)} settings and every method gets {budget}; add "
            "values, or give a range to draw from"
        )
    return every


def _drawn(axes: Sequence[Axis], draw_seed: int, trial: int) -> Setting:
    setting: dict[str, Any] = {}
    for axis in axes:
        rng = np.random.default_rng(derived_seed(draw_seed, trial, *axis.keys))
        setting |= dict.fromkeys(axis.keys, axis.draw(rng.random()))
    return setting


def _axis(name: str, given: Any, where: str) -> Axis:
    """Read ``key: [values]``, or ``name: {keys: [...], values: [...]}`` or with ``range``."""
    where = f"{where}.{name}"
    content = given if isinstance(given, Mapping) else {"values": given}
    check_keys(content, _AXIS_KEYS, where)
    keys = tuple(content.get("keys", [name]))
    if plain := [key for key in keys if "." not in key]:
        raise ValueError(f"{where}: {', '.join(plain)} is no dotted key; name some in `keys`")
    if ("values" in content) == ("range" in content):
        raise ValueError(f"{where}: give either `values` or `range`")
    if "values" in content:
        values = content["values"]
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where}: has to be a list of values, got {values!r}")
        return Axis(keys, tuple(values))
    low, high = _bounds(content["range"], where)
    log = bool(content.get("log", False))
    if not low < high or (log and low <= 0):
        raise ValueError(f"{where}: {low} to {high} is no range (above 0 with `log`)")
    return Axis(keys, low=low, high=high, log=log)


def _bounds(given: Any, where: str) -> tuple[float, float]:
    try:
        low, high = (float(bound) for bound in given)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: a range is [lowest, highest], got {given!r}") from None
    return low, high
