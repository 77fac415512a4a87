"""The tables, on the terminal and in Markdown."""

from collections.abc import Sequence

from rich.table import Table

from cmkd.compare.results import Line
from cmkd.compare.statistics import CONFIDENCE


class ResultTable:
    """One metric of all methods in one group, with the paired differences to the baseline.

    Args:
        title: what stands above it.
        lines: the methods.
        baseline: name of the method that the others are compared with.
        factor: what values are multiplied with; 100 for percent.
    """

    def __init__(
        self, title: str, lines: Sequence[Line], baseline: str, factor: float = 1.0
    ) -> None:
        self.title = title
        self._factor = factor
        # Percent with one digit; of other values the third digit counts as much.
        self._digits = 1 if factor >= 100 else 3
        interval = f"{100 * CONFIDENCE:.0f} % interval"
        columns = ["method", "teacher", "student", "± sd", "runs"]
        columns += [f"- {baseline}", interval, "pairs"]
        cells = [self._cells(line) for line in lines]
        # A column in which no line has anything is left out.
        kept = [i for i in range(len(columns)) if any(row[i] for row in cells)]
        self.columns = [columns[i] for i in kept]
        self.rows = [[row[i] for i in kept] for row in cells]

    def _cells(self, line: Line) -> list[str]:
        difference = line.difference
        gain = interval = pairs = ""
        if difference is not None:
            gain, pairs = self._text(difference.mean, sign="+"), str(difference.count)
            if (half := difference.half_width) is not None:
                ends = (difference.mean - half, difference.mean + half)
                interval = " to ".join(self._text(end, sign="+") for end in ends)
        numbers = [self._text(value) for value in (line.teacher, line.mean, line.deviation)]
        return [line.method, *numbers, str(line.runs), gain, interval, pairs]

    def _text(self, value: float | None, sign: str = "") -> str:
        return "" if value is None else f"{self._factor * value:{sign}.{self._digits}f}"

    def rich(self) -> Table:
        """Return the table for the terminal."""
        table = Table(title=self.title)
        for column in self.columns:
            table.add_column(
                column, justify="left" if column == "method" else "right", overflow="fold"
            )
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Return the table in Markdown, with its title above it."""
        rows = [[cell.replace("|", "\\|") for cell in row] for row in self.rows]
        lines = [self.columns, ["---"] * len(self.columns), *rows]
        return "\n".join([f"{self.title}\n", *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"
