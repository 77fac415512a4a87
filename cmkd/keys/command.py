"""The command ``cmkd keys``."""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

from cmkd.keys.catalogue import Catalogue
from cmkd.keys.key import Key, summary
from cmkd.keys.lookup import Answer, look_up
from cmkd.keys.page import markdown, title

_WIDTH = 100
_DESCRIPTION = """\
Say what config keys mean, from the code's own docstrings.

NAME is a key (model.teacher_epochs, run.dir, trainer.max_epochs, data.init_args.root), the name of
a key wherever it stands (temperature), a class (InfoNCE, UCF51), or the import path of a class of
your own. Without NAME all top-level keys and classes are listed."""


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the command line behind ``keys``.

    Raises:
        SystemExit: for a name that is unknown; the message suggests the nearest ones.
    """
    parser = argparse.ArgumentParser(
        prog="cmkd keys",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="a key or a class")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write all as a Markdown page")
    given = parser.parse_args(list(args))
    catalogue = Catalogue()
    if given.write is not None:
        given.write.write_text(markdown(catalogue), encoding="utf-8")
    if given.name is not None:
        try:
            answers = look_up(catalogue, given.name)
        except ValueError as error:
            raise SystemExit(f"cmkd keys: error: {error}") from None
        print("\n\n".join(_answer(answer) for answer in answers))
    elif given.write is None:
        print(_overview(catalogue))


def _overview(catalogue: Catalogue) -> str:
    lines = ["top level"]
    lines += [f"  {name}: {summary(entry.cls)}" for name, entry in catalogue.roots.items()]
    for kind in catalogue.kinds:
        lines.append(f"\n{title(kind)} ({', '.join(kind.places)})")
        for entry in kind.entries:
            lines.append(f"  {entry.path}: {summary(entry.cls)}")
    return "\n".join(lines)


def _answer(answer: Answer) -> str:
    heading = [] if answer.entry is None else [answer.where, f"  {summary(answer.entry.cls)}", ""]
    prefix = answer.where + "." if answer.entry is None else ""
    return "\n".join([*heading, *(_key(key, prefix) for key in answer.keys)])


def _key(key: Key, prefix: str) -> str:
    default = "required" if key.default is None else f"default {key.default}"
    text = textwrap.fill(key.description, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"{prefix}{key.name}: {key.type}, {default}\n{text}"
