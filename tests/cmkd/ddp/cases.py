"""Runs of both stages that any number of ranks must end alike."""

from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch.nn.parallel import DistributedDataParallel

from cmkd import Term
from cmkd.objectives import (
    CCL,
    CRD,
    PKT,
    RKD,
    AdversarialConditionalEntropy,
    GaussianConditionalEntropy,
    InfoNCE,
    KnowledgeDistillation,
    SimilarityPreserving,
)
from cmkd.stages import StageConfig
from datamodules.sampler import EpochSampler
from tests.cmkd.ddp.launch import gloo
from tests.cmkd.setting import SHAPES, make_model, make_trainer, weights
from tests.fake_data import FakeData

#: Rows of the joint batch; ranks share them.
JOINT_BATCH = 12
STEPS = 20


class EveryOther(CRD):
    """CRD whose negatives are all other samples: drawn ones are noise of each rank's own."""

    def draw(self, index, samples):
        return (index[:, None] + torch.arange(1, samples)) % samples


#: Objective and weight by name.
GATHERED: dict[str, tuple[Any, float]] = {
    "infonce": (partial(InfoNCE, dim=8), 0.3),
    # Of a size at which it ends within a batch.
    "infonce_queue": (partial(InfoNCE, dim=8, queue_size=30), 0.3),
    "crd": (partial(EveryOther, dim=8), 0.1),
    "ccl": (CCL, 0.3),
    "pkt": (PKT, 1.0),
    "similarity_preserving": (SimilarityPreserving, 1.0),
    "rkd": (RKD, 0.02),
}
#: Only the student's stage; without noise, of which each rank draws its own.
LOCAL: dict[str, tuple[Any, float]] = {
    "adversarial": (partial(AdversarialConditionalEntropy, width=16, noise_dim=0), 0.1),
    "gaussian": (partial(GaussianConditionalEntropy, width=16), 0.1),
    "kd": (KnowledgeDistillation, 0.3),
}


