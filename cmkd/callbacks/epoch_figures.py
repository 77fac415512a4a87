"""The figures of one epoch of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from cmkd.callbacks.figure_data import FigureData, gallery
from cmkd.figures import (
    confusion_matrix,
    curves,
    embedding_map,
    per_class_accuracy,
    retrieval_gallery,
    samples,
)
from cmkd.figures.embedding import Projection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The networks whose embeddings are drawn beside each other.
MAPPED = ("teacher", "student")

#: By name of a term with its stage: (epoch, nats) of a bound and of its ceiling.
Bounds = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class FigureEpoch:
    """An epoch that can be drawn.

    Attributes:
        epoch: the trainer's.
        data: of its validation; None where the task has no classes.
        inputs: a few training samples by modality, (B, ...).
        labels: their B labels.
    """

    epoch: int
    data: FigureData | None
    inputs: dict[str, Tensor] = field(default_factory=dict)
    labels: list[float] = field(default_factory=list)


def epoch_figures(
    epoch: FigureEpoch,
    names: Sequence[str],
    bounds: Bounds,
    ceilings: Bounds,
    projection: Projection,
    queries: int,
) -> Iterator[tuple[str, "Figure"]]:
    """Draw an epoch; yield the figures with their names.

    Args:
        epoch: what is drawn.
        names: of the classes, empty where there are none.
        bounds: on the information, of the epochs so far.
        ceilings: of these bounds.
        projection: of the embedding map.
        queries: rows of the gallery.
    """
    data = epoch.data
    if data is not None:
        yield f"{data.role}_confusion_matrix", confusion_matrix(data.counts, names)
        yield f"{data.role}_class_accuracy", per_class_accuracy(data.counts, names)
        mapped = {role: data.embeddings[role] for role in MAPPED if role in data.embeddings}
        if mapped:
            yield "embedding_map", embedding_map(mapped, data.label, names, projection)
        if len(data.index) > 1:
            rows = gallery(data, names, queries)
            yield f"{data.role}_retrieval", retrieval_gallery(rows)
    if epoch.inputs:
        captions = [names[int(label)] if names else f"{label:g}" for label in epoch.labels]
        yield "input_samples", samples(epoch.inputs, captions)
    if bounds:
        yield "information", _information(bounds, ceilings)


def _information(bounds: Bounds, ceilings: Bounds) -> "Figure":
    """Draw the bounds over the epochs, and the ceilings of the last one."""
    series: Mapping[str, tuple[list[float], list[float]]] = {
        name: ([epoch for epoch, _ in points], [value for _, value in points])
        for name, points in bounds.items()
    }
    last = sorted({points[-1][1] for points in ceilings.values()})
    lines = {f"log N = {value:.2f}": value for value in last}
    return curves(series, "bound on the information, nats", lines)
