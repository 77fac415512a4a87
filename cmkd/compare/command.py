"""The command ``cmkd compare``."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from cmkd.compare.config import Comparison, read_comparison
from cmkd.compare.plan import Plan, Selection
from cmkd.compare.reading import integers
from cmkd.compare.session import Session
from cmkd.compare.worker import Worker
from cmkd.runs import config_name

_DESCRIPTION = """\
Compare methods over seeds and folds, fairly, and print one table.

Every run is what `cmkd fit` and `cmkd test` do with the same configs, without their files. A run is
known by the content of its configs, its overrides, seed, fold and the library's version: what is
finished is never run again, and what has changed is never mixed into a table. Runs whose teacher
stage is equal share it: it is trained once. Data files are taken for what they were; when they
change, remove the folder.

Into the folder of results (--out) go results.csv, a row a run; table.md; runs/, a record a run with
the command line that repeats it; logs/ of failed runs; teachers/. With --tune also tuned.yaml, the
chosen settings, and trials.csv.

differences: a run is paired with the baseline's of the same group, fold and seed. The interval is
Student's t over the pairs, as if they were independent; folds share training samples, so it is
somewhat too short.

exit code: 0; 1 when a run failed, after all others were made; 2 for a config that does not fit."""

_YAML = """\
the YAML (paths are relative to its folder):

  configs: [base.yaml]                # what `cmkd fit --config` takes, of all runs
  overrides: {data.init_args.auxiliary_at_test: true}   # by dotted key; this one scores the teacher
  groups:                             # settings to compare in; may be left out
    face <- audio: {}
    audio <- face: {model.student_modalities: [audio], model.auxiliary_modalities: [face]}
  folds:                              # may be left out; a group may have its own
    values: 0..5
    overrides: {data.init_args.split.init_args.fold: "{fold}"}
  seeds: 0..2                         # unless --seeds says otherwise
  methods:                            # a path, a list of paths, or overrides and `configs`
    none: ../methods/none.yaml
    kd: ../methods/kd.yaml
    soft kd: {configs: ../methods/kd.yaml, model.student_terms.kd.weight: 0.3}
  baseline: none                      # the first method by default
  metrics: {accuracy: 100}            # of the test, with what the table multiplies them
  threads: 1                          # of torch a process; by default the cores over --jobs
  share_teacher: true                 # the default
  tune:                               # for --tune
    budget: 6                         # settings that are tried of each method, no more, no fewer
    seeds: 0                          # of the runs of a trial
    shared:                           # tried first, for one method, and then used by all
      method: none
      grid: {model.optimizer.init_args.lr: [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016]}
    grids:                            # every combination, as many as the budget, or
      none: {model.task.init_args.label_smoothing: [0.0, 0.05, 0.1, 0.2, 0.3, 0.4]}
      kd:                             # with a range: no change, and then random draws
        weight: {keys: [model.student_terms.kd.weight], range: [0.1, 10], log: true}

