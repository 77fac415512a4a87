"""Ctrl-C that Python would lose."""

import _thread
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AFTER_S = 0.05


def keep_interrupts() -> None:
    """Have a Ctrl-C that arrives inside a destructor delivered again, a moment later.

    Nothing can be raised from a destructor or from what the garbage collector calls: Python prints
    that the exception is ignored and goes on. Where that is a KeyboardInterrupt, the command would
    go on for hours as if nobody had stopped it.
    """
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


class _Hook:
    def __init__(self, before: "Callable[[UnraisableHookArgs], object]") -> None:
        self._before = before

    def __call__(self, ignored: "UnraisableHookArgs") -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            self._before(ignored)
            return
        # Not at once: it would be raised in here, and be ignored again.
        again = threading.Timer(_AFTER_S, _thread.interrupt_main)
        again.daemon = True
        again.start()
