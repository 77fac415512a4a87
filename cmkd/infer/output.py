"""Printing an answer a source, as a table, as JSON lines, or as CSV."""

import csv
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Format = Literal["table", "json", "csv", "none"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv", "none")
#: What is said of one source: its columns, once a rank.
Entries = Sequence[Mapping[str, str | float]]
#: Columns that are shares of 1, which a table shows in percent.
_SHARES = ("probability",)
#: Characters of a line in a file, where no line is to be folded.
_UNFOLDED = 10_000


@dataclass(frozen=True)
class Layout:
    """What an answer consists of.

    Attributes:
        columns: of an entry.
        ranking: what the entries are called, the best first; None where there is one entry.
    """

    columns: Sequence[str]
    ranking: str | None = None


class Printer(ABC):
    """Prints answers to the standard output; a context that prints what is left when it ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish()

    @abstractmethod
    def print(self, source: str, entries: Entries) -> None:
        """Print what is said of a source."""

    def finish(self) -> None:
        """Print what has waited."""
        return


def printer(form: Format, layout: Layout) -> Printer:
    """Return what prints in a format."""
    if form == "json":
        return _JsonLines(layout)
    if form == "csv":
        return _Csv(layout)
    return _Table(layout) if form == "table" else _Nothing()


class _JsonLines(Printer):
    """An object a line, at once."""

    def __init__(self, layout: Layout) -> None:
        self._ranking = layout.ranking

    def print(self, source: str, entries: Entries) -> None:
        rounded = [{key: _rounded(value) for key, value in entry.items()} for entry in entries]
        answer = rounded[0] if self._ranking is None else {self._ranking: rounded}
        # ASCII: it is the same in every encoding, and holds names that are not UTF-8.
        print(json.dumps({"source": source, **answer}), flush=True)


class _Csv(Printer):
    """A line an entry, at once."""

    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._ranked = layout.ranking is not None
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(["source", *(["rank"] if self._ranked else []), *layout.columns])

    def print(self, source: str, entries: Entries) -> None:
        for rank, entry in enumerate(entries, start=1):
            values = [_rounded(entry[column]) for column in self._columns]
            self._writer.writerow([source, *([rank] if self._ranked else []), *values])
        sys.stdout.flush()


class _Table(Printer):
    """A table at the end: its columns are as wide as the widest entry."""

    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._table = Table(box=box.SIMPLE, show_edge=False)
        self._table.add_column("source", overflow="fold")
        for column in layout.columns:
            self._table.add_column(column, overflow="fold")

    def print(self, source: str, entries: Entries) -> None:
        name = Text(source)  # Not a string, in which rich reads [brackets].
        for entry in entries or [dict.fromkeys(self._columns, "-")]:
            cells = [_cell(column, entry[column]) for column in self._columns]
            self._table.add_row(name, *cells)
            name = Text()
        self._table.add_section()

    def finish(self) -> None:
        if not self._table.row_count:
            return
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = _UNFOLDED
        console.print(self._table)


class _Nothing(Printer):
    def print(self, source: str, entries: Entries) -> None:
        """Print nothing."""


def _rounded(value: str | float) -> str | float:
    """Return a number with the six digits that float32 is good for."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _cell(column: str, value: str | float) -> Text:
    if isinstance(value, str):
        return Text(value)
    shown = f"{100 * value:.1f} %" if column in _SHARES else f"{value:.3f}"
    return Text(shown, justify="right")