`include: ../methods/compare.yaml` puts the file over another one: mappings are merged, null takes
a method out. A folds key may also name each fold: {first: {data.init_args.split: 1}, second: ...}.
A setting is chosen for each group, method and fold by the best mean validation score over the
seeds. Trials do not build the test data."""


_WIDTH = 120


@dataclass(frozen=True)
class Options:
    """What the command line says; its help describes it."""

    config: Path
    seeds: str | None
    groups: list[str] | None
    methods: list[str] | None
    folds: list[str] | None
    jobs: int
    threads: int | None
    out: Path | None
    tune: bool
    tuned: Path | None
    print_jobs: bool
    only: list[str] | None
    again: bool


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the command line behind ``compare``.

    Raises:
        SystemExit: with 1 when a run failed, 2 for arguments that do not fit, 130 when the user
            interrupts it.
    """
    # The file, not whatever sys.stdout is later: what runs print goes to their logs.
    # Brackets in names and errors are no markup.
    # A log has no width; what rich assumes folds the tables.
    width = None if sys.stdout.isatty() else _WIDTH
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False)
    try:
        options, overrides = _parse(args)
        session = _session(options, overrides, list(args), console)
        if options.print_jobs:
            session.list_commands()
        elif options.only is not None:
            session.run_only(options.only, options.again)
        else:
            session.run_all(options.again)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where this one stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except (ValueError, OSError) as error:
        print(f"cmkd compare: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if session.failures:
        raise SystemExit(1)


def _session(
    options: Options, overrides: dict[str, Any], args: list[str], console: Console
) -> Session:
    comparison = read_comparison(options.config)
    selection = Selection(
        groups=options.groups,
        methods=options.methods,
        folds=options.folds,
        seeds=None if options.seeds is None else integers(options.seeds, "--seeds"),
        overrides=overrides,
    )
    folder = options.out or Path("runs") / "compare" / config_name([str(options.config)])
    return Session(
        plan=Plan(comparison, selection),
        folder=folder,
        worker=Worker(folder, _threads(options, comparison), comparison.share_teacher),
        jobs=options.jobs,
        tune=options.tune,
        tuned=options.tuned,
        command=_without_mode(args),
        console=console,
    )


def _threads(options: Options, comparison: Comparison) -> int:
    given = options.threads or comparison.threads
    return given or max(1, (os.cpu_count() or 1) // options.jobs)


def _without_mode(args: list[str]) -> str:
    """Return the command line without what says what to do with the runs, for job lists."""
    kept = [arg for arg in args if arg not in ("--list", "--again")]
    return shlex.join(["cmkd", "compare", *kept])


def _parse(args: Sequence[str]) -> tuple[Options, dict[str, Any]]:
    parser = argparse.ArgumentParser(
        prog="cmkd compare",
        description=_DESCRIPTION,
        epilog=_YAML,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="cmkd compare --config COMPARE.yaml [--seeds 0..4] [options] [--model.x y ...]",
    )
    add = parser.add_argument
    add("--config", type=Path, required=True, help="the YAML of the comparison, see below")
    add("--seeds", help="0..4, or 0,3,5; those of the YAML by default")
    add("--groups", nargs="+", metavar="NAME", help="these groups alone")
    add("--methods", nargs="+", metavar="NAME", help="these methods alone")
    add("--folds", nargs="+", metavar="NAME", help="these folds alone")
    add("--jobs", type=_positive, default=1, help="runs at once, in as many processes")
    add("--threads", type=_positive, help="of torch in each process")
    add("--out", type=Path, help="folder of results; runs/compare/<name of the YAML> by default")
    add("--tune", action="store_true", help="choose settings first, on validation data alone")
    add("--tuned", type=Path, metavar="FILE", help="use settings that an earlier --tune wrote")
    add(
        "--list",
        dest="print_jobs",
        action="store_true",
        help="print a command line for each run to do, for a cluster's job array",
    )
    add("--only", nargs="+", metavar="KEY", help="do these runs alone, by their keys")
    add("--again", action="store_true", help="do again what is finished")
    parsed, rest = parser.parse_known_args(list(args))
    if parsed.tune and parsed.tuned:
        parser.error("--tune chooses settings and --tuned reads them: give one of them")
    if parsed.print_jobs and parsed.only:
        parser.error("--list prints runs and --only does some: give one of them")
    return Options(**vars(parsed)), _overrides(rest, parser)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"has to be 1 or more, got {number}")
    return number


def _overrides(rest: Sequence[str], parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Read ``--model.x 1`` and ``--model.x=1``."""
    overrides: dict[str, Any] = {}
    words = iter(rest)
    for word in words:
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in key:
            parser.error(f"unrecognized argument: {word}")
        text = value if equals else next(words, None)
        if text is None:
            parser.error(f"{word}: give a value")
        overrides[key] = yaml.safe_load(text)
    return overrides
