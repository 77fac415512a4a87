"""``cmkd compare`` as a user meets it."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from cmkd.compare.command import main
from cmkd.main import main as cmkd
from tests.cmkd.compare.setting import SEARCH, compare, records, rows, write

REPOSITORY = Path(__file__).parents[3]


def refused(*args):
    with pytest.raises(SystemExit) as stopped:
        main(args)
    return stopped.value.code


def test_a_table_comes_out_and_nothing_is_run_twice(tmp_path, capsys):
    out = compare(tmp_path, "--seeds", "0..1")
    printed = capsys.readouterr().out
    assert "test accuracy in %" in printed
    assert "95 % interval" in printed
    assert [(row["method"], row["fold"], row["seed"]) for row in rows(out)] == [
        (method, fold, seed) for method in ("none", "kd") for fold in ("24", "40") for seed in "01"
    ]
    assert all(row["teacher_accuracy"] for row in rows(out) if row["method"] == "kd")
    assert "| kd |" in (out / "table.md").read_text()
    before = records(out)
    assert len(before) == 8
    compare(tmp_path, "--seeds", "0..1")
    assert records(out) == before
    assert "done (" not in capsys.readouterr().out
    compare(tmp_path, "--seeds", "0..2")
    assert before.items() <= records(out).items()
    assert len(records(out)) == 12


def test_a_changed_config_makes_new_runs_and_the_table_holds_those_alone(tmp_path):
    out = compare(tmp_path)
    first = {row["key"] for row in rows(out)}
    compare(tmp_path, "--model.dropout", "0.2")
    assert not first & {row["key"] for row in rows(out)}
    assert first <= records(out).keys()


def test_again_runs_again_with_the_same_outcome(tmp_path):
    out = compare(tmp_path, "--methods", "kd", "--folds", "24")
    (before,) = rows(out)
    times = records(out)
    compare(tmp_path, "--methods", "kd", "--folds", "24", "--again")
    (after,) = rows(out)
    assert records(out) != times
    assert {**after, "seconds": ""} == {**before, "seconds": ""}


def test_a_failed_run_is_reported_at_the_end_and_stops_no_other(tmp_path, capsys):
    # Three classes: the data refuses a fold without samples, whatever the method.
    folds = {"values": [0, 24], "overrides": {"data.init_args.samples": "{fold}"}}
    path = write(tmp_path, folds=folds)
    assert refused("--config", str(path), "--out", str(tmp_path / "out")) == 1
    printed = capsys.readouterr().out
    assert "2 failed runs" in printed
    assert "split is empty" in " ".join(printed.replace("│", " ").split())
    assert "none: 1 of 2 runs are missing: fold 0 seed 0" in printed
    assert {row["fold"] for row in rows(tmp_path / "out")} == {"24"}
    logs = list((tmp_path / "out" / "logs").iterdir())
    assert len(logs) == 2
    assert all("Traceback" in log.read_text() for log in logs)
    assert printed.rindex("2 failed runs") > printed.rindex("done (")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "dk"], "no method 'dk'; did you mean 'kd'"),
        (["--seeds", "a"], "--seeds: 'a' is no number"),
        (["--model.teacher_epoch", "3"], "unrecognized arguments: --model.teacher_epoch=3"),
        (["--model.student_terms.kd.weigth", "3"], "model.student_terms: Option 'weigth' is not"),
        (["--model.encoders.face.class_path=MPL"], "model.encoders: "),
        (["--tune"], "has no `tune`"),
        (["--tuned", "nowhere.yaml"], "nowhere.yaml"),
        (["--only", "abc"], "no run has the key abc"),
        (["--jobs", "0"], "1 or more"),
        (["--list", "--only", "abc"], "give one of them"),
        (["nonsense"], "unrecognized argument: nonsense"),
        (["--model.dropout"], "give a value"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_run(tmp_path, capsys, arguments, message):
    path = write(tmp_path, "kd")
    assert refused("--config", str(path), "--out", str(tmp_path / "out"), *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_config_that_is_not_there_is_named(capsys):
    assert refused("--config", "nowhere.yaml") == 2
    assert "there is no file nowhere.yaml" in capsys.readouterr().err


def test_a_metric_that_the_test_does_not_give_is_named_and_the_runs_are_kept(tmp_path, capsys):
    path = write(tmp_path, "none", metrics=["f1"], folds=None)
    assert refused("--config", str(path), "--out", str(tmp_path / "out")) == 2
    assert "no test metric 'f1'" in capsys.readouterr().err
    assert len(records(tmp_path / "out")) == 1


def test_listed_commands_do_one_run_each_and_the_table_picks_them_up(tmp_path, capsys):
    out = compare(tmp_path, "--list", "--seeds", "0", "--model.dropout", "0.1")
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert len(commands) == 4
    assert not out.exists()
    for command in commands:
        assert command[:2] == ["cmkd", "compare"]
        main(command[2:])
        printed = capsys.readouterr().out
        assert "val 0." in printed or "val 1." in printed
    assert records(out).keys() == {command[-1] for command in commands}
    before = records(out)
    compare(tmp_path, "--seeds", "0", "--model.dropout", "0.1")
    assert records(out) == before
    assert len(rows(out)) == 4
    capsys.readouterr()
    compare(tmp_path, "--list", "--seeds", "0", "--model.dropout", "0.1")
    assert capsys.readouterr().out == ""


def test_tuning_chooses_by_validation_and_the_runs_use_what_was_chosen(tmp_path):
    shared = {"method": "none", "grid": {"model.optimizer.init_args.lr": [0.001, 0.05]}}
    optimizer = {"model.optimizer": "AdamW"}
    path = write(tmp_path, overrides=optimizer, tune=SEARCH | {"shared": shared, "seeds": "0..1"})
    out = compare(tmp_path, "--tune", path=path)
    trials = rows(out, "trials.csv")
    # Two folds and two seeds: two shared settings, then two of each of two methods.
    assert len(trials) == 2 * 2 * (2 + 2 * 2)
    chosen = yaml.safe_load((out / "tuned.yaml").read_text())
    assert [(entry["method"], entry["fold"]) for entry in chosen] == [
        ("none", "24"), ("none", "40"), ("kd", "24"), ("kd", "40"),
    ]  # fmt: skip
    for entry in chosen:
        own = [r for r in trials if r["phase"] == "own"]
        own = [r for r in own if (r["method"], r["fold"]) == (entry["method"], entry["fold"])]
        means = {}
        for row in own:
            means.setdefault(row["setting"], []).append(float(row["val"]) / 2)
        best = max(means, key=lambda setting: sum(means[setting]))
        assert json.loads(best) == entry["setting"]
        assert entry["setting"]["model.optimizer.init_args.lr"] in (0.001, 0.05)
        assert entry["trials"] == 2
    for row in rows(out):
        record = json.loads((out / "runs" / f"{row['key']}.json").read_text())
        place = next(e for e in chosen if (e["method"], e["fold"]) == (row["method"], row["fold"]))
        for key, value in place["setting"].items():
            assert f"--{key}={value}" in record["command"]
    keys = {row["key"] for row in rows(out)}
    compare(tmp_path, "--tuned", str(out / "tuned.yaml"), path=path)
    assert {row["key"] for row in rows(out)} == keys


def test_tuning_can_be_listed_phase_by_phase(tmp_path, capsys):
    shared = {"method": "none", "grid": {"model.dropout": [0.0, 0.1]}}
    path = write(tmp_path, tune=SEARCH | {"shared": shared}, folds=None)
    phases = []
    while True:
        compare(tmp_path, "--tune", "--list", path=path)
        commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
        if not commands:
            break
        phases.append(len(commands))
        for command in commands:
            main(command[2:])
        capsys.readouterr()
    # A trial that equals an earlier one is not made again: none without smoothing is the shared.
    assert phases == [2, 4, 2]


def test_nothing_is_chosen_where_a_trial_fails(tmp_path, capsys):
    grids = SEARCH["grids"] | {"kd": {"model.student_terms.kd.weight": [1.0, -1.0]}}
    path = write(tmp_path, tune=SEARCH | {"grids": grids}, folds=None)
    out = tmp_path / "out"
    assert refused("--config", str(path), "--out", str(out), "--tune") == 1
    printed = capsys.readouterr().out
    assert "kd: not run, because a trial of it failed" in printed
    assert "must not be negative" in " ".join(printed.replace("│", " ").split())
    assert [row["method"] for row in rows(out)] == ["none"]


def test_a_file_of_other_settings_is_refused(tmp_path, capsys):
    (tmp_path / "tuned.yaml").write_text("- {group: '', method: none, fold: '24'}")
    path = write(tmp_path)
    assert refused("--config", str(path), "--tuned", str(tmp_path / "tuned.yaml")) == 2
    assert "no file that --tune wrote" in capsys.readouterr().err
    entry = "{group: '', method: none, fold: '24', val: 0.5, trials: 2, setting: {}}"
    (tmp_path / "tuned.yaml").write_text(f"- {entry}")
    assert refused("--config", str(path), "--tuned", str(tmp_path / "tuned.yaml")) == 2
    assert "holds no choice for none, fold 40" in capsys.readouterr().err


def test_brackets_in_a_name_are_printed(tmp_path, capsys):
    methods = {"none": None, "a [b]|c": {"model.dropout": 2}}
    path = write(tmp_path, methods=methods, folds=None)
    assert refused("--config", str(path), "--out", str(tmp_path / "out")) == 1
    printed = capsys.readouterr().out
    assert "│ a [b]|c" in printed
    assert "a [b]|c, seed 0: FAILED" in printed
    assert "| a [b]\\|c |" in (tmp_path / "out" / "table.md").read_text()


def test_help_describes_the_yaml(capsys):
    assert refused("--help") == 0
    printed = capsys.readouterr().out
    assert "--only KEY" in printed
    assert "methods:" in printed
    assert "share_teacher" in printed


def test_it_is_a_command_of_cmkd(tmp_path, monkeypatch):
    arguments = ["--config", str(write(tmp_path, "none", folds=None)), "--out", str(tmp_path / "o")]
    monkeypatch.setattr(sys, "argv", ["cmkd", "compare", *arguments])
    cmkd()
    assert (tmp_path / "o" / "results.csv").is_file()
