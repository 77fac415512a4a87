"""The figure of the closed form: bounds against the truth, with the ceilings log N."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of Okabe and Ito's colours, which every kind of colour vision tells apart, the darker ones.
COLOURS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^", "D")
PANELS = {
    "InfoNCE": ("InfoNCE: lower bounds", "I(T;S)"),
    "CRD": ("CRD: lower bound and estimate", "I(T;S)"),
    "Gaussian": ("Gaussian: upper bound", "H(T|S)"),
}


class Measured(Protocol):
    """What is drawn of a row of the CSV."""

    @property
    def dim(self) -> int:
        """Number of coordinates."""

    @property
    def truth(self) -> float:
        """True value, nats."""

    @property
    def bound(self) -> str:
        """Which bound; its first word says in which panel it stands."""

    @property
    def value(self) -> float:
        """Its value, nats."""

    @property
    def ceiling(self) -> float | None:
        """What it cannot exceed, nats."""


def draw(rows: Sequence[Measured], path: Path) -> None:
    """Draw the bounds of InfoNCE, CRD and the Gaussian, means and standard deviations over seeds.

    The same rows give the same file.

    Args:
        rows: of every panel at least one.
        path: where to write; its suffix says the format.

    Raises:
        ModuleNotFoundError: without matplotlib, which the extra ``plots`` brings.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    markers = dict(zip(sorted({row.dim for row in rows}), MARKERS, strict=False))
    below = [row for row in rows if row.ceiling is not None]
    # The diagonal may leave: what counts happens below the ceilings.
    heights = (min(row.value for row in below) - 0.3, 1.15 * max(row.ceiling or 0 for row in below))
    # Without the salt the file's identifiers are random; with text as text it is a third the size.
    with mpl.rc_context({"svg.hashsalt": "cmkd", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(10.5, 3.9), layout="constrained")
        for axes, (family, (title, quantity)) in zip(
            figure.subplots(1, len(PANELS)), PANELS.items(), strict=True
        ):
            own = [row for row in rows if row.bound.split(",")[0] == family]
            _bounds(axes, own, markers)
            _legend(axes, own, markers)
            axes.set_title(title)
            axes.set_xlabel(f"true {quantity} (nats)")
            axes.set_ylabel(f"bound on {quantity} (nats)")
            if quantity == "I(T;S)":
                axes.set_ylim(heights)
            else:
                _excess(axes, own, markers)
        # No date: it would differ from run to run.
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bounds(axes: "Axes", rows: Sequence[Measured], markers: dict[int, str]) -> None:
    """Draw one family of bounds, the diagonal and the ceilings."""
    highest = max(row.truth for row in rows)
    end = 1.06 * highest
    axes.plot([0, end], [0, end], color="black", linewidth=0.8, zorder=1)
    axes.set_xlim(0, end)
    ceilings: set[float] = set()
    for name, colour in zip(dict.fromkeys(row.bound for row in rows), COLOURS, strict=False):
        own = [row for row in rows if row.bound == name]
        ceiling = own[0].ceiling
        if ceiling is not None and ceiling not in ceilings:
            ceilings.add(ceiling)
            axes.axhline(ceiling, color=colour, linewidth=1, linestyle="--", zorder=1)
            axes.annotate(
                f"log {math.exp(ceiling):.0f}",
                (0, ceiling),
                xytext=(4, 2),
                textcoords="offset points",
                color=colour,
            )
        for dim in dict.fromkeys(row.dim for row in own):
            _curve(axes, [row for row in own if row.dim == dim], colour, markers[dim])


def _curve(axes: "Axes", rows: Sequence[Measured], colour: str, marker: str) -> None:
    """Draw the mean of one bound in one dimension against the truth."""
    truths = list(dict.fromkeys(row.truth for row in rows))
    runs = [[row.value for row in rows if row.truth == truth] for truth in truths]
    axes.errorbar(
        truths,
        [fmean(values) for values in runs],
        yerr=[stdev(values) if len(values) > 1 else 0.0 for values in runs],
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=1,
        capsize=2,
    )


def _legend(axes: "Axes", rows: Sequence[Measured], markers: dict[int, str]) -> None:
    """Say what colours, markers and the diagonal mean."""
    from matplotlib.lines import Line2D

    names = dict.fromkeys(row.bound for row in rows)
    lines = [
        Line2D([], [], color=colour, label=name.split(", ")[-1])
        for name, colour in zip(names, COLOURS, strict=False)
    ]
    lines += [
        Line2D([], [], color="grey", marker=marker, linestyle="", markersize=5, label=f"d = {dim}")
        for dim, marker in markers.items()
    ]
    lines.append(Line2D([], [], color="black", linewidth=0.8, label="true value"))
    axes.legend(handles=lines, fontsize=8, frameon=False, loc="lower right")


def _excess(axes: "Axes", rows: Sequence[Measured], markers: dict[int, str]) -> None:
    """Draw how far a bound is from the truth, where the diagonal cannot show it."""
    inset = axes.inset_axes((0.21, 0.66, 0.36, 0.3))
    for dim, marker in markers.items():
        own = [row for row in rows if row.dim == dim]
        truths = list(dict.fromkeys(row.truth for row in own))
        for truth in truths:
            values = [row.value - truth for row in own if row.truth == truth]
            inset.plot([truth] * len(values), values, color=COLOURS[0], marker=marker, ms=3, ls="")
    inset.axhline(0, color="black", linewidth=0.8)
    inset.set_xlim(axes.get_xlim())
    inset.set_ylabel("bound - truth", fontsize=8)
    inset.tick_params(labelsize=7)
