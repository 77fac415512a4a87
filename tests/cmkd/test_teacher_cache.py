"""Frozen networks that are run once on a sample, against those that are run in every step."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy

from cmkd import Term
from cmkd.callbacks import StageCheckpoint
from cmkd.networks import MLP
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.objectives import (
    AdversarialConditionalEntropy,
    FitNets,
    InfoNCE,
    KnowledgeDistillation,
    Layer,
)
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.representation import Representation
from cmkd.teacher_cache import FOLDER, rows_of
from tests.cmkd.setting import (
    SHAPES,
    assert_same,
    batch_norm_encoders,
    make_model,
    make_trainer,
    weights,
)
from tests.fake_data import FakeData

EPOCHS = 5


class SubsetKD(Objective):
    """Reads the teacher without its auxiliary modality as well."""

    def roles(self):
        return super().roles() | {"teacher@face"}

    def forward(self, representations, batch):
        source, _, mask = self.pair(representations)
        part = representations["teacher@face"]
        return ObjectiveOutput(
            masked_mean((source.logits - part.logits).square().sum(1), mask & part.valid)
        )


TERMS = {
    "kd": Term(KnowledgeDistillation),
    "mi_ts": Term(partial(InfoNCE, dim=8, queue_size=32), 0.1),
    "h_ts": Term(partial(AdversarialConditionalEntropy, width=16, noise_dim=2), 0.1),
    "subset": Term(SubsetKD, 0.1),
}
HIDDEN = {
    "fitnets": Term(
        partial(FitNets, source_layer=Layer("face", 0), target_layer=Layer("face", 1)), 0.3
    )
}


class Forwards(Callback):
    """Counts the rows that the frozen teacher is run on, by epoch."""

    def on_train_start(self, trainer, module):
        self.rows = {}
        self.epoch = 0

        def count(network, args, output):
            if module.stage.name == "student":
                self.rows[self.epoch] = self.rows.get(self.epoch, 0) + len(output.logits)

        module.networks["teacher"].register_forward_hook(count)

    def on_train_epoch_start(self, trainer, module):
        self.epoch = trainer.current_epoch


def fit(
    folder, terms=TERMS, callbacks=(), ranks=1, ckpt_path=None, data=None, kind=FakeData, **model
):
    arguments = {
        "student_terms": terms,
        "teacher_terms": {"mi": Term(partial(InfoNCE, dim=8))},
        # Its steps are proportional to the gradients; Adam's first ones blow up a rounding.
        "optimizer": partial(torch.optim.SGD, lr=0.05),
    }
    module = make_model(**(arguments | model))
    # 21: the last batch is shorter. Every third sample lacks the auxiliary modality.
    given = {"samples": 21, "absent_every": 3, "augment": False, "batch_size": 8 // ranks}
    given |= {"shapes": SHAPES} | (data or {})
    strategy = DDPStrategy(start_method="spawn", process_group_backend="gloo")
    trainer = make_trainer(
        folder, EPOCHS, callbacks=list(callbacks), devices=ranks, num_sanity_val_steps=0,
        strategy=strategy if ranks > 1 else "auto",
        enable_checkpointing=any(isinstance(c, StageCheckpoint) for c in callbacks),
    )  # fmt: skip
    trainer.fit(module, datamodule=kind(["face"], ["audio"], **given), ckpt_path=ckpt_path)
    return module, trainer


def deep_encoders():
    return {name: partial(MLP, shape[0], width=16, depth=2) for name, shape in SHAPES.items()}


def row_by_row(network, batch, original=ModalityNetwork.forward):
    """The network's forward, a row at a time: no kernel can round it by what else is there."""
    if network.training:
        return original(network, batch)
    rows = torch.eye(len(batch["index"]), dtype=torch.bool)
    parts = [original(network, rows_of(batch, row)) for row in rows]
    return Representation(
        embedding=torch.cat([p.embedding for p in parts]),
        logits=torch.cat([p.logits for p in parts]),
        hidden={
            name: [torch.cat(layer) for layer in zip(*(p.hidden[name] for p in parts), strict=True)]
            for name in parts[0].hidden
        },
        valid=torch.cat([p.valid for p in parts]),
    )


CASES = {
    "embedding and logits": (TERMS, batch_norm_encoders()),
    "hidden layers too": (TERMS | HIDDEN, deep_encoders()),
}


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


def assert_close(first, second):
    """Kernels may round a row by the batch that it is in."""
    for name, value in weights(first).items():
        torch.testing.assert_close(weights(second)[name], value, atol=1e-5, rtol=1e-4, msg=name)


def folders(path):
    return {p.name for p in (path / FOLDER / "node-0").iterdir()}


def files(path):
    return {f.name.split("-")[0] for f in (path / FOLDER / "node-0").rglob("*") if f.is_file()}


def test_hidden_layers_are_kept_only_where_an_objective_reads_them(tmp_path):
    fit(tmp_path / "without", cache_teacher=True, encoders=deep_encoders())
    assert "hidden" not in files(tmp_path / "without")
    fit(tmp_path / "with", TERMS | HIDDEN, cache_teacher=True, encoders=deep_encoders())
    names = [f.name for f in (tmp_path / "with").rglob("hidden-*")]
    assert names
    assert all(name.startswith("hidden-face") for name in names)


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
