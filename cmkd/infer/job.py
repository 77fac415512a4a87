"""What ``cmkd infer`` and ``cmkd search`` share: arguments, the loop over sources, exit codes."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cmkd.infer.output import FORMATS, Format
from cmkd.infer.reading import predict_ahead
from cmkd.infer.sources import STDIN, find_sources, read_list
from cmkd.student import Failure, Prediction, Student, load_student

#: Some sources failed; a mistake in the arguments; Ctrl-C; nobody reads the output any more.
SOME_FAILED, USAGE, INTERRUPTED, UNREAD = 1, 2, 130, 141
EXIT_CODES = (
    "exit code: 0; 1 when sources could not be read (each is named on the standard error, and the "
    "rest is done); 2 for arguments or files that do not fit."
)


def add_arguments(parser: argparse.ArgumentParser, ckpt_required: bool) -> None:
    """Add what both commands take."""
    add = parser.add_argument
    add(
        "--ckpt",
        metavar="FILE",
        required=ckpt_required,
        help="a checkpoint of a training, or the .safetensors file (or folder) of `cmkd export`"
        + ("" if ckpt_required else "; by default the student that made the index"),
    )
    add(
        "sources",
        metavar="SOURCE",
        nargs="*",
        help="a file; a folder, searched with all in it; - for a list on the standard input; or "
        "video=clip.mp4,audio=clip.wav for modalities in files of their own",
    )
    add("--list", metavar="FILE", help="a text file that names a source a line; - as above")
    add(
        "--format",
        choices=FORMATS,
        help="json: an object a line; csv: a line a rank; by default a table on a terminal, json "
        "elsewhere",
    )
    add("--batch_size", type=_positive, default=16, metavar="N", help="windows at once; 16")
    add(
        "--workers",
        type=_positive,
        default=_default_workers(),
        metavar="N",
        help="files decoded at once; by default as many as there are cores, at most 8",
    )
    add("--device", default="auto", help="cpu, cuda, cuda:1, ...; by default cuda if there is one")
    add(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="may be imported for classes that the student names; once for each package of yours",
    )


def add_top(parser: argparse.ArgumentParser, what: str) -> None:
    """Add how many entries are printed a source."""
    parser.add_argument("--top", type=_positive, default=5, metavar="K", help=f"{what}; 5")


def chosen_format(options: argparse.Namespace) -> Format:
    """Return the format to print in."""
    form: Format | None = options.format
    return form or ("table" if sys.stdout.isatty() else "json")


def open_student(options: argparse.Namespace, ckpt: str) -> Student:
    """Read the student.

    Raises:
        ValueError: for a file or a device that does not fit.
        OSError: for a file that cannot be read.
    """
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"--device {device}: {reason}; choose another, such as cpu") from error
    return load_student(ckpt, device, options.trust)


def predict_all(
    options: argparse.Namespace, student: Student, use: Callable[[Prediction], None]
) -> int:
    """Predict the sources that the arguments name, and report those that cannot be read.

    Args:
        options: the arguments.
        student: the student.
        use: called with each prediction, in the order of the sources.

    Returns:
        How many sources failed.

    Raises:
        ValueError: when there are none.
        OSError: for a list that cannot be read.
        KeyboardInterrupt: after a line on how many were done.
    """
    sources = list(find_sources(_names(options), student))
    if not sources:
        raise ValueError("no source: name files or folders, or give --list FILE")
    done, failed = 0, 0
    try:
        with _progress(len(sources), options) as advance:
            for result in predict_ahead(student, sources, options.batch_size, options.workers):
                if isinstance(result, Failure):
                    failed += 1
                    advance(_complaint(result))
                else:
                    use(result)
                    done += 1
                    advance(None)
    except KeyboardInterrupt:
        print(f"interrupted: {done} of {len(sources)} sources are done", file=sys.stderr)
        raise
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"--batch_size {options.batch_size}: out of memory; {done} of {len(sources)} sources "
            "are done"
        ) from error
    if failed:
        print(f"{failed} of {len(sources)} sources failed", file=sys.stderr)
    return failed


def run(name: str, work: Callable[[], int]) -> None:
    """Do a command's work and turn what comes of it into its exit code.

    Args:
        name: of the command.
        work: does it and returns how many sources failed.

    Raises:
        SystemExit: unless all is well.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name is bytes, and need not be UTF-8.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        failed = work()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # The interpreter would write what is left once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(UNREAD) from None
    except (ValueError, OSError) as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        raise SystemExit(USAGE) from None
    if failed:
        raise SystemExit(SOME_FAILED)


def check_writable(path: Path, option: str, suffix: str) -> None:
    """Check, before the work, that a file can be made.

    Raises:
        ValueError: when it has another suffix or its folder is not there; names the option.
    """
    if path.suffix != suffix:
        raise ValueError(f"{option} {path}: has to end in {suffix}")
    if not os.access(path.absolute().parent, os.W_OK):
        raise ValueError(f"{option} {path}: there is no folder to write it to")


def _names(options: argparse.Namespace) -> Iterator[str]:
    for name in options.sources:
        if name == STDIN:
            yield from read_list(STDIN)
        else:
            yield name
    if options.list is not None:
        yield from read_list(options.list)


@contextmanager
def _progress(total: int, options: argparse.Namespace) -> Iterator[Callable[[str | None], None]]:
    """Show a bar on the standard error; give what counts a source and prints a complaint of it.

    There is none where nobody sees it, nor where answers are printed line by line in its place.
    """
    console = Console(stderr=True, highlight=False)
    between = sys.stdout.isatty() and chosen_format(options) in ("json", "csv")
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        disable=between or not console.is_terminal,
    )
    bar = progress.add_task("predicted", total=total)

    def advance(complaint: str | None) -> None:
        if complaint is not None:
            console.print(Text(complaint), soft_wrap=True)
        progress.advance(bar)

    with progress:
        yield advance


def _complaint(failure: Failure) -> str:
    """Return one line, which names the source once."""
    reason = " ".join(failure.reason.split("\n"))
    return reason if failure.source in reason else f"{failure.source}: {reason}"


def _default_workers() -> int:
    available = getattr(os, "sched_getaffinity", None)
    return min(8, len(available(0)) if available else os.cpu_count() or 1)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"has to be at least 1, got {number}")
    return number
