"""What all datamodules share: which modality is read where, and how the loaders are made."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from cmkd.batch import Batch
from cmkd.preprocessing import Preprocessing, ReadyTensors, student_state
from datamodules.collate import Sample, collate
from datamodules.few_labels import FewLabels, HideLabels
from datamodules.incomplete import IncompleteTraining
from datamodules.modality_names import check_modalities
from datamodules.sampler import EpochSampler, LazyLoader

#: ``gallery``: the training and validation samples together, as evaluation reads them.
Split = Literal["train", "val", "test", "gallery"]


class SampleDataset(Protocol):
    """A dataset of one split.

    ``dataset[index, epoch]`` is a training sample, augmented as (seed, epoch, index) says;
    ``dataset[index]`` is the same sample without augmentation. One that never augments may say so
    by an attribute ``augments = False``.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, key: int | tuple[int, int]) -> Sample: ...

    def all_labels(self) -> NDArray[Any]:
        """Return the labels of all samples (N,), without reading the samples."""
        ...

    def keep_only(self, kept: Mapping[str, NDArray[np.bool_]]) -> None:
        """Make modality ``m`` of sample ``i`` absent where ``kept[m][i]`` is False."""
        ...


class CrossModalDataModule(LightningDataModule):
    """Base of the datamodules: loaders over one dataset a split.

    Training and validation batches hold the student's and the auxiliary modalities. The test and
    predict loaders neither read nor hold the auxiliary ones.

    A subclass sets ``class_names`` in its constructor and implements ``offered_modalities`` (a
    class attribute will do; a property may use what was set before ``super().__init__``) and
    ``build_dataset``.

    Args:
        student_modalities: what the student sees, in training and at test.
        auxiliary_modalities: what only the teacher sees, in training; empty for a student alone.
        batch_size: samples a batch and rank.
        num_workers: loader processes; 0 reads in the main process.
        auxiliary_at_test: let the test and predict loaders hold the auxiliary modalities too, to
            evaluate the teacher.
        gallery: add a second test loader over the whole training list (validation part included),
            read as for evaluation: what the test clips are searched in.
        incomplete: which auxiliary modalities the training samples lack; None: they lack none.
        class_balanced: let every class come equally often in a training epoch, which is as long as
            before; by default every sample comes once.
        few_labels: hides the labels of most training samples; None: all are known.
        augment: let training samples be other views of a clip in every epoch; False gives the view
            that evaluation would, so that what a frozen teacher says of it can be cached
            (``model.cache_teacher``). A file that does not decode then always stops the training.
        seed: seed of the order and the augmentation.

    Attributes:
        collate_fn: puts the samples of a batch together.

    Raises:
        ValueError: for a student without modalities, sets that overlap or name what the data lacks,
            or a number out of its range.
    """

    class_names: list[str]
    collate_fn: ClassVar[Callable[..., Batch]] = staticmethod(collate)

    def __init__(
        self,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        batch_size: int = 32,
        num_workers: int = 0,
        auxiliary_at_test: bool = False,
        gallery: bool = False,
        incomplete: IncompleteTraining | None = None,
        class_balanced: bool = False,
        few_labels: FewLabels | None = None,
        augment: bool = True,
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
        if incomplete is not None:
            incomplete.check(self.auxiliary_modalities, owner)
        self.auxiliary_at_test = auxiliary_at_test
        self.gallery = gallery
        self.incomplete = incomplete
        self.class_balanced = class_balanced
        self.few_labels = few_labels
        self.augment = augment
        self.seed = seed
        self._datasets: dict[Split, SampleDataset] = {}
        self._student_state: dict[str, Any] | None = None

    @property
    def offered_modalities(self) -> Sequence[str]:
        """Return the names of the modalities this data has."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """Return how many classes there are, known right after construction."""
        return len(self.class_names)

    @property
    def train_samples(self) -> int:
        """Return the number of training samples; their ``index`` counts up to it."""
        return len(self.dataset("train"))

    @property
    def is_deterministic(self) -> bool:
        """Return whether a training sample is the same in every epoch."""
        return not (self.augment and getattr(self.dataset("train"), "augments", True))

    def build_dataset(self, split: Split, modalities: list[str]) -> SampleDataset:
        """Return the dataset of one split, reading nothing but the given modalities."""
        raise NotImplementedError

    def preprocessing(self) -> Preprocessing:
        """Return what makes the student's inputs of any one sample, as evaluation reads it.

        By default the sample's tensors as a batch holds them; data that is read from files says
        how.
        """
        sample = self.dataset("train")[0]
        sequences = sample.get("length", {})
        shapes = {name: list(sample[name].shape) for name in self.student_modalities}
        return ReadyTensors(
            {name: [None, *s[1:]] if name in sequences else s for name, s in shapes.items()}
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to know of the data for its student to predict alone."""
        if self._student_state is None:
            self._student_state = student_state(self.preprocessing(), self.class_names)
        return self._student_state

    def media_files(self) -> list[Path]:
        """Return the media files of all splits that a loader may open; none by default.

        ``cmkd prepare`` reads them once, so that training does not probe them again.
        """
        return []

    def describe(self) -> list[str]:
        """Return what the data holds, a line a fact, for ``cmkd prepare`` to print."""
        return [
            f"{split}: {len(self.dataset(split))} samples" for split in ("train", "val", "test")
        ] + [f"{self.num_classes} classes"]

    def modalities(self, split: Split) -> list[str]:
        """Return the modalities that the samples of a split hold."""
        if split in ("test", "gallery") and not self.auxiliary_at_test:
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
            if split == "train" and self.incomplete is not None:
                built.keep_only(
                    self.incomplete.kept(self.auxiliary_modalities, len(built), self.seed)
                )
            self._datasets[split] = built
        return self._datasets[split]

    def setup(self, stage: str) -> None:
        """Build the datasets a stage needs, so that bad data is reported before training."""
        needed: dict[str, list[Split]] = {"fit": ["train", "val"], "validate": ["val"]}
        evaluated: list[Split] = ["test", "gallery"] if self.gallery else ["test"]
        for split in needed.get(stage, evaluated):
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
            balanced_labels=dataset.all_labels() if self.class_balanced else None,
            batches_done=(
                (lambda: trainer.fit_loop.epoch_loop.batch_progress.current.ready)
                if trainer
                else None
            ),
            augmented=self.augment,
        )
        collate_fn = self.collate_fn
        if self.few_labels is not None:
            labelled = self.few_labels.labelled(dataset.all_labels(), self.seed)
            collate_fn = HideLabels(collate_fn, labelled)
        return self._loader(
            dataset,
            sampler=sampler,
            on_end=getattr(dataset, "end_epoch", None),
            collate_fn=collate_fn,
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation batches, in order, with all modalities."""
        return self._loader(self.dataset("val"))

    def test_dataloader(self) -> DataLoader[Batch] | dict[str, DataLoader[Batch]]:
        """Return the test batches, in order, with the student's modalities; the gallery's too."""
        test = self.predict_dataloader()
        if not self.gallery:
            return test
        return {"test": test, "gallery": self._loader(self.dataset("gallery"))}

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the test batches, in order, with the student's modalities."""
        return self._loader(self.dataset("test"))

    def _loader(self, dataset: SampleDataset, **kwargs: Any) -> DataLoader[Batch]:
        return LazyLoader(
            dataset,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            **({"collate_fn": self.collate_fn} | kwargs),
        )
