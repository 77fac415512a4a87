"""The command ``cmkd search``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from cmkd.infer.index import EmbeddingIndex, student_fingerprint
from cmkd.infer.job import (
    EXIT_CODES,
    add_arguments,
    add_top,
    chosen_format,
    open_student,
    predict_all,
    run,
)
from cmkd.infer.output import Layout, printer
from cmkd.student import Prediction, Student

_DESCRIPTION = """\
Find the clips of an index that are nearest to a query, by the cosine similarity of the student's
embeddings. A query that is in the index does not find itself.

  cmkd infer --ckpt best.ckpt gallery/ --embeddings gallery.npz --format none
  cmkd search --index gallery.npz query.mp4"""


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the command line behind ``search``.

    Raises:
        SystemExit: with 1 when queries failed, with 2 for arguments that do not fit, with 130 when
            it was interrupted.
    """
    options = _parser().parse_intermixed_args(list(args))
    run("cmkd search", lambda: _search(options))


def _search(options: argparse.Namespace) -> int:
    index = EmbeddingIndex.load(options.index)
    student = _student_of(index, options)
    layout = Layout(["clip", "cosine"], ranking="nearest")
    with printer(chosen_format(options), layout) as out:

        def use(query: Prediction) -> None:
            found = index.nearest(query.embedding, options.top, without=query.source)
            out.print(query.source, [{"clip": name, "cosine": value} for name, value in found])

        return predict_all(options, student, use)


def _student_of(index: EmbeddingIndex, options: argparse.Namespace) -> Student:
    """Return the student of the index.

    Raises:
        ValueError: when the one that is given, or stands where the index says, is another.
        FileNotFoundError: when there is none.
    """
    path = options.ckpt or index.checkpoint
    if options.ckpt is None and not Path(path).exists():
        raise FileNotFoundError(
            f"{options.index}: was made with {path}, which is not there; name it with --ckpt"
        )
    student = open_student(options, path)
    if student_fingerprint(student) != index.student:
        raise ValueError(
            f"{path}: is not the student that {options.index} was made with ({index.checkpoint}); "
            "embeddings of two students cannot be compared: give that one with --ckpt, or make the "
            "index again with cmkd infer --embeddings"
        )
    return student


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cmkd search",
        description=_DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--index",
        type=Path,
        required=True,
        metavar="FILE.npz",
        help="what `cmkd infer --embeddings` wrote",
    )
    add_arguments(parser, ckpt_required=False)
    add_top(parser, "clips a query")
    return parser
