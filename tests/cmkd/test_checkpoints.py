"""Checkpoints hold plain data, and one that does not fit is refused with the reason."""

import pickle
from functools import partial

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from cmkd import CrossModalDistillation
from cmkd.networks import MLP
from tests.cmkd.setting import (
    SHAPES,
    amid_terms,
    assert_same,
    kd_terms,
    make_amid,
    make_data,
    make_model,
    make_trainer,
    mlp_encoders,
    weights,
)


class Other(LightningModule):
    """A module of somebody else's."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def training_step(self, batch, batch_idx):
        return self.linear(torch.ones(2)).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    model, trainer = make_amid(), make_trainer(folder)
    trainer.fit(model, datamodule=make_data())
    trainer.save_checkpoint(folder / "a.ckpt")
    return str(folder / "a.ckpt"), model


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    trainer = make_trainer(folder, 1, limit_val_batches=0)
    trainer.fit(Other(), train_dataloaders=[torch.ones(1)])
    trainer.save_checkpoint(folder / "other.ckpt")
    return str(folder / "other.ckpt")


def test_a_checkpoint_loads_with_weights_only(checkpoint):
    loaded = torch.load(checkpoint[0], weights_only=True)
    assert loaded["cmkd"]["progress"]["stage"] == "student"
    assert loaded["hyper_parameters"]["student_modalities"] == ["face"]


def test_a_model_built_in_python_loads_with_its_factories_given_again(checkpoint):
    path, model = checkpoint
    teacher_terms, student_terms = amid_terms()
    loaded = CrossModalDistillation.load_from_checkpoint(
        path,
        encoders=mlp_encoders(),
        teacher_terms=teacher_terms,
        student_terms=student_terms,
        optimizer=torch.optim.AdamW,
    )
    assert_same(weights(model), weights(loaded))
    assert loaded.stage.name == "student"


def test_testing_a_checkpoint_of_another_architecture_names_the_difference(checkpoint, tmp_path):
    wide = {name: partial(MLP, shape[0], width=32) for name, shape in SHAPES.items()}
    with pytest.raises(ValueError, match=r"another model.*of another shape.*config\.yaml"):
        make_trainer(tmp_path).test(
            make_amid(encoders=wide), datamodule=make_data(), ckpt_path=checkpoint[0]
        )


def test_testing_a_checkpoint_with_other_modalities_names_those_it_was_trained_with(
    checkpoint, tmp_path
):
    model = make_amid(student_modalities=["audio"], auxiliary_modalities=["face"])
    with pytest.raises(ValueError, match=r"\['face'\] as student and \['audio'\] as auxiliary"):
        make_trainer(tmp_path).test(model, datamodule=make_data(), ckpt_path=checkpoint[0])


def test_resuming_from_another_class_is_refused(foreign, tmp_path):
    with pytest.raises(ValueError, match="not written by CrossModalDistillation"):
        make_trainer(tmp_path).fit(make_amid(), datamodule=make_data(), ckpt_path=foreign)


def test_a_teacher_of_another_class_is_refused(foreign, tmp_path):
    model = make_model(student_terms=kd_terms(), teacher_checkpoint=foreign)
    with pytest.raises(ValueError, match=r"other\.ckpt was not written by CrossModalDistillation"):
        make_trainer(tmp_path).fit(model, datamodule=make_data())


def test_a_teacher_of_another_architecture_is_refused_with_a_strict_report(checkpoint, tmp_path):
    model = make_model(student_terms=kd_terms(), teacher_checkpoint=checkpoint[0], embedding_dim=12)
    with pytest.raises(
        ValueError, match=r"teacher_checkpoint: the teacher in .*\d+ of another shape: .*instead of"
    ):
        make_trainer(tmp_path).fit(model, datamodule=make_data())


def test_the_report_counts_missing_and_unexpected_entries(checkpoint, tmp_path):
    deep = {name: partial(MLP, shape[0], width=16, depth=3) for name, shape in SHAPES.items()}
    model = make_model(student_terms=kd_terms(), teacher_checkpoint=checkpoint[0], encoders=deep)
    with pytest.raises(ValueError, match=r"8 missing: encoders\.audio\.layers\.2.*\.\.\."):
        make_trainer(tmp_path).fit(model, datamodule=make_data())


def test_a_teacher_checkpoint_that_is_not_there_is_named(tmp_path):
    model = make_model(student_terms=kd_terms(), teacher_checkpoint="gone.ckpt")
    with pytest.raises(FileNotFoundError, match=r"gone\.ckpt"):
        make_trainer(tmp_path).fit(model, datamodule=make_data())


def test_a_teacher_checkpoint_with_code_in_it_is_not_executed(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": Payload()}))
    model = make_model(student_terms=kd_terms(), teacher_checkpoint=str(path))
    with pytest.raises(ValueError, match=r"evil\.ckpt' cannot be read"):
        make_trainer(tmp_path).fit(model, datamodule=make_data())
    assert not (tmp_path / "executed").exists()


def test_a_teacher_can_be_larger_than_the_student(tmp_path):
    large = {"face": partial(MLP, SHAPES["face"][0], width=64)}
    model = make_model(student_terms=kd_terms(), teacher_encoders=large)
    make_trainer(tmp_path).fit(model, datamodule=make_data())
    assert model.networks["teacher"].encoders["face"].out_features == 64
    assert model.networks["student"].encoders["face"].out_features == 16
