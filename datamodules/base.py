"""What all datamodules share: which modality is read where, and how the loaders are made."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from cmkd.batch import RESERVED_KEYS, Batch
from datamodules.collate import Sample, collate
from datamodules.sampler import EpochSampler, LazyLoader

Split = Literal["train", "val", "test"]


class SampleDataset(Protocol):
    """A dataset of one split.

    ``dataset[index, epoch]`` is a training sample, augmented as (seed, epoch, index) says;
    ``dataset[index]`` is the same sample without augmentation.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, key: int | tuple[int, int]) -> Sample: ...


def check_modalities(
    student: Sequence[str], auxiliary: Sequence[str], offered: Sequence[str], owner: str
) -> None:
    """Check the two modality sets against each other and against what the data offers.

    Args:
        student: what the student sees, in training and at test.
        auxiliary: what exists in training only.
        offered: what the data has.
        owner: whose argument it is, for the message.

    Raises:
        ValueError: for an empty set, a name given twice, unknown or reserved, or overlapping sets.
    """
    reserved = RESERVED_KEYS.intersection(offered)
    if reserved:
        raise ValueError(
            f"{owner}: {', '.join(sorted(reserved))} is a key of the batch and cannot be a "
            "modality's name; rename it in the data"
        )
    for argument, names in (("student_modalities", student), ("auxiliary_modalities", auxiliary)):
        if not names:
            raise ValueError(
                f"{owner}.{argument} is empty: name at least one of {', '.join(offered)}"
            )
        if len(set(names)) != len(names):
            raise ValueError(f"{owner}.{argument} names a modality twice: {', '.join(names)}")
        unknown = [name for name in names if name not in offered]
        if unknown:
            raise ValueError(
                f"{owner}.{argument}: there is no modality {', '.join(map(repr, unknown))}; "
                f"this data has {', '.join(offered)}"
            )
    both = [name for name in student if name in auxiliary]
    if both:
        raise ValueError(
            f"{owner}: {', '.join(map(repr, both))} stands in student_modalities and in "
            "auxiliary_modalities; the auxiliary modalities are those that the student never sees"
        )


class CrossModalDataModule(LightningDataModule):
    """Base of the datamodules: loaders over one dataset a split.

    Training and validation batches hold the student's and the auxiliary modalities. The test and
    predict loaders neither read nor hold the auxiliary ones.

    A subclass sets ``class_names`` in its constructor and implements ``offered_modalities`` (a
    class attribute will do; a property may use what was set before ``super().__init__``) and
    ``build_dataset``.

    Args:
        student_modalities: what the student sees, in training and at test.
        auxiliary_modalities: what only the teacher sees, in training.
        batch_size: samples a batch and rank.
        num_workers: loader processes; 0 reads in the main process.
        auxiliary_at_test: let the test and predict loaders hold the auxiliary modalities too, to
            evaluate the teacher.
        seed: seed of the order and the augmentation.

    Raises:
        ValueError: for modality sets that are empty, overlap or name what the data lacks, or a
            number out of its range.
    """

    class_names: list[str]

    def __init__(
        self,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        batch_size: int = 32,
        num_workers: int = 0,
        auxiliary_at_test: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        check_modalities(student_modalities, auxiliary_modalities, self.offered_modalities, owner)
        for argument, value, least in (
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ValueError(f"{owner}.{argument}: must be at least {least}, got {value}")
        self.student_modalities = list(student_modalities)
        self.auxiliary_modalities = list(auxiliary_modalities)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.auxiliary_at_test = auxiliary_at_test
        self.seed = seed
        self._datasets: dict[Split, SampleDataset] = {}

    @property
    def offered_modalities(self) -> Sequence[str]:
        """Return the names of the modalities this data has."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """Return how many classes there are, known right after construction."""
        return len(self.class_names)

    def build_dataset(self, split: Split, modalities: list[str]) -> SampleDataset:
        """Return the dataset of one split, reading nothing but the given modalities."""
        raise NotImplementedError

    def modalities(self, split: Split) -> list[str]:
        """Return the modalities that the samples of a split hold."""
        if split == "test" and not self.auxiliary_at_test:
            return self.student_modalities
        return self.student_modalities + self.auxiliary_modalities

    def dataset(self, split: Split) -> SampleDataset:
        """Return the dataset of a split, built on first use.

        Raises:
            ValueError: when it is empty.
        """
        if split not in self._datasets:
            built = self.build_dataset(split, self.modalities(split))
            if len(built) == 0:
                raise ValueError(
                    f"{type(self).__name__}: the {split} split is empty; check the arguments that "
                    "choose and divide the data"
                )
            self._datasets[split] = built
        return self._datasets[split]

    def setup(self, stage: str) -> None:
        """Build the datasets a stage needs, so that bad data is reported before training."""
        needed: dict[str, list[Split]] = {"fit": ["train", "val"], "validate": ["val"]}
        for split in needed.get(stage, ["test"]):
            self.dataset(split)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the shuffled, augmented training batches of this rank."""
        dataset, trainer = self.dataset("train"), self.trainer
        sampler = EpochSampler(
            dataset,
            self.batch_size,
            num_replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            seed=self.seed,
            batches_done=(
                (lambda: trainer.fit_loop.epoch_loop.batch_progress.current.ready)
                if trainer
                else None
            ),
        )
        return self._loader(dataset, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation batches, in order, with all modalities."""
        return self._loader(self.dataset("val"))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the test batches, in order, with the student's modalities."""
        return self._loader(self.dataset("test"))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the same batches as ``test_dataloader``."""
        return self.test_dataloader()

    def _loader(self, dataset: SampleDataset, **kwargs: Any) -> DataLoader[Batch]:
        return LazyLoader(
            dataset,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            **kwargs,
        )
