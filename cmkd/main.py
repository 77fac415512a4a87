"""The command ``cmkd``."""

import importlib
import sys

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


def main() -> None:
    """Run what the process's arguments say."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in _COMMANDS:
        importlib.import_module(_COMMANDS[name]).main(sys.argv[2:])
        return
    from cmkd import cli

    cli.main()
