"""What the cache of frozen networks keeps, and which later run reads it."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback

from cmkd.callbacks import StageCheckpoint
from cmkd.networks import MLP
from cmkd.networks.modality_network import ModalityNetwork
from tests.cmkd.setting import SHAPES, assert_same, weights
from tests.cmkd.teacher_cache_runs import (
    CASES,
    HIDDEN,
    TERMS,
    Forwards,
    assert_close,
    deep_encoders,
    files,
    fit,
    folders,
    row_by_row,
)


def test_hidden_layers_are_kept_only_where_an_objective_reads_them(tmp_path):
    fit(tmp_path / "without", cache_teacher=True, encoders=deep_encoders())
    assert "hidden" not in files(tmp_path / "without")
    fit(tmp_path / "with", TERMS | HIDDEN, cache_teacher=True, encoders=deep_encoders())
    names = [f.name for f in (tmp_path / "with").rglob("hidden-*")]
    assert names
    assert all(name.startswith("hidden-face") for name in names)


@pytest.mark.parametrize("case", CASES)
def test_another_run_of_the_same_teacher_reads_what_the_first_one_kept(tmp_path, case, monkeypatch):
    monkeypatch.setattr(ModalityNetwork, "forward", row_by_row)
    terms, encoders = CASES[case]
    given = {"terms": terms, "encoders": encoders, "cache_teacher": True}
    first, _ = fit(tmp_path, **given)
    before, counted = folders(tmp_path), Forwards()
    second, _ = fit(tmp_path, callbacks=[counted], **given)
    assert_same(weights(first), weights(second))
    # One batch a network tells the shapes.
    assert sum(counted.rows.values()) == 2 * 8
    assert folders(tmp_path) == before


class Stop(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (3, 1):
            raise RuntimeError("pulled the plug")


def test_a_resumed_run_goes_on_with_its_cache_and_ends_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(ModalityNetwork, "forward", row_by_row)
    whole, _ = fit(tmp_path / "whole", cache_teacher=True)
    checkpoint = StageCheckpoint(dirpath=str(tmp_path))
    with pytest.raises(RuntimeError, match="plug"):
        fit(tmp_path, callbacks=[Stop(), checkpoint], cache_teacher=True)
    before, counted = folders(tmp_path), Forwards()
    resumed, _ = fit(
        tmp_path,
        callbacks=[counted, StageCheckpoint(dirpath=str(tmp_path))],
        cache_teacher=True,
        ckpt_path=tmp_path / "last.ckpt",
    )
    assert_same(weights(whole), weights(resumed))
    # One batch a network tells the shapes.
    assert sum(counted.rows.values()) == 2 * 8
    assert folders(tmp_path) == before


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"data": {"classes": 2}},
        {"data": {"absent_every": 4}},
        {"encoders": {name: partial(MLP, s[0], width=16, depth=1) for name, s in SHAPES.items()}},
    ],
    ids=["weights", "labels", "data's arguments", "architecture"],
)
def test_what_another_teacher_or_other_data_gave_is_never_read(tmp_path, other):
    fit(tmp_path, cache_teacher=True)
    before = folders(tmp_path)
    counted = Forwards()
    fit(tmp_path, cache_teacher=True, callbacks=[counted], **other)
    assert counted.rows == {2: 2 * 21}
    assert not before & (folders(tmp_path) - before)
    assert len(folders(tmp_path)) == 2 * len(before)


class Visits(Callback):
    """Takes some samples out of the cache, as if nothing had written them yet."""

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 3:
            for file in (module._teacher_cache.folder).rglob("logits*.sums"):
                sums = torch.from_file(str(file), shared=True, size=21, dtype=torch.int64)
                sums[[2, 5, 11]] = 0


def test_rows_that_are_missing_are_computed_alone_and_written(tmp_path):
    plain, _ = fit(tmp_path / "plain")
    counted = Forwards()
    cached, _ = fit(tmp_path / "c", callbacks=[counted, Visits()], cache_teacher=True)
    assert counted.rows == {2: 2 * 21, 3: 2 * 3}
    assert_close(plain, cached)
