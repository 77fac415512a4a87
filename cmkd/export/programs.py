"""Writing a student as a ``torch.export`` program and as ONNX, each checked before it is kept."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from cmkd.export.graph import StudentGraph, dynamic_shapes, example, reference, steps_name
from cmkd.preprocessing import Shape
from cmkd.student import Student

#: Largest difference from PyTorch, absolute and relative, of what is kept.
TOLERANCE = 1e-4
#: (rows, steps of sequences) that a graph is tried on; none is what it is traced with.
TRIED = ((1, 7), (2, 20), (5, 3))
_TRACED_ROWS = 3
#: Characters of what an exporter says.
_LONGEST = 400

#: Runs a written graph on its inputs.
Runner = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class ExportRefusedError(ValueError):
    """A student that cannot be written in a format, or came out different in it."""


def trace(student: Student) -> ExportedProgram:
    """Return the student's network as a ``torch.export`` program for any number of rows.

    Raises:
        ExportRefusedError: when it cannot be traced, or is fixed to a number of rows or steps.
    """
    graph, shapes = StudentGraph(student).eval(), shapes_of(student)
    inputs = tuple(example(shapes, _TRACED_ROWS, seed=0))
    try:
        with torch.no_grad(), _silent():
            return torch.export.export(
                graph, inputs, dynamic_shapes={"inputs": dynamic_shapes(shapes)}
            )
    except Exception as error:  # whatever an encoder of any author does
        raise _refused(student, "torch.export", error) from error


def write_torch_program(student: Student, program: ExportedProgram, path: Path) -> float:
    """Write a program, which ``torch.export.load(path).module()`` runs.

    Args:
        student: the student.
        program: what ``trace`` gave.
        path: the file.

    Returns:
        The largest difference from the student.

    Raises:
        ExportRefusedError: when what was read back differs; there is no file then.
    """
    with _silent():
        torch.export.save(program, path)
        loaded = torch.export.load(path).module()
    return keep_if_equal(student, path, lambda inputs: loaded(*inputs))


def write_onnx(student: Student, program: ExportedProgram, path: Path) -> float:
    """Write a program as ONNX, with free rows, and compare it by onnxruntime.

    Args:
        student: the student.
        program: what ``trace`` gave.
        path: the file.

    Returns:
        The largest difference from the student.

    Raises:
        ExportRefusedError: when it cannot be expressed in ONNX, or onnxruntime gives something
            else; there is no file then.
        ModuleNotFoundError: without the extra ``export``.
    """
    require_onnx()
    graph, shapes = StudentGraph(student), shapes_of(student)
    named = [{at: axis.__name__ for at, axis in one.items()} for one in dynamic_shapes(shapes)]
    try:
        with _silent():
            torch.onnx.export(
                program,
                f=path,
                input_names=graph.input_names,
                output_names=graph.output_names,
                dynamic_shapes={"inputs": tuple(named)},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        runner = onnx_runner(path)
    except Exception as error:  # whatever an encoder of any author does
        path.unlink(missing_ok=True)
        raise _refused(student, "ONNX", error) from error
    return keep_if_equal(student, path, runner)


def onnx_runner(path: Path) -> Runner:
    """Return what runs an ONNX file on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        given = dict(zip(names, (one.numpy() for one in inputs), strict=True))
        return [torch.from_numpy(output) for output in session.run(None, given)]

    return run


def keep_if_equal(student: Student, path: Path, runner: Runner) -> float:
    """Compare a written graph with the student on several numbers of rows; remove it if it differs.

    Args:
        student: the student.
        path: the file.
        runner: runs what the file holds.

    Returns:
        The largest absolute difference of probabilities, values and embeddings.

    Raises:
        ExportRefusedError: when any differs by more than ``TOLERANCE``, absolute and relative.
    """
    names, shapes = StudentGraph(student).output_names, shapes_of(student)
    largest = 0.0
    for seed, (rows, steps) in enumerate(TRIED, start=1):
        inputs = example(shapes, rows, seed, steps)
        try:
            with torch.no_grad():
                found, expected = runner(inputs), reference(student, inputs)
        except Exception as error:  # whatever runs the file
            path.unlink(missing_ok=True)
            raise _refused(student, f"{path.name} on {rows} rows", error) from error
        for name, one, other in zip(names, found, expected, strict=True):
            if not torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE):
                path.unlink(missing_ok=True)
                raise ExportRefusedError(
                    f"{path}: {name} of {rows} rows differs from PyTorch by up to "
                    f"{float((one - other).abs().max()):.2g}, more than {TOLERANCE:g}; the file "
                    "was removed. The .safetensors file is exact"
                )
            largest = max(largest, float((one - other).abs().max()))
    return largest


def shapes_of(student: Student) -> dict[str, Shape]:
    """Return the shapes of a student's modalities in the order of its network."""
    return {name: student.preprocessing.shapes[name] for name in student.modalities}


def require_onnx() -> None:
    """Raise the error that names the extra where ONNX's packages are not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"ONNX needs {error.name}: pip install 'cmkd[export]', or leave onnx out of --formats"
        ) from error


def _refused(student: Student, what: str, error: Exception) -> ExportRefusedError:
    encoders = {name: type(one).__name__ for name, one in student.network.encoders.items()}
    root: BaseException = error
    said = str(root)
    while root.__cause__ is not None:
        root = root.__cause__
        said += str(root)
    fixed = [name for number, name in enumerate(encoders) if steps_name(number) in said]
    if fixed:
        why = (
            f"{encoders[fixed[0]]} of '{fixed[0]}' would be fixed to one number of steps: a graph "
            "holds each step of a recurrent layer. TransformerEncoder takes any number"
        )
    else:
        # The exporters' own advice comes before the cause, or lines behind it.
        why = " ".join(str(root).split())[:_LONGEST]
    named = ", ".join(f"{name}: {encoder}" for name, encoder in encoders.items())
    return ExportRefusedError(
        f"the student ({named}) cannot be written as {what}: {why}. The .safetensors file holds it "
        "exactly"
    )


def _silent() -> AbstractContextManager[Any]:
    """Return a context without the exporters' warnings, which name nothing a user could change."""
    return warnings.catch_warnings(action="ignore")
