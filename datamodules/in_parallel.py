"""Doing something to very many files at once, with a progress bar."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_threads() -> int:
    """Return how many files to work on at once: what the process may use, and no more than 16.

    Decoding holds no lock of Python's, and half of the work on a network's disk is waiting.
    """
    available = getattr(os, "sched_getaffinity", None)
    return min(16, len(available(0)) if available else os.cpu_count() or 1)


def in_parallel(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    what: str,
    total: int,
    threads: int | None = None,
) -> Iterator[Result]:
    """Apply a function to all items in threads and yield the results as they come.

    No more is begun than a few items a thread ahead, so that an interruption is quick and millions
    of items cost no memory.

    Args:
        function: what to do; its exceptions are raised here.
        items: what to do it to.
        what: title of the progress bar.
        total: how many items there are.
        threads: how many at once; None: ``default_threads``.
    """
    from rich.progress import (  # where it is shown: `--help` has no use for it
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    count = threads or default_threads()
    remaining = iter(items)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    pool = ThreadPoolExecutor(count)
    try:
        with Progress(*columns, TimeRemainingColumn(), disable=total == 0) as progress:
            bar = progress.add_task(what, total=total)
            running: set[Future[Result]] = set()
            while True:
                ahead = islice(remaining, 4 * count - len(running))
                running |= {pool.submit(function, item) for item in ahead}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                # What succeeded comes before an error that ends it all, and is not lost.
                for future in sorted(done, key=lambda one: one.exception() is not None):
                    yield future.result()
                    progress.advance(bar)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C and errors wait for what has begun, no more
