"""The evidence's table of all methods, and the command that makes everything."""

import csv
import re
import shlex
import sys
from pathlib import Path

import pytest

from cmkd.compare.choice import Choice, Choices
from cmkd.compare.command import main as compare
from cmkd.compare.plan import Place
from cmkd.compare.statistics import t_interval

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
sys.path.insert(0, str(EXPERIMENTS / "evidence"))

import comparison  # noqa: E402
import run as evidence  # noqa: E402

ACCURACY = {
    ("none", "0", "0"): 0.50,
    ("none", "0", "1"): 0.54,
    ("none", "1", "0"): 0.52,
    ("kd", "0", "0"): 0.53,
    ("kd", "0", "1"): 0.58,
    ("kd", "1", "0"): 0.54,
    ("amid", "0", "0"): 0.51,
    ("amid", "0", "1"): 0.60,
    ("amid", "1", "0"): 0.50,
}


@pytest.fixture
def runs(tmp_path):
    """A comparison's results, as it writes them."""
    folder = tmp_path / "compare"
    (folder / "ravdess-compare").mkdir(parents=True)
    with (folder / "ravdess-compare" / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "method", "fold", "seed", "val", "accuracy", "teacher_accuracy"])
        for (method, fold, seed), accuracy in ACCURACY.items():
            teacher = "" if method == "none" else 0.7
            writer.writerow(["one way", method, fold, seed, 0.5, accuracy, teacher])
    return folder


def rows_of(runs):
    return {row.method: row for row in comparison.read(runs / "ravdess-compare", "data")}


def test_gains_are_paired_by_fold_and_seed(runs):
    rows = rows_of(runs)
    assert {row.setting for row in rows.values()} == {"data, one way"}
    assert rows["none"].gain is None
    assert rows["none"].mean == pytest.approx(52.0)
    expected = t_interval([3.0, 4.0, 2.0])
    assert rows["kd"].gain == pytest.approx(expected.mean)
    assert rows["kd"].gain_half == pytest.approx(expected.half_width)
    assert rows["kd"].teacher == pytest.approx(70.0)
    assert rows["kd"].clear
    assert not rows["amid"].clear


def test_the_distance_to_the_best_method_is_paired_too(runs):
    rows = rows_of(runs)
    expected = t_interval([2.0, -2.0, 4.0])
    assert rows["kd"].behind == 0
    assert rows["amid"].behind == pytest.approx(expected.mean)
    assert rows["amid"].behind_half == pytest.approx(expected.half_width)


def test_what_was_chosen_is_counted_over_the_folds(runs):
    rate, weight = "model.optimizer.init_args.lr", "model.student_terms.kd.weight"
    places = [("0", 0.3), ("1", 1.0), ("2", 0.3)]
    choices = {
        Place("one way", "kd", fold): Choice({rate: 0.001, weight: value}, 0.5, 3)
        for fold, value in places
    }
    Choices(choices).write(runs / "ravdess-compare" / "tuned.yaml", "a command")
    rows = rows_of(runs)
    assert rows["kd"].chosen == "0.3: 2, 1.0: 1"
    assert rows["none"].chosen == ""


def test_table_csv_and_figure_are_written(runs, tmp_path, capsys):
    comparison.main(["--runs", str(runs), "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert re.search(r"kd +\| +\+3\.0 ± 2\.5 \* \|", out)
    assert re.search(r"data|RAVDESS, one way \| +52\.0 \| +53\.7 \| +2 of 3 \| kd", out)
    with (tmp_path / "comparison.csv").open(newline="") as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["none", "kd", "amid"]
    assert "RAVDESS, one way" in (tmp_path / "comparison.svg").read_text()


def test_without_any_comparison_the_command_that_makes_one_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"make one by: cmkd compare --config"):
        comparison.main(["--runs", str(tmp_path), "--out", str(tmp_path)])


def test_without_the_baseline_it_is_named(runs):
    path = runs / "ravdess-compare" / "results.csv"
    path.write_text(
        "\n".join(line for line in path.read_text().splitlines() if ",none," not in line)
    )
    with pytest.raises(ValueError, match="no runs of none in data, one way"):
        comparison.read(path.parent, "data")


@pytest.mark.parametrize("quick", [False, True])
def test_every_comparison_of_the_evidence_has_runs(quick, capsys, tmp_path):
    for step in evidence.steps():
        words = step.command(quick)
        if words[0] == "cmkd":
            # Elsewhere than in runs/, where they may be finished.
            compare([*words[2:], "--list", "--out", str(tmp_path)])
            assert capsys.readouterr().out.count("--only") > 0


def test_the_evidence_lists_commands_that_work_by_themselves(capsys):
    evidence.main(["--list"])
    listed = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert len(listed) == len(evidence.steps())
    for words in listed:
        assert words[0] in ("cmkd", "python")
        assert any((EXPERIMENTS.parent / word).is_file() for word in words)


def test_a_finished_step_is_not_done_again_and_a_failed_one_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    done, codes = [], {"one": [0], "two": [1, 0]}
    steps = [evidence.Step(name, ("python", name)) for name in codes]
    monkeypatch.setattr(evidence, "steps", lambda: steps)

    def call(words, cwd):
        done.append(words[-1])
        return codes[words[-1]].pop(0)

    monkeypatch.setattr(evidence.subprocess, "call", call)
    with pytest.raises(SystemExit):
        evidence.main([])
    assert "failed" in capsys.readouterr().out
    evidence.main([])
    assert done == ["one", "two", "two"]
