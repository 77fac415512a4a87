"""What the pages show is run as it stands there."""

import re
import sys

import pytest
import torch

from tests.test_experiments import EXPERIMENTS, LIGHT, METHODS, fit_one_batch

PAGE = (EXPERIMENTS / "README.md").read_text()


def block(language, after):
    """Return the first fenced block of a language behind a heading."""
    rest = PAGE[PAGE.index(after) :]
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
