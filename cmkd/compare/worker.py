"""What a process does with a run: its threads, its log, and a failure that stays its own."""

import gc
import logging
import signal
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cmkd.compare.plan import Run
from cmkd.compare.store import Store

if TYPE_CHECKING:
    # It imports torch, which the process that only distributes runs does without.
    from cmkd.compare.shared_data import SharedData

_LONGEST = 400


@dataclass
class Worker:
    """Executes runs, one after the other.

    Args:
        folder: of the store.
        threads: of torch.
        share_teacher: train equal teacher stages once.
    """

    folder: Path
    threads: int
    share_teacher: bool
    _data: "SharedData | None" = field(default=None, init=False, repr=False)

    def prepare(self) -> None:
        """Import what runs need, once a process."""
        import torch

        from cmkd.compare import experiment  # noqa: F401 - imported for the runs to come
        from cmkd.compare.shared_data import SharedData

        self._data = SharedData()
        torch.set_num_threads(self.threads)
        # What is imported stays: to look through it in every collection costs a tenth of a second.
        gc.collect()
        gc.freeze()

    def __call__(self, run: Run) -> str | None:
        """Execute a run; return None, or why it failed.

        What it prints goes to its log, which is kept where there is something in it.

        Raises:
            KeyboardInterrupt: when the user interrupts it.
        """
        from cmkd.compare.experiment import execute

        store = Store(self.folder)
        log = store.log(run.key)
        log.parent.mkdir(parents=True, exist_ok=True)
        message = None
        with log.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
            leave_out_greetings()
            try:
                execute(run, store, self.share_teacher, self._data)
            except SystemExit as stopped:
                if isinstance(stopped.__context__, KeyboardInterrupt):
                    # Lightning's answer to Ctrl-C: it ignores further ones and exits.
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    raise KeyboardInterrupt from stopped
                message = f"it called exit({stopped.code})"
            except Exception as error:
                # Whatever it is, the other runs go on.
                traceback.print_exc()
                message = cause_of(error)
        if log.stat().st_size == 0:
            log.unlink()
        gc.collect()
        return message


def cause_of(error: BaseException) -> str:
    """Return in one line what went wrong."""
    error = root_cause(error)
    # Messages of ValueErrors and files that are not there stand for themselves.
    plain = isinstance(error, ValueError | OSError)
    text = " ".join((str(error) if plain else f"{type(error).__name__}: {error}").split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."


def root_cause(error: BaseException) -> BaseException:
    """Return what went wrong first: jsonargparse wraps it in all that it tried."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def leave_out_greetings() -> None:
    """Let Lightning say nothing but warnings."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
