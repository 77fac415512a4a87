"""Takes a page apart."""

from cmkd.report.page import Block, Drawings, Folded, Page, Section, Table


def section(page: Page, title: str) -> Section:
    return next(section for section in page.sections if section.title == title)


def blocks(of: Section, kind: type) -> list[Block]:
    found = [block.content if isinstance(block, Folded) else block for block in of.blocks]
    return [block for block in found if isinstance(block, kind)]


def table(of: Section, number: int = 0) -> list[dict[str, str]]:
    """Return a table's rows by column."""
    found = blocks(of, Table)[number]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def networks(of: Section) -> dict[str, dict[str, dict[str, str]]]:
    """Return by network and metric the rows of the tables of results."""
    return {
        found.caption: {row["metric"]: row for row in table(of, number)}
        for number, found in enumerate(blocks(of, Table))
    }


def drawings(page: Page) -> dict[str, str]:
    """Return the SVG of every figure by its name."""
    return {
        drawing.name: drawing.svg
        for part in page.sections
        for block in blocks(part, Drawings)
        for drawing in block.drawings
    }
