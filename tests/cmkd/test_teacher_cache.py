"""Frozen networks that are run once on a sample, against those that are run in every step."""

import pytest
import torch

from cmkd import Term
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.objectives import KnowledgeDistillation
from cmkd.teacher_cache import FOLDER, rows_of
from tests.cmkd.setting import assert_same, weights
from tests.cmkd.teacher_cache_runs import (
    CASES,
    Forwards,
    SubsetKD,
    assert_close,
    fit,
    folders,
    row_by_row,
)
from tests.fake_data import FakeData


@pytest.mark.parametrize("case", CASES)
def test_the_student_is_bit_for_bit_that_of_the_run_without_cache(tmp_path, case, monkeypatch):
    monkeypatch.setattr(ModalityNetwork, "forward", row_by_row)
    terms, encoders = CASES[case]
    given = {"terms": terms, "encoders": encoders, "dropout": 0.2}
    plain, _ = fit(tmp_path / "plain", **given)
    cached, trainer = fit(tmp_path / "cached", cache_teacher=True, **given)
    assert_same(weights(plain), weights(cached))
    assert trainer.callback_metrics.keys() >= {"train/kd", "train/subset"}
    assert (tmp_path / "cached" / FOLDER / "node-0").is_dir()
    assert not (tmp_path / "plain" / FOLDER).exists()


@pytest.mark.parametrize("case", CASES)
def test_the_teacher_is_run_once_on_each_sample_and_the_student_as_good_as_the_same(tmp_path, case):
    terms, encoders = CASES[case]
    counted = Forwards()
    given = {"terms": terms, "encoders": encoders}
    plain, _ = fit(tmp_path / "plain", **given)
    cached, _ = fit(tmp_path / "cached", callbacks=[counted], cache_teacher=True, **given)
    # The whole teacher and its subset, in the student stage's first epoch and never again.
    assert counted.rows == {2: 2 * 21}
    assert_close(plain, cached)


def test_data_that_augments_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"FakeData are augmented.*data\.init_args\.augment"):
        fit(tmp_path, cache_teacher=True, data={"augment": True})


def test_a_number_of_samples_that_is_too_small_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeData, "train_samples", 20)
    with pytest.raises(ValueError, match=r"goes from \d+ to 20, but there are 20 training"):
        fit(tmp_path, cache_teacher=True)


class Windows(FakeData):
    """Training samples are windows of seven clips, three of each."""

    train_samples = 7

    def build_dataset(self, split, modalities):
        dataset = super().build_dataset(split, modalities)
        if split == "train":
            dataset.windows = 3
            dataset.clip = dataset.clip // 3
        return dataset


def test_windows_of_a_sample_are_kept_apart(tmp_path):
    terms, counted = {"kd": Term(KnowledgeDistillation)}, Forwards()
    plain, _ = fit(tmp_path / "plain", terms, kind=Windows)
    cached, _ = fit(
        tmp_path / "cached", terms, kind=Windows, callbacks=[counted], cache_teacher=True
    )
    assert counted.rows == {2: 21}
    assert_close(plain, cached)


def test_rows_of_a_batch_are_taken_from_all_that_it_holds():
    batch = {
        "index": torch.arange(4),
        "face": torch.randn(4, 2),
        "present": {"face": torch.tensor([True, False, True, False])},
    }
    part = rows_of(batch, torch.tensor([False, True, True, False]))
    assert part["index"].tolist() == [1, 2]
    assert torch.equal(part["face"], batch["face"][1:3])
    assert part["present"]["face"].tolist() == [False, True]


@pytest.mark.slow
def test_two_ranks_share_the_cache_and_train_as_without_it(tmp_path):
    # Without a queue and noise, which each rank has its own of.
    terms = {"kd": Term(KnowledgeDistillation), "subset": Term(SubsetKD, 0.1)}
    plain, _ = fit(tmp_path / "plain", terms, ranks=2)
    cached, _ = fit(tmp_path / "cached", terms, ranks=2, cache_teacher=True)
    assert_close(plain, cached)
    assert len(folders(tmp_path / "cached")) == 2
