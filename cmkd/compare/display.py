"""The progress display."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cmkd.compare.plan import Run


class Display:
    """One bar over the runs, and below it those that are under way.

    Where there is no terminal it prints a line a run instead, for the log of a long job.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._bar: TaskID | None = None
        self._under_way: dict[str, tuple[TaskID, float]] = {}

    @contextmanager
    def over(self, title: str, total: int, done: int) -> Iterator[None]:
        """Show runs of which some are done already."""
        self._bar = self._progress.add_task(title, total=total, completed=done)
        with self._progress:
            yield
        self._progress.remove_task(self._bar)
        self._under_way.clear()

    def start(self, run: Run) -> None:
        """Show that a run is under way."""
        task = self._progress.add_task(f"  {run.name}", total=1)
        self._under_way[run.key] = (task, time.perf_counter())

    def finish(self, run: Run, failure: str | None) -> None:
        """Show that a run has ended."""
        task, begun = self._under_way.pop(run.key)
        self._progress.remove_task(task)
        if self._bar is not None:
            self._progress.advance(self._bar)
        if not self.console.is_terminal:
            outcome = "done" if failure is None else f"FAILED: {failure}"
            spent = time.perf_counter() - begun
            self.console.print(f"{run.name}: {outcome} ({spent:.1f} s)", soft_wrap=True)
