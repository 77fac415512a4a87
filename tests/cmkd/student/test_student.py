"""Students made in Python, and what they refuse."""

import numpy as np
import pytest
import torch

from cmkd import Student, load_student
from cmkd.networks import MLP, Concatenation, ModalityNetwork
from cmkd.preprocessing import ReadyTensors
from cmkd.student import Failure
from tests.cmkd.setting import make_data, make_model, make_trainer


def network(outputs: int = 3) -> ModalityNetwork:
    torch.manual_seed(0)
    return ModalityNetwork({"face": MLP(6, 16)}, Concatenation, 8, outputs)


def test_a_student_needs_names_and_inputs_that_fit_its_network():
    inputs = ReadyTensors({"face": [6]})
    with pytest.raises(ValueError, match="2, but the network has 3"):
        Student(network(), inputs, ["a", "b"])
    with pytest.raises(ValueError, match="takes face, the preprocessing gives audio"):
        Student(network(), ReadyTensors({"audio": [6]}))


def test_classes_without_names_go_by_their_numbers_and_windows_are_averaged():
    student = Student(network(), ReadyTensors({"face": [6]}))
    windows = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    together = student.predict({"face": windows})
    alone = torch.stack([student.predict({"face": one}).probabilities for one in windows])
    assert torch.allclose(together.probabilities, alone.mean(0), atol=1e-6)
    best = int(together.probabilities.argmax())
    assert together.top(1) == [(str(best), pytest.approx(float(together.probabilities.max())))]
    with pytest.raises(ValueError, match="at least 1"):
        together.top(0)


def test_a_regression_predicts_a_value_and_no_classes():
    student = Student(network(1), ReadyTensors({"face": [6]}), task="regression")
    x = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    prediction = student.predict({"face": x})
    expected = student.network({"face": x}).logits.mean()
    assert prediction.value == pytest.approx(float(expected), abs=1e-6)
    assert prediction.top(3) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(5), r"'face'.*\(6\)"),
        (torch.full((6,), float("nan")), "NaN"),
        (np.array(["a"] * 6), "real numbers"),
        (torch.zeros(0, 6), "expected"),
    ],
)
def test_tensors_that_do_not_fit_are_failures_with_a_reason(value, message):
    student = Student(network(), ReadyTensors({"face": [6]}))
    with pytest.raises(ValueError, match=message):
        student.predict({"face": value})
    good = {"face": np.zeros(6, np.float32)}
    first, second = student.predict_many([{"face": value}, good])
    assert isinstance(first, Failure)
    assert not isinstance(second, Failure)


def test_an_array_in_a_file_is_a_source_and_a_pickle_is_none(tmp_path):
    student = Student(network(), ReadyTensors({"face": [6]}))
    np.save(tmp_path / "one.npy", np.ones(6))
    expected = student.predict({"face": torch.ones(6)})
    found = student.predict(tmp_path / "one.npy")
    assert torch.equal(found.probabilities, expected.probabilities)
    assert found.source == str(tmp_path / "one.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects\.npy is no \.npy file of numbers"):
        student.predict(tmp_path / "objects.npy")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        student.predict(tmp_path / "nowhere.npy")


def test_a_model_built_in_python_gives_its_student_in_python(tmp_path):
    model, data = make_model(teacher_epochs=0), make_data()
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match=r"built in Python.*Student\(model"):
        load_student(tmp_path / "model.ckpt")
    student = Student(model.network("student"), data.preprocessing(), data.class_names)
    sample = data.dataset("test")[0]
    found = student.predict({"face": sample["face"]}).probabilities
    expected = model.network("student")({"face": sample["face"][None]}).logits.softmax(1)[0]
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_checkpoint_of_the_teacher_stage_has_no_student_yet(tmp_path):
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(make_model(teacher_epochs=1), make_data())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match=r"written in the teacher stage.*best\.ckpt"):
        load_student(tmp_path / "model.ckpt")
