"""What the pages show is run as it stands there."""

import re
import shlex
import sys

import numpy as np
import pytest
import torch

from cmkd.cli import run
from tests.test_experiments import EXPERIMENTS, LIGHT, METHODS, fit_one_batch

PAGE = (EXPERIMENTS / "README.md").read_text()
README = (EXPERIMENTS.parent / "README.md").read_text()


def block(language, after, page=PAGE):
    """Return the first fenced block of a language behind a heading."""
    rest = page[page.index(after) :]
    return re.search(rf"```{language}\n(.*?)```", rest, re.DOTALL)[1]


def test_the_page_shows_how_to_add_a_method(tmp_path, monkeypatch):
    (tmp_path / "my_objectives.py").write_text(block("python", "## Add a method"))
    (tmp_path / "my_method.yaml").write_text(block("yaml", "## Add a method"))
    monkeypatch.syspath_prepend(str(tmp_path))
    cli = fit_one_batch(LIGHT, tmp_path / "run", tmp_path / "my_method.yaml")
    value = cli.trainer.callback_metrics["train/cosine"]
    assert 0 <= value <= 2
    assert torch.isfinite(value)
    monkeypatch.delitem(sys.modules, "my_objectives")


def write_recordings(folder, parts, **shapes):
    """Write random recordings of two classes, an ``.npz`` a part."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part in parts:
        values = {
            name: rng.normal(size=(32, size)).astype(np.float32) for name, size in shapes.items()
        }
        np.savez(folder / f"{part}.npz", label=np.arange(32) % 2, **values)


def test_the_readme_shows_how_to_use_a_modality_network_and_dataset_of_ones_own(
    tmp_path, monkeypatch
):
    heading = "## Your own modality, network, dataset, objective"
    for language, name in (("python", "my_pulse.py"), ("yaml", "my_pulse.yaml")):
        text = block(language, heading, README)
        assert text.startswith(f"# {name}\n")
        (tmp_path / name).write_text(text)
    write_recordings(tmp_path / "recordings", ("train", "val"), face=35, pulse=100)
    write_recordings(tmp_path / "students", ("test",), face=35)
    (tmp_path / "students" / "test.npz").rename(tmp_path / "recordings" / "test.npz")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^    python -m cmkd (fit .*my_pulse.yaml.*)$", README, re.MULTILINE)
    (tmp_path / "experiments").symlink_to(EXPERIMENTS)
    cli = run([
        *shlex.split(command),
        *("--model.teacher_epochs", "1", "--trainer.max_epochs", "2", "--run.dir", "runs"),
        *("--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"),
    ])  # fmt: skip
    assert "train/kd" in cli.trainer.callback_metrics
    assert set(cli.model.roles.modalities["teacher"]) == {"face", "pulse"}
    (values,) = cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    assert 0 <= values["test/student_accuracy"] <= 1
    monkeypatch.delitem(sys.modules, "my_pulse")


def test_the_readme_shows_how_to_build_the_model_in_python():
    lines = block("python", "In Python:", README).splitlines()
    assert lines[-1].startswith("Trainer(")
    made = {}
    exec("\n".join(lines[:-1]), made)
    assert set(made["model"].roles.modalities) == {"student", "auxiliary", "teacher"}


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_the_page_has_a_row_for_every_method(method):
    assert re.search(rf"^\|.*`{method.stem}`.*\|$", PAGE, re.MULTILINE)


def test_the_page_names_no_method_that_is_not_there():
    rows = re.findall(r"^\| (`.*?`) \|", PAGE[PAGE.index("## Methods") :], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {path.stem for path in METHODS}


def test_the_page_has_a_row_for_every_dataset():
    table = PAGE[PAGE.index("## Datasets") : PAGE.index("## Methods")]
    for path in EXPERIMENTS.rglob("*.yaml"):
        place = path.relative_to(EXPERIMENTS)
        if place.parts[0] in ("methods", "evidence", "retrieval.yaml"):
            continue
        assert f"`{place.parts[0]}" in table, place
