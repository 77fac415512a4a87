"""What a page consists of, and how it becomes one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import ClassVar, TypeAlias


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Facts:
    """Names and what they stand for."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table that the reader can sort by any column.

    Attributes:
        columns: their names.
        rows: cells, as many a row as there are columns.
        caption: what stands above it.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: of its files.
        svg: the ``<svg>`` element; it is put into the page as it is.
        caption: what it shows, for those too who do not see it.
    """

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Drawings:
    """Figures beside each other where there is room."""

    kind: ClassVar[str] = "drawings"
    drawings: Sequence[Drawing]


@dataclass(frozen=True)
class Card:
    """A sample in a gallery.

    Attributes:
        still: URL of a picture, None where there is nothing to look at.
        moving: URL of an animated one, None where nothing moves.
        mark: ``query``, ``hit`` or ``miss``.
        name: of its class.
        sample: which one it is.
    """

    still: str | None
    moving: str | None
    mark: str
    name: str
    sample: str


@dataclass(frozen=True)
class Gallery:
    """Queries with what they found, a row each; what moves plays when it is clicked."""

    kind: ClassVar[str] = "gallery"
    rows: Sequence[Sequence[Card]]


@dataclass(frozen=True)
class Folded:
    """What is shown when the reader asks for it: a table, or text as it is."""

    kind: ClassVar[str] = "folded"
    summary: str
    content: "Table | str"


Block: TypeAlias = Text | Facts | Table | Drawings | Gallery | Folded


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    lead: str
    sections: Sequence[Section]


def render(page: Page) -> str:
    """Return a page as HTML that needs nothing else: style, script and pictures are within."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("cmkd.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = resources.files("cmkd.report") / "templates"
    style, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    template = environment.get_template("report.html")
    return template.render(page=page, style=style, script=script)
