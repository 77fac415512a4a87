"""How figures look, and how they are saved.

Text and axes are drawn in ``INK``, nearly black. In an SVG for a page :func:`inline_svg` replaces
it by ``currentColor``, so that the page's style sheet decides: one figure fits light and dark.
Series have colours that stand out from white and from black; areas are transparent where there is
little.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Text and axes. A number that nothing else has: it is looked for in the SVG.
INK = "#010203"
#: The series, by their order; each has a contrast of at least 3 to white and to black.
COLOURS = (
    "#2f7ed8", "#d9730d", "#2c9a5b", "#d0453c", "#8f63cf",
    "#a0714a", "#c7509f", "#7a8288", "#8a8a1c", "#158f9e",
)  # fmt: skip
#: What is right and what is wrong, never by colour alone.
HIT, MISS = COLOURS[2], COLOURS[3]

# Any: matplotlib's stubs list the keys, other ones in each version.
_STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "text.color": INK,
    # A class may be called $5.
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def colour(number: int) -> str:
    """Return the colour of the n-th series."""
    return COLOURS[number % len(COLOURS)]


@contextmanager
def new_figure(width: float, height: float) -> Iterator["Figure"]:
    """Give an empty figure to draw in, in our style; pyplot and its open figures are not touched.

    Args:
        width: in inches.
        height: in inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save_figure(figure: "Figure", folder: Path, name: str) -> str:
    """Write ``<name>.png``, on white, and ``<name>.svg``, without a background, into a folder.

    Returns:
        The SVG, for :func:`inline_svg`.
    """
    import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=150)
    file = io.StringIO()
    # Text stays text: it can be searched and read aloud. With a salt the same figure gives the
    # same file.
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    (folder / f"{name}.svg").write_text(file.getvalue(), encoding="utf-8")
    return file.getvalue()


def inline_svg(svg: str, name: str) -> str:
    """Return a saved figure as an ``<svg>`` element whose text and axes have the page's colour.

    Args:
        svg: what :func:`save_figure` gave.
        name: its own on the page; ids in the SVG begin with it.
    """
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Two figures on a page would both have an id "axes_1", and a clip path of the other's.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    # As wide as the page lets it be, up to a quarter more than it was drawn: on a phone, where
    # there is no room, text should not shrink much. The viewBox keeps the shape.
    tag, rest = svg.split(">", 1)
    points = float(re.search(r'width="([\d.]+)pt"', tag)[1])  # type: ignore[index]
    tag = re.sub(r' (width|height)="[^"]*"', "", tag)
    return f'{tag} style="width: 100%; max-width: {1.25 * points * 4 / 3:.0f}px">{rest}'
