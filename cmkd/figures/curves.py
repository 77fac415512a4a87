"""Values over time, and means with their intervals."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmkd.figures.style import COLOURS, INK, colour, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A marker for each point only where the points are few.
_MARKED = 40


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    ylabel: str,
    ceilings: Mapping[str, float] | None = None,
    xlabel: str = "epoch",
    marks: Mapping[str, float] | None = None,
) -> "Figure":
    """Draw one line a series.

    Args:
        series: x and y by name.
        ylabel: what y is, with its unit.
        ceilings: by name, a value of y that cannot be passed: a dashed line.
        xlabel: what x is.
        marks: by name, a value of x at which something else begins: a dotted line, at which the
            lines of the series are broken.

    Raises:
        ValueError: for no series, or x and y of different lengths.
    """
    if not series:
        raise ValueError(f"curves of {ylabel}: there is no series to draw")
    with new_figure(3.9, 2.7) as figure:
        axes = figure.add_subplot()
        for number, (name, (x, y)) in enumerate(series.items()):
            if len(x) != len(y):
                raise ValueError(f"curves: '{name}' has {len(x)} x but {len(y)} y")
            marker = "o" if len(x) <= _MARKED else None
            places, values = _broken(x, y, (marks or {}).values())
            axes.plot(
                places, values, label=name, color=colour(number), marker=marker, markersize=2.5
            )
        for name, value in (ceilings or {}).items():
            axes.axhline(value, color=INK, alpha=0.7, linewidth=0.9, linestyle=(0, (5, 3)))
            _note(axes, name, (0.99, value), ("axes fraction", "data"), ha="right", va="bottom")
        for name, value in (marks or {}).items():
            axes.axvline(value, color=INK, alpha=0.5, linewidth=0.9, linestyle=":")
            _note(axes, name, (value, 0.99), ("data", "axes fraction"), ha="left", va="top")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.grid(alpha=0.15, linewidth=0.6, color=INK)
        if ceilings or marks:
            # Room for their names.
            low, high = axes.get_ylim()
            axes.set_ylim(low, high + 0.09 * (high - low))
        columns = 3 if max(map(len, series)) < 16 else 2
        figure.legend(loc="outside lower center", ncols=min(columns, len(series)))
        return figure


def intervals(
    values: Mapping[str, tuple[float, float | None]], xlabel: str, reference: float = 0.0
) -> "Figure":
    """Draw means with their intervals below each other, beside a line at the reference.

    Args:
        values: by name, the mean and half the width of its interval; None where there is none.
        xlabel: what the values are, with their unit.
        reference: value that a mean is compared with. Those whose interval holds it are pale.

    Raises:
        ValueError: for no values.
    """
    if not values:
        raise ValueError(f"intervals of {xlabel}: there is no value to draw")
    with new_figure(3.9, 0.21 * len(values) + 0.9) as figure:
        axes = figure.add_subplot()
        axes.axvline(reference, color=INK, alpha=0.6, linewidth=0.8)
        for row, (mean, half) in enumerate(values.values()):
            clear = half is not None and abs(mean - reference) > half
            shade = COLOURS[0] if clear else COLOURS[7]
            axes.errorbar(mean, row, xerr=half, fmt="o", color=shade, markersize=4, linewidth=1.4)
        axes.set_yticks(range(len(values)), list(values))
        axes.set(ylim=(len(values) - 0.4, -0.6), xlabel=xlabel)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.15, linewidth=0.6, color=INK)
        return figure


def _broken(
    x: Sequence[float], y: Sequence[float], marks: Iterable[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a series with a gap behind what stands at, or last before, each mark."""
    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    for mark in marks:
        behind = int((places <= mark).sum())
        if 0 < behind < len(places):
            places = np.insert(places, behind, mark)
            values = np.insert(values, behind, np.nan)
    return places, values


def _note(
    axes: "Axes",
    text: str,
    place: tuple[float, float],
    coordinates: tuple[str, str],
    **alignment: Any,
) -> None:
    axes.annotate(
        text,
        place,
        xycoords=coordinates,
        xytext=(3 if alignment["ha"] == "left" else 0, 1),
        textcoords="offset points",
        fontsize=7,
        alpha=0.85,
        **alignment,
    )
