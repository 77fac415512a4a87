"""The command ``cmkd``."""

import importlib
import sys

from cmkd.interrupts import keep_interrupts
from cmkd.nearest import unknown

#: Modules with ``main(args)`` by command. They are imported when called, and without Lightning,
#: which takes seconds; what is not here is LightningCLI's.
_COMMANDS = {
    "prepare": "cmkd.prepare",
    "compare": "cmkd.compare.command",
    "report": "cmkd.report.command",
    "export": "cmkd.export.command",
    "infer": "cmkd.infer.command",
    "search": "cmkd.infer.search_command",
    "keys": "cmkd.keys.command",
}
_LIGHTNING = ("fit", "validate", "test", "predict")


def main() -> None:
    """Run what the process's arguments say."""
    keep_interrupts()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in _COMMANDS:
        importlib.import_module(_COMMANDS[name]).main(sys.argv[2:])
        return
    if name and not name.startswith("-") and name not in _LIGHTNING:
        message = unknown("command", name, [*_LIGHTNING, *_COMMANDS])
        print(f"cmkd: error: {message}", file=sys.stderr)
        raise SystemExit(2)
    from cmkd import cli

    cli.main()
