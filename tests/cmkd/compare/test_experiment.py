"""One run: the same as `cmkd fit` and `cmkd test`, with a shared teacher and without."""

import pytest
import torch
import yaml
from torch import nn

from cmkd.cli import run as cmkd
from cmkd.compare.best_student import BestStudent
from cmkd.compare.experiment import execute, train
from cmkd.compare.parser import build, parse_run
from cmkd.compare.shared_data import SharedData
from cmkd.compare.store import Store
from cmkd.compare.teacher import shared_teacher
from tests.cmkd.compare.setting import make_run
from tests.cmkd.setting import assert_same, weights
from tests.fake_data import FakeData


class TestIsForbidden(FakeData):
    """Data whose test part must not be built."""

    __test__ = False

    def build_dataset(self, split, modalities):
        if split not in ("train", "val"):
            raise AssertionError("the test data was built")
        return super().build_dataset(split, modalities)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out")


@pytest.mark.parametrize("method", ["none", "kd", "amid"])
def test_the_outcome_is_that_of_fit_and_test(tmp_path, store, method):
    rate = {"model__optimizer": "AdamW", "model__optimizer__init_args__lr": 0.1}
    run = make_run(tmp_path, method, seed=3, trainer__max_epochs=8, **rate)
    record = execute(run, store)
    # Otherwise the last student would do for the best one.
    assert 2 <= record.epoch < 7
    cli = cmkd(["fit", *run.arguments(), "--run.dir", str(tmp_path / "fit")])
    (scores,) = cli.trainer.test(cli.model, cli.datamodule, "best", verbose=False)
    assert record.val == float(cli.trainer.checkpoint_callback.best_model_score)
    assert {f"test/{name}": value for name, value in record.test.items()} == scores
    assert store.record(run.key) == record


def test_the_data_of_the_run_before_gives_the_same_outcome(tmp_path, store):
    def runs():
        return [make_run(tmp_path, method, trainer__max_epochs=4) for method in ("none", "kd")]

    shared = SharedData()
    alone = [train(run, store) for run in runs()]
    after = [train(run, store, shared=shared) for run in runs()]
    assert after[0].built.data is after[1].built.data
    for one, other in zip(alone, after, strict=True):
        assert_same(weights(one.built.model.networks), weights(other.built.model.networks))


def test_data_is_not_shared_with_another_seed_or_config(tmp_path, store):
    shared = SharedData()
    runs = [
        make_run(tmp_path),
        make_run(tmp_path, seed=1),
        make_run(tmp_path, data__init_args__batch_size=4),
    ]
    used = [train(run, store, shared=shared).built.data for run in runs]
    assert len({id(data) for data in used}) == 3
    assert [data.batch_size for data in used] == [8, 8, 4]


@pytest.mark.parametrize(
    "method", ["kd", "amid", "c2kd", "hkd", "lfme", "msd", "samm", "simkd", "ccl", "dpd"]
)
def test_a_shared_teacher_gives_the_same_networks_bit_for_bit(tmp_path, store, method):
    run = make_run(tmp_path, method, model__teacher_epochs=3, trainer__max_epochs=6)
    alone = train(run, store, share_teacher=False)
    assert alone.teacher is None
    for _ in ("the one that trains the teacher", "one that finds it"):
        shared = train(run, store)
        assert shared.teacher is not None
        roles = alone.built.model.networks
        assert_same(weights(roles), weights(shared.built.model.networks))
        assert shared.best.snapshot.score == alone.best.snapshot.score
        assert shared.best.snapshot.epoch == alone.best.snapshot.epoch
    assert len(list((store.folder / "teachers").glob("*.ckpt"))) == 1


def teacher_key(tmp_path, method, **overrides):
    shared = shared_teacher(build(parse_run(make_run(tmp_path, method, **overrides))))
    return None if shared is None else shared.key


