"""Which runs there are, and when two of them are the same."""

from pathlib import Path

import pytest

import cmkd.compare.plan as plan_module
from cmkd.compare.plan import Selection
from tests.cmkd.compare.setting import METHODS, TINY, make_plan, make_run


def keys(folder, **changes):
    return [run.key for run in make_plan(folder, **changes).runs()]


def test_there_is_a_run_for_each_group_method_fold_and_seed(tmp_path):
    groups = {"a": None, "b": {"model.dropout": 0.1}}
    runs = make_plan(tmp_path, groups=groups, seeds="0..2").runs()
    assert len(runs) == len({run.key for run in runs}) == 2 * 2 * 2 * 3
    assert [run.name for run in runs][:2] == [
        "a, none, fold 24, seed 0",
        "a, none, fold 24, seed 1",
    ]


def test_a_selection_leaves_out_what_it_does_not_name(tmp_path):
    selection = Selection(methods=["kd"], folds=["40"], seeds=[3, 5])
    runs = make_plan(tmp_path, selection=selection).runs()
    assert [(run.method, run.fold, run.seed) for run in runs] == [("kd", "40", 3), ("kd", "40", 5)]


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match=r"--methods: there is no method 'dk'; did you mean 'kd'"):
        make_plan(tmp_path, selection=Selection(methods=["dk"]))


def test_later_overrides_win_and_seed_and_fold_are_arguments(tmp_path):
    selection = Selection(overrides={"model.dropout": 0.4, "data.init_args.classes": [1, 2]})
    plan = make_plan(tmp_path, selection=selection, groups={"g": {"model.dropout": 0.1}})
    run = plan.runs()[0]
    assert run.arguments() == [
        "--config",
        str(TINY.relative_to(Path.cwd())),
        "--config",
        str((METHODS / "none.yaml").relative_to(Path.cwd())),
        "--data.init_args.auxiliary_at_test=true",
        "--model.teacher_epochs=2",
        "--data.init_args.samples=24",
        "--model.dropout=0.4",
        "--data.init_args.classes=[1, 2]",
        "--seed_everything=0",
    ]
    assert run.command().startswith("cmkd fit --config tests/cmkd/tiny.yaml --config experiments")


def test_a_trial_is_named_with_what_it_tries(tmp_path):
    trial = make_run(tmp_path, tested=False, model__dropout=0.1)
    assert trial.name == "kd, fold 24, seed 0, dropout=0.1"


def test_the_key_depends_on_content_and_neither_on_names_nor_on_comments(tmp_path):
    config = tmp_path / "method.yaml"
    config.write_text("model: {student_alone: true}")
    before = keys(tmp_path, methods={"one": str(config)})
    config.write_text("# A comment.\nmodel:\n  student_alone: true\n")
    assert keys(tmp_path, methods={"another": str(config)}) == before
    config.write_text("model: {student_alone: false}")
    assert not set(keys(tmp_path, methods={"one": str(config)})) & set(before)


def test_an_override_a_seed_and_another_version_make_another_run(tmp_path, monkeypatch):
    first = make_run(tmp_path).key
    assert make_run(tmp_path).key == first
    assert make_run(tmp_path, seed=1).key != first
    assert make_run(tmp_path, tested=False).key != first
    assert make_run(tmp_path, model__dropout=0.1).key != first
    monkeypatch.setattr(plan_module, "__version__", "9")
    assert make_run(tmp_path).key != first
