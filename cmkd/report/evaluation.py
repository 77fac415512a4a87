"""One pass of a run's best networks over evaluation data."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from cmkd.batch import Batch, batch_modalities, batch_window
from cmkd.distillation import CrossModalDistillation
from cmkd.metrics.sample_means import SampleMeans

Split = Literal["val", "test"]


@dataclass(frozen=True)
class Outputs:
    """What one network says of each sample, in the order of the samples' numbers.

    Attributes:
        prediction: (N, ...) means of the task's predictions over the samples' windows.
        embedding: (N, D) means of the embeddings.
        target: (N,) labels.
        index: (N,) int64 the samples' numbers.
        left_out: samples that have none of the network's modalities.
    """

    prediction: Tensor
    embedding: Tensor
    target: Tensor
    index: Tensor
    left_out: int


class Pass:
    """What came of one loader.

    Args:
        networks: by role.
        loader: it.
        places: where in its dataset the windows of each sample stand, by the sample's number.
    """

    def __init__(
        self,
        networks: Mapping[str, Outputs],
        loader: DataLoader[Batch],
        places: Mapping[int, Sequence[int]],
    ) -> None:
        self.networks = dict(networks)
        self._loader = loader
        self._places = places

    def samples(self, numbers: Sequence[int]) -> Batch | None:
        """Read samples once more, the middle window of each, as one batch.

        Args:
            numbers: of the samples.

        Returns:
            The batch; None where the loader's dataset does not give them by their places.
        """
        places = [self._places[n][len(self._places[n]) // 2] for n in numbers]
        if not hasattr(self._loader.dataset, "__getitem__"):
            return None
        again: DataLoader[Any] = DataLoader(
            Subset(self._loader.dataset, places),
            batch_size=len(places),
            collate_fn=self._loader.collate_fn,
        )
        batch: Batch = next(iter(again))
        # A loader with an order of its own has them elsewhere.
        return batch if batch["index"].tolist() == list(numbers) else None


@dataclass(frozen=True)
class Evaluated:
    """What the networks say of a split.

    Attributes:
        queries: of the split's samples.
        gallery: of those they are searched in; None: in themselves.
    """

    queries: Pass
    gallery: Pass | None


def evaluate(
    model: CrossModalDistillation,
    data: LightningDataModule,
    split: Split,
    precision: Any = None,
) -> Evaluated:
    """Run the student, and the other networks that learned where the data let them, over a split.

    Args:
        model: with the weights that are to be looked at.
        data: where the samples come from.
        split: which of them.
        precision: of the trainer.
    """
    recorder = _Recorder(model)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    run = trainer.validate if split == "val" else trainer.test
    run(recorder, datamodule=data, verbose=False)
    given = trainer.val_dataloaders if split == "val" else trainer.test_dataloaders
    loaders = list(given.values()) if isinstance(given, dict) else given
    loaders = loaders if isinstance(loaders, list | tuple) else [loaders]
    passes = [recorder.recorded[number].finish(one) for number, one in enumerate(loaders[:2])]
    return Evaluated(passes[0], passes[1] if len(passes) > 1 else None)


class _Record:
    """Collects what comes of one loader."""

    def __init__(self) -> None:
        self._predictions: dict[str, SampleMeans] = {}
        self._embeddings: dict[str, SampleMeans] = {}
        self._numbers: dict[str, list[Tensor]] = {}
        self._places: dict[int, list[int]] = {}
        self._rows = 0

    def note(self, batch: Batch) -> None:
        for number in batch["index"].tolist():
            self._places.setdefault(number, []).append(self._rows)
            self._rows += 1

    def add(
        self, role: str, prediction: Tensor, embedding: Tensor, valid: Tensor, batch: Batch
    ) -> None:
        of = (batch["label"].cpu(), batch["index"].cpu(), batch_window(batch).cpu(), valid.cpu())
        self._predictions.setdefault(role, SampleMeans()).update(prediction.cpu(), *of)
        self._embeddings.setdefault(role, SampleMeans()).update(embedding.cpu(), *of)
        self._numbers.setdefault(role, []).append(of[1][of[3]])

    def finish(self, loader: DataLoader[Batch]) -> Pass:
        networks = {}
        for role, numbers in self._numbers.items():
            prediction = self._predictions[role].compute()
            networks[role] = Outputs(
                prediction=prediction.value,
                embedding=self._embeddings[role].compute().value,
                target=prediction.target,
                index=torch.cat(numbers).unique(),  # type: ignore[no-untyped-call]
                left_out=prediction.left_out,
            )
        return Pass(networks, loader, self._places)


class _Recorder(LightningModule):
    """Runs the networks as the model's own evaluation does."""

    def __init__(self, model: CrossModalDistillation) -> None:
        super().__init__()
        self.model = model
        self.recorded: dict[int, _Record] = {}
        learned = {role for stage in model.progress.stages for role in stage.trained}
        # Others, like the auxiliary model where no term names it, have their first weights.
        learned |= {"student"} | ({"teacher"} if model.has_teacher else set())
        self._roles = [role for role in model.networks if role in learned]

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        self._record(batch, dataloader_idx)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        self._record(batch, dataloader_idx)

    def _record(self, batch: Batch, number: int) -> None:
        record = self.recorded.setdefault(number, _Record())
        record.note(batch)
        there = set(batch_modalities(batch))
        for role in self._roles:
            if not there.issuperset(self.model.roles.modalities[role]):
                continue
            seen = self.model.networks[role](batch)
            prediction = self.model.task.predictions(seen)
            record.add(role, prediction, seen.embedding, seen.valid, batch)
