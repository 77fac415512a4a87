"""Graphs of students: they say what PyTorch says, or are not kept."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from cmkd.export import programs
from cmkd.export.graph import example, reference
from cmkd.export.programs import (
    ExportRefusedError,
    keep_if_equal,
    onnx_runner,
    shapes_of,
    trace,
    write_onnx,
    write_torch_program,
)
from cmkd.networks.base import Encoder, Features
from tests.cmkd.export.networks import FAMILIES, LARGE, gru, mlp, student_of


def check(student, folder):
    program = trace(student)
    assert write_torch_program(student, program, folder / "student.pt2") <= programs.TOLERANCE
    assert write_onnx(student, program, folder / "student.onnx") <= programs.TOLERANCE
    runner = onnx_runner(folder / "student.onnx")
    inputs = example(shapes_of(student), rows=4, seed=9, steps=31)
    for found, expected in zip(runner(inputs), reference(student, inputs), strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["MLP", pytest.param("AttentionFusion", marks=pytest.mark.slow)])
def test_a_student_is_the_same_in_every_format(name, tmp_path):
    check(FAMILIES[name](), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*FAMILIES, *LARGE} - {"MLP", "AttentionFusion"}))
def test_every_network_is_the_same_in_every_format(name, tmp_path):
    check({**FAMILIES, **LARGE}[name](), tmp_path)


def test_a_program_runs_without_this_library(tmp_path):
    student = mlp()
    write_torch_program(student, trace(student), tmp_path / "student.pt2")
    x = torch.ones(7, 6)
    script = (
        "import sys; sys.modules['cmkd'] = None\n"
        "import torch\n"
        f"module = torch.export.load({str(tmp_path / 'student.pt2')!r}).module()\n"
        "print(module(torch.ones(7, 6))[0].tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected, _ = reference(student, [x])
    assert torch.allclose(torch.tensor(eval(done.stdout)), expected, atol=1e-6)


def test_a_recurrent_student_is_refused_with_the_reason():
    with pytest.raises(ExportRefusedError, match=r"GRUEncoder of 'text'.*number of steps"):
        trace(gru())


def test_a_file_that_says_something_else_is_removed(tmp_path):
    path = tmp_path / "student.pt2"
    write_torch_program(mlp(), trace(mlp()), path)
    loaded = torch.export.load(path).module()
    with pytest.raises(ExportRefusedError, match="probabilities of 1 rows differs from PyTorch"):
        keep_if_equal(mlp(seed=1), path, lambda inputs: loaded(*inputs))
    assert not path.exists()


def test_an_onnx_file_that_says_something_else_is_removed(tmp_path):
    path = tmp_path / "student.onnx"
    with pytest.raises(ExportRefusedError, match="differs from PyTorch"):
        write_onnx(mlp(seed=1), trace(mlp()), path)
    assert not path.exists()


class Loop(Encoder):
    """An encoder whose number of layers depends on its input: no graph holds that."""

    def __init__(self) -> None:
        super().__init__()
        self.out_features = 6
        self.layer = nn.Linear(6, 6)

    def forward(self, x, length=None):
        for _ in range(int(x.abs().sum()) % 3):
            x = self.layer(x)
        return Features(x)


def test_an_encoder_that_is_no_graph_is_refused_by_name():
    with pytest.raises(ExportRefusedError, match=r"face: Loop.*torch\.export"):
        trace(student_of({"face": Loop()}, {"face": [6]}))


def test_without_onnx_the_error_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r"cmkd\[export\]"):
        write_onnx(mlp(), trace(mlp()), tmp_path / "student.onnx")
    assert not list(tmp_path.iterdir())
