"""The figure of the comparison: each method's gain over the student alone, a panel a setting."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of Okabe and Ito's colours: clearly better, not clear, clearly worse; the marker differs as well.
BETTER, UNCLEAR, WORSE = ("#0072B2", ">"), ("#666666", "o"), ("#D55E00", "<")
_COLUMNS = 4


class Measured(Protocol):
    """What is drawn of a row of the CSV."""

    @property
    def setting(self) -> str:
        """Data set and group."""

    @property
    def method(self) -> str:
        """Name of the method."""

    @property
    def gain(self) -> float | None:
        """Mean paired difference to the student alone, None for itself."""

    @property
    def gain_half(self) -> float | None:
        """Half of its interval."""

    @property
    def clear(self) -> bool:
        """Whether the interval does not hold 0."""


def draw(rows: Sequence[Measured], path: Path) -> None:
    """Draw the gains with their intervals; the same rows give the same file.

    Args:
        rows: of one setting or more.
        path: where to write; its suffix says the format.

    Raises:
        ModuleNotFoundError: without matplotlib, which the extra ``plots`` brings.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(row.setting for row in rows))
    methods = list(dict.fromkeys(row.method for row in rows if row.gain is not None))
    lines = math.ceil(len(settings) / _COLUMNS)
    # Without the salt the file's identifiers are random; with text as text it is a third the size.
    with mpl.rc_context({"svg.hashsalt": "cmkd", "svg.fonttype": "none", "font.size": 8}):
        size = (2.6 * min(_COLUMNS, len(settings)) + 1.4, lines * (0.17 * len(methods) + 0.9))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(lines, min(_COLUMNS, len(settings)), squeeze=False, sharey=True)
        for axes, setting in zip(panels.flat, settings, strict=False):
            _panel(axes, setting, [row for row in rows if row.setting == setting], methods)
        for axes in panels.flat[len(settings) :]:
            axes.set_axis_off()
        figure.supxlabel("test accuracy less that of the student alone (points, 95 % interval)")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def _panel(axes: "Axes", setting: str, rows: Sequence[Measured], methods: Sequence[str]) -> None:
    axes.axvline(0, color="black", linewidth=0.8)
    for row in rows:
        if row.gain is None:
            continue
        colour, marker = UNCLEAR
        if row.clear:
            colour, marker = BETTER if row.gain > 0 else WORSE
        axes.errorbar(
            row.gain,
            methods.index(row.method),
            xerr=row.gain_half,
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=1,
        )
    axes.set_title(setting)
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.grid(axis="x", linewidth=0.3)
