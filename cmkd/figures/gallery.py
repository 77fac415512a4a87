"""What a search found."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from cmkd.figures.style import HIT, INK, MISS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Thumbnail:
    """A sample as a small picture.

    Attributes:
        image: (3, H, W) uint8; None where the sample is nothing to look at.
        caption: what stands below it.
        relevant: whether it is of the query's class; None for the query itself.
    """

    image: Tensor | None
    caption: str
    relevant: bool | None


@dataclass(frozen=True)
class GalleryRow:
    """A query and what it found, best first."""

    query: Thumbnail
    hits: Sequence[Thumbnail]


def retrieval_gallery(rows: Sequence[GalleryRow]) -> "Figure":
    """Draw queries, a row each, with what they found; what is of the query's class is ticked.

    Raises:
        ValueError: for no rows.
    """
    if not rows:
        raise ValueError("retrieval_gallery: there is no query to draw")
    columns = 1 + max(len(row.hits) for row in rows)
    with new_figure(1.15 * columns, 1.5 * len(rows)) as figure:
        for number, row in enumerate(rows):
            for column, thumbnail in enumerate([row.query, *row.hits]):
                axes = figure.add_subplot(len(rows), columns, number * columns + column + 1)
                _draw(axes, thumbnail)
        return figure


def _draw(axes: "Axes", thumbnail: Thumbnail) -> None:
    if thumbnail.image is not None:
        axes.imshow(thumbnail.image.permute(1, 2, 0).cpu().numpy())
    else:
        axes.set_box_aspect(1)
    axes.set(xticks=[], yticks=[])
    caption = "\n".join(textwrap.wrap(thumbnail.caption, 18)[:2])
    if thumbnail.relevant is None:
        shade, mark = INK, "query"
    else:
        shade, mark = (HIT, "hit") if thumbnail.relevant else (MISS, "miss")
    axes.set_xlabel(caption, fontsize=6.5, labelpad=2)
    axes.set_title(mark, fontsize=6.5, color=shade, pad=2)
    for spine in axes.spines.values():
        spine.set(visible=True, color=shade, linewidth=1.8)
