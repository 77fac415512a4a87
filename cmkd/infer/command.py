"""The command ``cmkd infer``."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cmkd.infer.index import EmbeddingIndex
from cmkd.infer.job import (
    EXIT_CODES,
    add_arguments,
    add_top,
    check_writable,
    chosen_format,
    open_student,
    predict_all,
    run,
)
from cmkd.infer.output import Entries, Layout, printer
from cmkd.student import Prediction, Student

_DESCRIPTION = """\
Say what a trained student says of files: the most probable classes, averaged over each file's
windows as `cmkd test` does it.

  cmkd infer --ckpt best.ckpt clips/*.mp4
  cmkd infer --ckpt student.safetensors clips/ --format csv > classes.csv
  find clips -name '*.mp4' | cmkd infer --ckpt best.ckpt - --embeddings clips.npz

Ctrl-C leaves what is done printed, and written to --embeddings."""


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the command line behind ``infer``.

    Raises:
        SystemExit: with 1 when sources failed, with 2 for arguments that do not fit, with 130 when
            it was interrupted.
    """
    options = _parser().parse_intermixed_args(list(args))
    run("cmkd infer", lambda: _infer(options))


def _infer(options: argparse.Namespace) -> int:
    if options.embeddings is not None:
        check_writable(options.embeddings, "--embeddings", ".npz")
    student = open_student(options, options.ckpt)
    # What is left to write is written on the way out, whatever the way.
    with ExitStack() as stack:
        keep = stack.enter_context(_kept(options, student))
        out = stack.enter_context(printer(chosen_format(options), _layout(student)))

        def use(prediction: Prediction) -> None:
            keep.append(prediction)
            out.print(prediction.source, _entries(prediction, options.top))

        return predict_all(options, student, use)


@contextmanager
def _kept(options: argparse.Namespace, student: Student) -> Iterator[list[Prediction]]:
    """Give a list whose predictions are written to ``--embeddings`` in the end."""
    predictions: list[Prediction] = []
    try:
        yield predictions
    finally:
        if predictions and options.embeddings is not None:
            index = EmbeddingIndex.of(predictions, student, options.ckpt)
            index.save(options.embeddings)


def _layout(student: Student) -> Layout:
    if student.task == "regression":
        return Layout(["value"])
    return Layout(["class", "probability"], ranking="top")


def _entries(prediction: Prediction, top: int) -> Entries:
    if prediction.value is not None:
        return [{"value": prediction.value}]
    return [{"class": name, "probability": share} for name, share in prediction.top(top)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cmkd infer",
        description=_DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser, ckpt_required=True)
    add_top(parser, "classes a source")
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="FILE.npz",
        help="also write names, embeddings and probabilities, for numpy.load and `cmkd search`; "
        "with --format none nothing else",
    )
    return parser
