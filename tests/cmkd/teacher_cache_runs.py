"""Short runs with and without cached teachers, for the tests of the cache."""

from functools import partial

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
from tests.cmkd.setting import SHAPES, batch_norm_encoders, make_model, make_trainer, weights
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


def assert_close(first, second):
    """Kernels may round a row by the batch that it is in."""
    for name, value in weights(first).items():
        torch.testing.assert_close(weights(second)[name], value, atol=1e-5, rtol=1e-4, msg=name)


def folders(path):
    return {p.name for p in (path / FOLDER / "node-0").iterdir()}


def files(path):
    return {f.name.split("-")[0] for f in (path / FOLDER / "node-0").rglob("*") if f.is_file()}
