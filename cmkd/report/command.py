"""The command ``cmkd report``."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from cmkd.compare.store import write_whole
from cmkd.report.folders import is_comparison, read_run

_DESCRIPTION = """\
Write one HTML file on a run or a comparison: it opens from disk, needs no network, and is light or
dark as the reader's system is. Its figures are also saved as PNG and SVG.

Of a run (`cmkd fit`): what was run, metrics with intervals, learning curves, bounds on information
with their ceilings, confusion matrix, embedding map, retrieval gallery, inputs. For these the best
checkpoint is run once over the validation data of its config; where they are gone, the report says
so and shows the rest. Of a comparison (`cmkd compare`): tables with paired differences and their
intervals, what was tuned, every run."""

_EPILOG = """\
Data that has moved since the training: `cmkd report RUN --data.init_args.root /new/place`, like any
other argument of `cmkd fit`.

exit code: 0; 2 for a folder that no report can be made of."""


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the command line behind ``report``.

    Raises:
        SystemExit: with 2 for a folder or arguments that do not fit.
    """
    options, overrides = _parser().parse_known_args(list(args))
    try:
        _check_installed()
        written = _write(options, overrides)
    except (ValueError, OSError) as error:
        print(f"cmkd report: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"report: {written}")


def _write(options: argparse.Namespace, overrides: Sequence[str]) -> Path:
    # Not before: the help needs neither torch nor matplotlib.
    from cmkd.report.canvas import Canvas
    from cmkd.report.page import render

    folder: Path = options.folder
    out: Path = options.out or folder
    comparison = is_comparison(folder)
    canvas = Canvas(out / "figures")
    if comparison:
        from cmkd.report.compare_page import compare_page

        if overrides or options.ckpt:
            given = overrides[0] if overrides else "--ckpt"
            raise ValueError(f"{given}: '{folder}' is a comparison, of which no network is run")
        page = compare_page(folder, canvas)
    else:
        from cmkd.report.run_page import RunOptions, run_page

        if options.ckpt and not options.ckpt.is_file():
            raise ValueError(f"--ckpt: there is no file '{options.ckpt}'")
        wanted = RunOptions(options.split, options.embedding, overrides)
        page, reason = run_page(read_run(folder, options.ckpt), canvas, wanted)
        if reason is not None:
            print(f"without an evaluation of the best checkpoint: {reason}", file=sys.stderr)
    written = out / "report.html"
    write_whole(written, render(page))
    return written


def _check_installed() -> None:
    absent = [n for n in ("jinja2", "matplotlib", "PIL") if importlib.util.find_spec(n) is None]
    if absent:
        raise ValueError(
            f"{', '.join(absent)} is not installed; a report needs: pip install 'cmkd[report]'"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cmkd report",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="cmkd report RUN_OR_COMPARE_DIR [options] [--data.x y ...]",
    )
    add = parser.add_argument
    add(
        "folder", type=Path, metavar="RUN_OR_COMPARE_DIR", help="what `cmkd fit` or `compare` wrote"
    )
    add("--out", type=Path, help="folder of report.html and figures/; by default the same")
    add(
        "--split",
        choices=["val", "test"],
        default="val",
        help="whose samples the best checkpoint is run on; val, unless you ask for the test",
    )
    add("--ckpt", type=Path, metavar="FILE", help="this checkpoint in place of best.ckpt")
    add(
        "--embedding",
        choices=["pca", "tsne"],
        default="pca",
        help="how embeddings are put on a plane; pca by default",
    )
    return parser