@dataclass(frozen=True)
class Case:
    """What is trained, and on what.

    Attributes:
        objectives: in both stages, by their names in ``GATHERED``.
        local: those of the student's stage in ``LOCAL``.
        samples: number of training samples; 44 are a last batch of 8 rows.
        accumulate: batches a step.
        absent: a modality that every second sample of each epoch's order lacks.
        resumed: interrupted in the student's stage and begun anew from the checkpoint.
        precision: of the trainer.
    """

    objectives: tuple[str, ...] = tuple(GATHERED)
    local: tuple[str, ...] = tuple(LOCAL)
    samples: int = 48
    accumulate: int = 1
    absent: str | None = None
    resumed: bool = False
    precision: str = "32-true"

    @property
    def epochs(self) -> int:
        """Of each stage, so that it has ``STEPS`` steps."""
        batches = -(-self.samples // JOINT_BATCH)
        return STEPS // -(-batches // self.accumulate)


CASES = {name: Case((name,), local=()) for name in GATHERED} | {
    "accumulated, clipped": Case(samples=44, accumulate=3),
    "the auxiliary modality absent on every second rank": Case(absent="audio"),
    "the student's modality absent on every second rank": Case(absent="face"),
    "a short last batch": Case(samples=44),
    "resumed": Case(samples=44, resumed=True),
    "bf16": Case(precision="bf16-mixed"),
}


class AbsentInTurn:
    """A training set of which every second sample of an epoch's order lacks a modality.

    Ranks take the samples of the order in turn, so that every second rank has none.
    """

    def __init__(self, whole, absent):
        self._whole, self._absent = whole, absent
        self._places = cache(self._places_of)

    def _places_of(self, epoch):
        sampler = EpochSampler(self._whole, batch_size=JOINT_BATCH)
        sampler.set_epoch(epoch)
        return {index: place for place, (index, _) in enumerate(sampler)}

    def all_labels(self):
        return self._whole.all_labels()

    def __len__(self):
        return len(self._whole)

    def __getitem__(self, key):
        sample = self._whole[key]
        index, epoch = key
        if self._places(epoch)[index] % 2:
            sample[self._absent] = torch.zeros_like(sample[self._absent])
            sample["present"] |= {self._absent: False}
        return sample


class RankData(FakeData):
    def __init__(self, absent=None, **arguments):
        self.absent = absent
        super().__init__(["face"], ["audio"], shapes=SHAPES, **arguments)

    def build_dataset(self, split, modalities):
        whole = super().build_dataset(split, modalities)
        return AbsentInTurn(whole, self.absent) if self.absent and split == "train" else whole


class Record(Callback):
    """Keeps the gradients of each stage's first step and the weights at its end.

    And the names of the buffers that DDP sent from rank 0 to the others.
    """

    def __init__(self):
        self.kept: dict[str, dict[str, torch.Tensor]] = {}
        self.sent: list[str] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        key = f"gradients of the first step, {module.stage.name}"
        if batch_idx == module.accumulate - 1 and key not in self.kept:
            named = module.named_parameters()
            self.kept[key] = {n: p.grad.clone() for n, p in named if p.grad is not None}

    def on_train_end(self, trainer, module):
        if isinstance(trainer.strategy.model, DistributedDataParallel):
            self.sent = sorted(trainer.strategy.model.named_module_buffers)

    def on_train_epoch_end(self, trainer, module):
        self.kept[f"weights at the end, {module.stage.name}"] = weights(module)


def build(case: Case):
    def terms(**roles):
        return {
            name: Term(partial(objective, **roles), weight)
            for name, (objective, weight) in GATHERED.items()
            if name in case.objectives
        }

    local = {name: Term(*LOCAL[name]) for name in case.local}
    stages = {
        "teacher": StageConfig(
            ["teacher", "auxiliary"], terms(source="auxiliary", target="teacher"), share=1.0
        ),
        "student": StageConfig(["student"], terms(source="student", target="teacher") | local),
    }
    return make_model(
        stages=stages,
        teacher_epochs=case.epochs,
        # Its steps are proportional to the gradients, so that a wrong factor shows.
        optimizer=partial(torch.optim.SGD, lr=0.05),
        accumulate=case.accumulate,
        gradient_clip_norm=0.5 if case.accumulate > 1 else None,
    )


def train(case: Case, folder: Path, ranks: int) -> dict[str, Any]:
    """Run both stages; return what ``Record`` kept, the last metrics and the steps."""

    def fit(max_epochs, ckpt_path=None):
        record, model = Record(), build(case)
        trainer = make_trainer(
            folder,
            max_epochs,
            devices=ranks,
            strategy=gloo() if ranks > 1 else "auto",
            precision=case.precision,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=case.epochs,
            callbacks=[record],
        )
        data = RankData(case.absent, batch_size=JOINT_BATCH // ranks, samples=case.samples)
        trainer.fit(model, datamodule=data, ckpt_path=ckpt_path)
        return trainer, record

    checkpoint = None
    first: dict[str, Any] = {}
    if case.resumed:
        trainer, record = fit(case.epochs + 2)
        first = record.kept
        checkpoint = folder / f"interrupted {ranks}.ckpt"
        trainer.save_checkpoint(checkpoint)
    trainer, record = fit(2 * case.epochs, checkpoint)
    metrics = {name: float(x) for name, x in trainer.callback_metrics.items() if "val/" in name}
    last = "weights at the end, student"
    return {
        "tensors": record.kept | first | {last: record.kept[last]},
        "metrics": metrics,
        "steps": trainer.global_step,
        "sent": record.sent,
    }


def cases_of(ranks: int) -> dict[str, Case]:
    """Every objective by itself on two ranks; on more of them all of them together."""
    return {name: case for name, case in CASES.items() if ranks == 2 or name not in GATHERED}


def train_all(folder: Path, ranks: int) -> dict[str, Any]:
    return {name: train(case, folder, ranks) for name, case in cases_of(ranks).items()}


def uninterrupted(case: Case) -> Case:
    return replace(case, resumed=False)
