"""The figure of the weak teacher: three metrics against the weight of I(T;S), a row a data set."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of Okabe and Ito's colours, which every kind of colour vision tells apart, the darker ones; each
#: curve has a marker of its own, too. The last is the weight of I(T;A) at one of I(T;S).
CURVES: dict[str, tuple[str, str, Callable[[float], float]]] = {
    "without I(T;A)": ("#D55E00", "o", lambda _: 0.0),
    "I(T;A) at 1": ("#0072B2", "s", lambda _: 1.0),
    "I(T;A) as I(T;S)": ("#009E73", "^", lambda mi_ts: mi_ts),
}
PANELS = {
    "teacher_accuracy": ("teacher: accuracy (%)", 100),
    "student_accuracy": ("student: accuracy (%)", 100),
    "teacher_auxiliary_only_r2": ("teacher: probe of the auxiliary ($R^2$)", 1),
}
TITLES = {"world": "simulated world", "ravdess": "RAVDESS, audio ← face"}
#: Horizontal distance of the curves, so that their intervals do not hide each other.
_APART = 0.12


class Measured(Protocol):
    """What is drawn of a row of the CSV."""

    @property
    def data(self) -> str:
        """Name of the data."""

    @property
    def mi_ts(self) -> float | None:
        """Weight of I(T;S), None for the student alone."""

    @property
    def mi_ta(self) -> float | None:
        """Weight of I(T;A)."""

    @property
    def metric(self) -> str:
        """Name of the metric."""

    @property
    def mean(self) -> float:
        """Its mean."""

    @property
    def half_width(self) -> float | None:
        """Half of its interval."""


def draw(rows: Sequence[Measured], path: Path) -> None:
    """Draw means with their intervals; the same rows give the same file.

    Args:
        rows: of one data set or more.
        path: where to write; its suffix says the format.

    Raises:
        ModuleNotFoundError: without matplotlib, which the extra ``plots`` brings.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row.data for row in rows))
    # Without the salt the file's identifiers are random; with text as text it is a third the size.
    with mpl.rc_context({"svg.hashsalt": "cmkd", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(10.5, 0.4 + 2.9 * len(names)), layout="constrained")
        panels = figure.subplots(len(names), len(PANELS), squeeze=False)
        for line, data in zip(panels, names, strict=True):
            own = [row for row in rows if row.data == data]
            for axes, (metric, (label, factor)) in zip(line, PANELS.items(), strict=True):
                _panel(axes, [row for row in own if row.metric == metric], factor)
                axes.set_ylabel(label)
            line[1].set_title(TITLES.get(data, data))
            low, high = (
                function(axes.get_ylim()[end] for axes in line[:2])
                for function, end in ((min, 0), (max, 1))
            )
            # One scale for both accuracies: the student is what the teacher falls to.
            for axes in line[:2]:
                axes.set_ylim(low, high)
            line[2].set_ylim(bottom=min(0.0, line[2].get_ylim()[0]))
        for axes in panels[-1]:
            axes.set_xlabel("weight of I(T;S) in the teacher stage")
        handles = {
            text: handle
            for axes in panels.flat
            for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside upper center",
            ncols=len(handles),
            frameon=False,
        )
        # No date: it would differ from run to run.
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(axes: "Axes", rows: Sequence[Measured], factor: float) -> None:
    """Draw one metric of one data set."""
    places = {weight: place for place, weight in enumerate(_weights(rows))}
    for number, (name, (colour, marker, mi_ta)) in enumerate(CURVES.items()):
        own = sorted(
            (row.mi_ts, row.mean, row.half_width or 0.0)
            for row in rows
            if row.mi_ts is not None and row.mi_ta == mi_ta(row.mi_ts)
        )
        if own:
            axes.errorbar(
                [places[weight] + _APART * (number - 1) for weight, _, _ in own],
                [factor * mean for _, mean, _ in own],
                yerr=[factor * half for _, _, half in own],
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1,
                capsize=2,
                label=name,
            )
    for row in rows:
        if row.mi_ts is None and row.metric == "student_accuracy":
            axes.axhline(
                factor * row.mean, color="black", lw=0.8, ls="--", zorder=1, label="student alone"
            )
    axes.set_xticks(list(places.values()), [f"{weight:g}" for weight in places])


def _weights(rows: Sequence[Measured]) -> list[float]:
    return sorted({row.mi_ts for row in rows if row.mi_ts is not None})
