"""The command ``cmkd export``."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table

from cmkd.export.cost import Cost, cost
from cmkd.export.evaluation import Evaluated, evaluate, from_comparison
from cmkd.export.model_card import FILE_NAME, FILL_IN, Card, model_card
from cmkd.export.programs import require_onnx, shapes_of, trace, write_onnx, write_torch_program
from cmkd.export.run import RunData, find_run, read_config
from cmkd.student import Student, save_student
from cmkd.student.checkpoint import Trained, student_of_checkpoint
from cmkd.student.record import read_json

FORMATS = ("safetensors", "torch", "onnx")
_DESCRIPTION = """\
Write a run's student, alone, where others can use it.

  student.safetensors, student.json   weights; architecture, preprocessing, class names. Always
                                      written, exact; `cmkd.load_student` reads them, with torch
                                      and without Lightning
  student.pt2                         torch.export program (--formats torch)
  student.onnx                        ONNX (--formats onnx; pip install 'cmkd[export]')
  MODEL_CARD.md                       data, protocol, test metrics with intervals, licences, how to
                                      cite: filled from the run, with what is left to fill in marked

Graphs take any number of windows and are compared with PyTorch on several numbers of them before
they are kept, to 1e-4. A student that cannot be written in a format is refused with the reason, and
the other formats are written.

exit code: 0; 1 when a format was refused; 2 for arguments or files that do not fit."""


@dataclass(frozen=True)
class Options:
    """What the command line says; its help describes it."""

    run: Path
    out: Path
    formats: Sequence[Literal["safetensors", "torch", "onnx"]]
    name: str
    trust: Sequence[str]
    metrics: bool
    compare: Path | None
    compare_method: str | None
    compare_group: str | None
    license: str | None
    data_license: str | None


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the command line behind ``export``.

    Raises:
        SystemExit: with 1 when a format was refused, 2 for arguments or files that do not fit.
    """
    width = None if sys.stdout.isatty() else 120
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False)
    options = _parse(args)
    try:
        refused = export(options, console)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"cmkd export: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if refused:
        raise SystemExit(1)


def export(options: Options, console: Console) -> list[str]:
    """Write what the options ask for.

    Returns:
        The formats that were refused.

    Raises:
        ValueError: for files that do not fit.
        OSError: for files that are not there or cannot be written.
        ModuleNotFoundError: for ONNX without its packages; nothing is written then.
    """
    if "onnx" in options.formats:
        require_onnx()
    files = find_run(options.run)
    config = None if files.config is None else read_config(files.config)
    data = RunData(config, files.config)
    student, trained = student_of_checkpoint(
        files.checkpoint, "cpu", options.trust, data.student_state
    )
    evaluated = _evaluated(options, student, trained, data, console)
    origin = {
        "run": "/".join(files.checkpoint.resolve().parts[-4:-2]),
        "checkpoint": files.checkpoint.name,
        "epoch": trained.epoch,
    }
    weights = save_student(student, trained.architecture, options.out, options.name, origin)
    written = [weights, weights.with_suffix(".json")]
    refused = _graphs(options, student, written, console)
    card = Card(
        name=options.name,
        student=student,
        cost=cost(student.network, shapes_of(student)),
        files=[path.name for path in written],
        hparams=trained.hparams,
        config=config,
        origin=origin,
        fingerprint=read_json(weights.with_suffix(".json"))["fingerprint"],
        evaluated=evaluated,
        license=options.license,
        data_license=options.data_license,
    )
    text = model_card(card)
    (options.out / FILE_NAME).write_text(text, encoding="utf-8")
    fields = f"{text.count(FILL_IN)} fields to fill in"
    console.print(f"{options.out / FILE_NAME}: {fields}", soft_wrap=True)
    _print_costs(card.cost, trained, data, console)
    return refused


