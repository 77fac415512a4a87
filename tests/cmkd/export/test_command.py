"""``cmkd export``: from a run's folder to files that others use, and its card."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cmkd import load_student
from cmkd.export.command import main
from cmkd.export.model_card import FILL_IN
from tests.cmkd.student.small_runs import clip_arguments, evaluated, feature_arguments, fit


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    arguments = clip_arguments(folder, student="[video]")
    fit(arguments, folder / "run")
    return arguments, folder / "run"


@pytest.fixture(scope="module")
def exported(clips, tmp_path_factory):
    """The files of an export, and what it printed."""
    out = tmp_path_factory.mktemp("out") / "student"
    _, folder = clips
    capture = pytest.MonkeyPatch()
    printed: list[str] = []
    capture.setattr("rich.console.Console.print", lambda self, *what, **_: printed.extend(what))
    main([str(folder), "--out", str(out), "--license", "CC-BY-4.0"])
    capture.undo()
    return out, printed


def test_the_exported_student_predicts_as_its_checkpoint(clips, exported):
    _, folder = clips
    out, _ = exported
    path = next((folder.parent / "clips").rglob("*.mp4"))
    best = load_student(folder / "checkpoints" / "best.ckpt")
    found = load_student(out / "student.safetensors")
    assert torch.equal(found.predict(path).probabilities, best.predict(path).probabilities)
    assert found.class_names == ("Archery", "Bowling", "Diving")
    record = json.loads((out / "student.json").read_text())
    assert record["origin"]["checkpoint"] == "best.ckpt"
    assert torch.__version__.startswith(record["made_with"]["torch"])
    size = (out / "student.safetensors").stat().st_size
    parameters = sum(p.numel() for p in best.network.parameters())
    assert size < 4 * parameters + 8_000, "more than the student is in the file"


def test_the_card_holds_the_test_metrics_and_marks_what_is_unknown(clips, exported):
    arguments, folder = clips
    out, _ = exported
    card = (out / "MODEL_CARD.md").read_text()
    dataset, means = evaluated(arguments, folder / "checkpoints" / "best.ckpt")
    hits = [
        int(means[number]["prediction"].argmax()) == dataset.reader.table[number].label
        for number in means
    ]
    accuracy = sum(hits) / len(hits)
    row = next(line for line in card.splitlines() if line.startswith("| accuracy |"))
    value, interval = (cell.strip() for cell in row.split("|")[2:4])
    assert value == f"{accuracy:.4f}"
    low, high = (float(end) for end in interval.split(" to "))
    assert low <= accuracy <= high
    assert low < high
    assert "these weights: CC-BY-4.0" in card
    assert "its teacher also saw audio" in card
    assert "Archery, Bowling, Diving" in card
    assert f"* the data they were trained on: {FILL_IN}licence]" in card
    assert str(folder.parent) not in card, "a path of this machine is in the card"


def test_size_and_latency_of_student_and_teacher_are_printed(exported):
    _, printed = exported
    table = next(one for one in printed if hasattr(one, "columns"))
    names, parameters, _, times = (list(column.cells) for column in table.columns)
    assert names == ["student", "teacher"]
    student, teacher = (int(one.replace(",", "")) for one in parameters)
    assert student < teacher
    assert all(float(one) > 0 for one in times)


def test_a_refused_format_is_no_success_and_the_others_are_written(tmp_path, capsys):
    arguments = feature_arguments(tmp_path)
    checkpoint = fit(arguments, tmp_path / "run")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        main([str(checkpoint), "--out", str(out), "--formats", "torch", "--no_metrics"])
    assert caught.value.code == 1
    assert "GRUEncoder of 'speech'" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == [
        "MODEL_CARD.md",
        "student.json",
        "student.safetensors",
    ]
    assert f"{FILL_IN}test metrics" in (out / "MODEL_CARD.md").read_text()
    source = {"face": np.ones(4), "speech": np.ones((3, 3))}
    expected = load_student(checkpoint).predict(source).probabilities
    assert torch.equal(load_student(out).predict(source).probabilities, expected)


def test_a_checkpoint_of_an_earlier_version_is_exported_where_its_data_is(clips, tmp_path):
    _, folder = clips
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    del content["UCF101"]
    torch.save(content, checkpoints / "last.ckpt")
    with pytest.raises(ValueError, match="cmkd export asks the datamodule"):
        load_student(checkpoints / "last.ckpt")
    (tmp_path / "run" / "config.yaml").write_text((folder / "config.yaml").read_text())
    main([str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--no_metrics"])
    path = next((folder.parent / "clips").rglob("*.mp4"))
    expected = load_student(folder / "checkpoints" / "last.ckpt").predict(path)
    assert torch.equal(load_student(tmp_path / "out").predict(path).embedding, expected.embedding)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no checkpoint nowhere"),
        (["."], "no checkpoints/best.ckpt"),
    ],
)
def test_what_is_no_run_is_an_error_that_says_what_to_give(
    arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path(tmp_path / "out").exists()