def test_methods_with_the_same_teacher_stage_share_it(tmp_path):
    key = teacher_key(tmp_path, "kd")
    assert key is not None
    for method in ("fitnets", "gaussian", "c2kd", "dpd", "simkd"):
        assert teacher_key(tmp_path, method) == key, method
    assert teacher_key(tmp_path, "kd", model__student_terms__kd__weight=3.0) == key
    assert teacher_key(tmp_path, "kd", model__entropy_probe=False) == key


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        ("amid", {}),
        ("ccl", {}),
        ("hkd", {}),
        ("msd", {}),
        ("kd", {"seed": 1}),
        ("kd", {"model__teacher_epochs": 3}),
        ("kd", {"model__optimizer": "SGD", "model__optimizer__init_args__lr": 0.1}),
        ("kd", {"data__init_args__samples": 40}),
        ("kd", {"model__student_modalities": ["audio"], "model__auxiliary_modalities": ["face"]}),
        ("kd", {"model__task": "Classification", "model__task__init_args__label_smoothing": 0.1}),
    ],
)
def test_another_teacher_stage_is_another_teacher(tmp_path, method, overrides):
    assert teacher_key(tmp_path, method, **overrides) not in {None, teacher_key(tmp_path, "kd")}


def test_ablations_of_student_terms_share_the_teacher_of_amid(tmp_path):
    key = teacher_key(tmp_path, "amid")
    assert teacher_key(tmp_path, "amid_mi_ts_mi_ta") == key
    assert teacher_key(tmp_path, "amid_mi_ts") != key
    # A term of weight 0 is none.
    without = {"model__teacher_terms__mi_ta__weight": 0}
    assert teacher_key(tmp_path, "amid", **without) == teacher_key(tmp_path, "amid_mi_ts")


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        ("none", {}),
        ("kd", {"model__keep_cotrained_student": True}),
        ("kd", {"model__teacher_checkpoint": "earlier.ckpt"}),
    ],
)
def test_a_run_without_a_teacher_stage_of_its_own_shares_none(tmp_path, method, overrides):
    assert teacher_key(tmp_path, method, **overrides) is None


def test_a_trial_builds_no_test_data(tmp_path, store):
    forbidden = {"data": "tests.cmkd.compare.test_experiment.TestIsForbidden"}
    trial = make_run(tmp_path, tested=False, **forbidden)
    record = execute(trial, store)
    assert record.test == {}
    assert 0 <= record.val <= 1
    with pytest.raises(AssertionError, match="the test data was built"):
        execute(make_run(tmp_path, **forbidden), store)


def test_the_probe_that_logs_changes_no_network(tmp_path, store):
    # What experiments switch off because nothing is logged.
    with_probe = train(make_run(tmp_path, "amid"), store, share_teacher=False)
    without = train(make_run(tmp_path, "amid", model__entropy_probe=False), store, False)
    assert_same(weights(with_probe.built.model.networks), weights(without.built.model.networks))


def test_a_run_leaves_nothing_behind_but_record_and_teacher(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    execute(run, store)
    assert {path.name for path in tmp_path.iterdir()} == {*before, "out"}
    files = {p.relative_to(store.folder).parts[0] for p in store.folder.rglob("*") if p.is_file()}
    assert files == {"runs", "teachers"}


def test_a_monitor_of_the_config_chooses_the_student(tmp_path, store):
    trained = train(make_run(tmp_path, checkpoint__monitor="val/student_macro_f1"), store)
    assert trained.best.monitor == "val/student_macro_f1"
    with pytest.raises(ValueError, match=r"logs no 'val/student_f1'; it logs .*student_accuracy"):
        train(make_run(tmp_path, checkpoint__monitor="val/student_f1"), store)


def test_a_run_that_ends_before_the_student_stage_says_so(tmp_path, store):
    with pytest.raises(ValueError, match="ended before the student stage"):
        execute(make_run(tmp_path, trainer__max_epochs=2), store)


def test_a_run_on_several_devices_is_refused(tmp_path, store):
    with pytest.raises(ValueError, match=r"trainer\.devices: .*one device, not 2"):
        execute(make_run(tmp_path, trainer__devices=2), store)


def test_the_best_student_is_the_one_of_its_epoch():
    best = BestStudent()
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    best.snapshot.offer(0.5, 3, {"layer": layer})
    with torch.no_grad():
        layer.weight.fill_(2.0)
    best.snapshot.offer(float("nan"), 4, {"layer": layer})
    best.snapshot.restore({"layer": layer})
    assert layer.weight.item() == 1.0


def test_a_record_repeats_its_run(tmp_path, store):
    record = execute(make_run(tmp_path, "kd", seed=1), store)
    words = record.command.split()
    assert words[:2] == ["cmkd", "fit"]
    cli = cmkd([*words[1:], "--run.dir", str(tmp_path / "again")])
    assert float(cli.trainer.checkpoint_callback.best_model_score) == record.val
    config = yaml.safe_load((tmp_path / "again" / "config.yaml").read_text())
    assert config["seed_everything"] == 1