def _graphs(options: Options, student: Student, written: list[Path], console: Console) -> list[str]:
    """Write the graphs; name the files, and say why one could not be written."""
    for path in written:
        console.print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", soft_wrap=True)
    wanted = {
        "torch": (".pt2", write_torch_program),
        "onnx": (".onnx", write_onnx),
    }
    wanted = {name: how for name, how in wanted.items() if name in options.formats}
    if not wanted:
        return []
    for suffix, _ in wanted.values():
        # What is found beside the card is this student's.
        (options.out / f"{options.name}{suffix}").unlink(missing_ok=True)
    try:
        program = trace(student)
    except ValueError as error:
        print(f"cmkd export: refused: {error}", file=sys.stderr)
        return list(wanted)
    refused = []
    for name, (suffix, write) in wanted.items():
        path = options.out / f"{options.name}{suffix}"
        try:
            difference = write(student, program, path)
        except ValueError as error:
            print(f"cmkd export: refused: {error}", file=sys.stderr)
            refused.append(name)
            continue
        written.append(path)
        size = f"{path.stat().st_size / 1e6:.2f} MB"
        console.print(
            f"{path}: {size}, differs from PyTorch by {difference:.1g} at most", soft_wrap=True
        )
    return refused


def _evaluated(
    options: Options, student: Student, trained: Trained, data: RunData, console: Console
) -> Evaluated | None:
    if options.compare is not None:
        method = options.compare_method
        if method is None:
            raise ValueError("--compare_method: name the student's method in the comparison")
        return from_comparison(options.compare, method, options.compare_group)
    opened = data.open() if options.metrics else None
    if opened is None:
        why = f" ({data.problem})" if data.problem else ""
        console.print(f"test metrics are not measured{why}", soft_wrap=True)
        return None
    task = trained.hparams.get("task")
    given = task.get("init_args", {}) if isinstance(task, Mapping) else {}
    known = ("low", "high", "neutral") if student.task == "regression" else ()
    label_range = {key: given[key] for key in known if key in given}
    return evaluate(student, opened.predict_dataloader(), **label_range)


def _print_costs(student: Cost, trained: Trained, data: RunData, console: Console) -> None:
    costs = {"student": student}
    teacher = trained.teacher()
    if teacher is not None:
        costs["teacher"] = cost(teacher, data.shapes(teacher.modalities))
    cores = torch.get_num_threads()
    table = Table(title=f"One window at a time, CPU, {cores} thread{'s'[: cores - 1]}")
    for heading in ("network", "parameters", "MB", "ms"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for name, one in costs.items():
        latency = "" if one.milliseconds is None else f"{one.milliseconds:.2f}"
        table.add_row(name, f"{one.parameters:,}", f"{one.megabytes:.2f}", latency)
    console.print(table)


def _parse(args: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="cmkd export",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", type=Path, help="folder of a run, of which the best checkpoint is taken, or a .ckpt")
    add("--out", type=Path, required=True, help="folder to write into; it is made if needed")
    add("--formats", nargs="+", choices=FORMATS, default=["safetensors"], help="see above")
    add("--name", default="student", help="of the files, without suffix")
    add(
        "--trust",
        nargs="+",
        default=[],
        metavar="PACKAGE",
        help="packages of your own whose classes the student is made of; they are imported",
    )
    add(
        "--no_metrics",
        dest="metrics",
        action="store_false",
        help="do not evaluate the student on the run's test data for the card",
    )
    add("--compare", type=Path, metavar="DIR", help="take the metrics from a cmkd compare")
    add("--compare_method", metavar="NAME", help="the student's method in it")
    add("--compare_group", metavar="NAME", help="the student's group in it, where it has several")
    add("--license", help="of the weights, for the card")
    add("--data_license", help="of the data, for the card")
    parsed = parser.parse_args(list(args))
    if Path(parsed.name).name != parsed.name or not parsed.name:
        parser.error(f"--name: has to be a file's name without suffix, got '{parsed.name}'")
    return Options(**vars(parsed))
