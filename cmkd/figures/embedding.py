"""Embeddings on a plane."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from cmkd.figures.style import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More names than that are no legend.
_NAMED = 20
_MARKERS = "osD^vP"

Projection = Literal["pca", "tsne"]


def embedding_map(
    points: Mapping[str, Tensor],
    labels: Tensor,
    class_names: Sequence[str],
    method: Projection = "pca",
) -> "Figure":
    """Draw the embeddings of networks on planes beside each other, coloured by class.

    Args:
        points: by network, (N, D) embeddings; rows that hold NaN or infinity are left out.
        labels: (N,) int64 classes.
        class_names: by class.
        method: ``pca``, or ``tsne`` (van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR
            2008; needs scikit-learn), in which only neighbourhoods mean something.

    Raises:
        ValueError: for no network, or sizes that do not fit.
    """
    if not points:
        raise ValueError("embedding_map: there is no network")
    for name, rows in points.items():
        if rows.dim() != 2 or labels.shape != (len(rows),):
            raise ValueError(
                f"embedding_map: '{name}' needs embeddings (N, D) and labels (N,), got "
                f"{tuple(rows.shape)} and {tuple(labels.shape)}"
            )
    present: list[int] = sorted(set(labels.tolist()))
    legend = len(present) <= _NAMED
    with new_figure(3.4 * len(points), 3.4 + (0.05 + 0.19 * -(-len(present) // 3)) * legend) as fig:
        for column, (name, rows) in enumerate(points.items()):
            axes = fig.add_subplot(1, len(points), column + 1)
            finite = rows.isfinite().all(1)
            plane, classes = project(rows[finite], method), labels[finite].cpu()
            for number, label in enumerate(present):
                mine = plane[classes == label]
                axes.scatter(
                    mine[:, 0],
                    mine[:, 1],
                    s=14,
                    alpha=0.75,
                    linewidths=0,
                    color=COLOURS[number % len(COLOURS)],
                    marker=_MARKERS[number // len(COLOURS) % len(_MARKERS)],
                    # A name that begins with _ would be left out of the legend.
                    label=class_names[label].lstrip("_") if column == 0 else None,
                )
            axes.set(title=name, xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(visible=True, alpha=0.3)
        if legend:
            longest = max(len(class_names[label]) for label in present)
            columns = max(1, min(3, 45 // (longest + 4))) * len(points)
            fig.legend(loc="outside lower center", ncols=columns, handletextpad=0.1, fontsize=7)
        return fig


def project(rows: Tensor, method: Projection = "pca") -> Tensor:
    """Return (N, 2) places on a plane, on the CPU; the same for the same rows.

    Args:
        rows: (N, D) finite embeddings.
        method: see :func:`embedding_map`.
    """
    return _PROJECTIONS[method](rows.detach().float().cpu())


def _tsne(rows: Tensor) -> Tensor:
    if len(rows) <= 3:  # no neighbourhoods to speak of
        return _pca(rows)
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(rows) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(rows.numpy())
    return torch.from_numpy(found)


def _pca(rows: Tensor) -> Tensor:
    plane = torch.zeros(len(rows), 2)
    rank = min(2, *rows.shape)
    if rank == 0:
        return plane
    # It draws random numbers, which a training in progress must not miss.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, _, directions = torch.pca_lowrank(rows, q=min(6, *rows.shape))
    directions = directions[:, :rank]
    # A direction's sign is arbitrary: let its largest weight be positive.
    largest = directions.abs().argmax(0, keepdim=True)
    directions = directions * directions.gather(0, largest).sign()
    plane[:, :rank] = (rows - rows.mean(0)) @ directions
    return plane


_PROJECTIONS: dict[Projection, Callable[[Tensor], Tensor]] = {"pca": _pca, "tsne": _tsne}
