"""What a classifier takes for what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cmkd.figures.style import COLOURS, INK, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# With more classes a cell is too small for a number, and a side for the names.
_NUMBERED, _NAMED = 16, 60


def confusion_matrix(counts: Tensor, class_names: Sequence[str]) -> "Figure":
    """Draw which class is taken for which, as shares of the true class.

    Args:
        counts: (C, C) number of samples, by true and by predicted class.
        class_names: C names.

    Raises:
        ValueError: for counts of another shape.
    """
    _check(counts, class_names)
    classes = len(class_names)
    share = (counts / counts.sum(1, keepdim=True).clamp(min=1)).cpu().double().numpy()
    side = min(max(3.4, 0.32 * classes + 1.6), 9.0)
    with new_figure(side, side) as figure:
        axes = figure.add_subplot()
        # Colour is opacity: nothing is the page's own background, light or dark.
        cells = np.empty((classes, classes, 4))
        cells[..., :3] = _rgb(COLOURS[0])
        # The power lets a few confusions be seen beside a class that is mostly right.
        cells[..., 3] = 0.9 * share**0.7
        axes.imshow(cells, interpolation="none")
        if classes <= _NUMBERED:
            for (true, predicted), count in np.ndenumerate(counts.cpu().numpy()):
                if count:
                    axes.text(predicted, true, f"{count:g}", ha="center", va="center", fontsize=8)
        for spine in axes.spines.values():
            spine.set(visible=True, alpha=0.3)
        axes.set(xlabel="predicted", ylabel="true")
        if classes <= _NAMED:
            size = 8 if classes <= _NUMBERED else max(3.5, 8 * _NUMBERED / classes)
            axes.set_xticks(range(classes), class_names, rotation=90, fontsize=size)
            axes.set_yticks(range(classes), class_names, fontsize=size)
        axes.tick_params(length=0)
        return figure


def per_class_accuracy(counts: Tensor, class_names: Sequence[str]) -> "Figure":
    """Draw the share of each class that is recognised (recall), best first.

    Args:
        counts: (C, C) number of samples, by true and by predicted class; classes without a sample
            are left out.
        class_names: C names.

    Raises:
        ValueError: for counts of another shape, or without a sample.
    """
    _check(counts, class_names)
    support = counts.sum(1).cpu()
    there = support.nonzero().squeeze(1)
    if not len(there):
        raise ValueError("per_class_accuracy: counts hold no sample")
    recall = counts.diagonal().cpu()[there] / support[there]
    order = recall.argsort(descending=True, stable=True)
    names = [f"{class_names[c]} ({support[c]:g})" for c in there[order].tolist()]
    with new_figure(3.9, 0.19 * len(names) + 0.9) as figure:
        axes = figure.add_subplot()
        axes.barh(range(len(names)), 100 * recall[order].numpy(), height=0.7, color=COLOURS[0])
        axes.set_yticks(range(len(names)), names)
        axes.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6), xlabel="recognised, % of the class")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.2, linewidth=0.6, color=INK)
        axes.set_axisbelow(True)
        return figure


def count_confusions(target: Tensor, guess: Tensor, classes: int) -> Tensor:
    """Return (C, C) int64, how often each class (row) was taken for which (column).

    Args:
        target: (N,) int64 true classes.
        guess: (N,) int64 predicted classes.
        classes: C.
    """
    counts = torch.bincount(target.cpu() * classes + guess.cpu(), minlength=classes**2)
    return counts.view(classes, classes)


def _check(counts: Tensor, class_names: Sequence[str]) -> None:
    classes = len(class_names)
    if counts.shape != (classes, classes):
        raise ValueError(
            f"counts of {classes} classes have to be ({classes}, {classes}), by true and predicted "
            f"class; got {tuple(counts.shape)}"
        )


def _rgb(hexadecimal: str) -> tuple[float, ...]:
    return tuple(int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5))
