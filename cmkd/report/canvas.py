"""Where the figures of a page go."""

from pathlib import Path
from typing import TYPE_CHECKING

from cmkd.figures import inline_svg, save_figure
from cmkd.report.page import Drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Canvas:
    """Saves each figure as PNG and SVG and gives it to the page.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def draw(self, name: str, figure: "Figure", caption: str) -> Drawing:
        """Save a figure and return it for the page.

        Args:
            name: of the files; its own on the page.
            figure: it.
            caption: what it shows.
        """
        svg = save_figure(figure, self._folder, name)
        return Drawing(name, inline_svg(svg, name), caption)
