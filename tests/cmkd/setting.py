"""A small model, data and trainer for the tests of the LightningModule."""

from functools import partial

import torch
from lightning.pytorch import Trainer
from torch import nn

from cmkd import CrossModalDistillation, Term
from cmkd.networks import MLP
from cmkd.networks.base import Encoder, Features
from cmkd.objectives import (
    AdversarialConditionalEntropy,
    InfoNCE,
    KnowledgeDistillation,
)
from tests.fake_data import FakeData

SHAPES = {"face": [6], "audio": [5]}


class BatchNormEncoder(Encoder):
    """An encoder whose BatchNorm statistics move with every batch it sees in train mode."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.out_features = 8
        self.layers = nn.Sequential(nn.Linear(in_features, 8), nn.BatchNorm1d(8), nn.ReLU())

    def forward(self, x, length=None):
        return Features(self.layers(x))


def mlp_encoders():
    return {name: partial(MLP, shape[0], width=16) for name, shape in SHAPES.items()}


def batch_norm_encoders():
    return {name: partial(BatchNormEncoder, shape[0]) for name, shape in SHAPES.items()}


def amid_terms():
    """The objective of the teacher stage and of the student stage."""
    mi_ts = Term(partial(InfoNCE, dim=8), weight=0.1)
    mi_ta = Term(partial(InfoNCE, source="auxiliary", dim=8), weight=0.1)
    adversarial = partial(AdversarialConditionalEntropy, width=16, noise_dim=4)
    return {"mi_ts": mi_ts, "mi_ta": mi_ta}, {"mi_ts": mi_ts, "h_ts": Term(adversarial, 0.1)}


def kd_terms():
    return {"kd": Term(KnowledgeDistillation)}


def make_model(seed: int = 0, **overrides) -> CrossModalDistillation:
    torch.manual_seed(seed)
    arguments = {
        "student_modalities": ["face"],
        "auxiliary_modalities": ["audio"],
        "encoders": mlp_encoders(),
        "num_classes": 3,
        "embedding_dim": 8,
        "optimizer": partial(torch.optim.AdamW, lr=0.01),
        "teacher_epochs": 2,
    }
    return CrossModalDistillation(**(arguments | overrides))


def make_amid(**overrides) -> CrossModalDistillation:
    teacher_terms, student_terms = amid_terms()
    return make_model(teacher_terms=teacher_terms, student_terms=student_terms, **overrides)


def make_data(**overrides) -> FakeData:
    return FakeData(["face"], ["audio"], **({"shapes": SHAPES} | overrides))


def make_trainer(folder, max_epochs: int = 4, **overrides) -> Trainer:
    arguments = {
        "default_root_dir": folder,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(max_epochs=max_epochs, **(arguments | overrides))


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def assert_same(first, second) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def changed(first, second) -> set[str]:
    return {name for name, value in first.items() if not torch.equal(value, second[name])}
