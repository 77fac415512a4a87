"""Feature vectors and sequences from one ``.npz`` file, held in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cmkd.batch import Batch
from datamodules.base import CrossModalDataModule, SampleDataset, Split
from datamodules.collate import Sample
from datamodules.feature_splits import FeatureSplit
from datamodules.npz import ArrayFile, Feature, read_feature
from datamodules.standardise import Statistics
from datamodules.validation_cut import Part

Key = int | tuple[int, int]


class FeatureRows:
    """The samples of one part, as tensors.

    ``rows[i]`` is one sample; the loader asks for a whole batch at once, which costs one gather
    a modality instead of one Python call a sample and a stack. There is no augmentation, so the
    epoch in a training key changes nothing.

    Args:
        values: by modality, (N, D) or (N, L, D) float32.
        present: by modality, (N,) bool.
        length: by modality, (N,) int64 valid frames, only of sequences.
        label: (N,) int64.
    """

    def __init__(
        self,
        values: dict[str, Tensor],
        present: dict[str, Tensor],
        length: dict[str, Tensor],
        label: Tensor,
    ) -> None:
        self.values = values
        self.present = present
        self.length = length
        self.label = label

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, key: Key) -> Sample:
        row = _row(key)
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        sample: Sample = {
            name: values[row, : self.length[name][row]] if name in self.length else values[row]
            for name, values in self.values.items()
        }
        sample["label"] = int(self.label[row])
        sample["index"] = row % len(self)
        sample["present"] = {name: bool(there[row]) for name, there in self.present.items()}
        if self.length:
            sample["length"] = {name: int(length[row]) for name, length in self.length.items()}
        return sample

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        rows = torch.tensor([_row(key) for key in keys])
        batch: Batch = {name: values[rows] for name, values in self.values.items()}
        batch["label"] = self.label[rows]
        batch["index"] = rows
        batch["present"] = {name: there[rows] for name, there in self.present.items()}
        if self.length:
            batch["length"] = {name: length[rows] for name, length in self.length.items()}
            for name, length in batch["length"].items():
                batch[name] = batch[name][:, : int(length.max())]
        return batch


class FeatureFolds(CrossModalDataModule):
    """Feature sets in one ``.npz`` file of named arrays, a row a sample.

    A modality is an array of vectors (N, D) or of sequences (N, L, D). Only what a loader holds is
    read: testing the student needs no auxiliary array in the file.

    Args:
        file: the ``.npz`` file. It is never unpickled.
        arrays: array name by modality, for example ``{face: face_au, audio: audio_mfcc}``.
        label: array of the labels, integers or strings.
        split: who trains, validates and is tested: ``GroupSplit``, ``ArraySplit``,
            ``SuffixSplit`` or your own ``FeatureSplit``.
        student_modalities: what the student sees, in training and at test.
        auxiliary_modalities: what only the teacher sees, in training.
        batch_size: samples a batch and rank.
        num_workers: loader processes; 0 is fastest, as everything is in memory.
        auxiliary_at_test: let the test and predict loaders hold the auxiliary modalities too.
        seed: seed of the order, and of the validation part where the split draws it.
        lengths: array of the valid frames by modality, for sequences; those not named end where
            only all-zero frames follow.
        classes: class name by label as the file has it, in the order of the class numbers; None
            takes the sorted labels themselves.
        standardise: give every feature zero mean and unit variance over the training part.
        nan_rows_are_absent: a row of nothing but NaN says that the sample lacks this modality;
            otherwise NaN is an error.

    Attributes:
        class_names: names by class number.
        parts: the rows of each part.
        statistics: what standardising learnt, by modality, filled while the data is read.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: anything in the file or the arguments that does not fit; the message names it.
    """

    def __init__(
        self,
        file: str,
        arrays: dict[str, str],
        label: str,
        split: FeatureSplit,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        batch_size: int = 32,
        num_workers: int = 0,
        auxiliary_at_test: bool = False,
        seed: int = 0,
        lengths: dict[str, str] | None = None,
        classes: dict[int | str, str] | None = None,
        standardise: bool = True,
        nan_rows_are_absent: bool = False,
    ) -> None:
        self.arrays = dict(arrays)
        super().__init__(
            student_modalities,
            auxiliary_modalities,
            batch_size=batch_size,
            num_workers=num_workers,
            auxiliary_at_test=auxiliary_at_test,
            seed=seed,
        )
        self.lengths = dict(lengths or {})
        if unknown := sorted(set(self.lengths) - set(arrays)):
            raise ValueError(
                f"FeatureFolds.lengths: there is no modality {', '.join(unknown)}; `arrays` has "
                f"{', '.join(arrays)}"
            )
        self.file = ArrayFile(file)
        self.label = label
        self.standardise = standardise
        self.nan_rows_are_absent = nan_rows_are_absent
        self.statistics: dict[str, Statistics] = {}
        self.parts = split.parts(self.file, label, seed)
        self.class_names, self._label_values = self._read_classes(classes)
        self._check_every_class_trains()

    @property
    def offered_modalities(self) -> Sequence[str]:
        """Return the modalities that ``arrays`` names."""
        return list(self.arrays)

    def build_dataset(self, split: Split, modalities: list[str]) -> SampleDataset:
        """Return the samples of one part, as tensors in memory."""
        part: Part = getattr(self.parts, split)
        values, present, length = {}, {}, {}
        for name in modalities:
            feature = self._read(name, part)
            values[name] = torch.from_numpy(self._scaled(name, feature))
            present[name] = torch.from_numpy(feature.present)
            if feature.length is not None:
                length[name] = torch.from_numpy(feature.length)
        return FeatureRows(values, present, length, torch.from_numpy(self._labels(part)))

    def _read(self, modality: str, part: Part) -> Feature:
        length = self.lengths.get(modality)
        feature = read_feature(
            self.file,
            self.arrays[modality] + part.suffix,
            like=self.label + part.suffix,
            length=None if length is None else length + part.suffix,
            nan_rows_are_absent=self.nan_rows_are_absent,
        ).take(part.rows)
        if part is self.parts.train and not feature.present.any():
            raise self.file.error(
                self.arrays[modality] + part.suffix,
                f"has no training sample with '{modality}'. Take it out of the modalities.",
            )
        return feature

    def _scaled(self, modality: str, feature: Feature) -> Any:
        if not self.standardise:
            return feature.values.astype(np.float32)
        if modality not in self.statistics:
            self.statistics[modality] = Statistics.of(self._read(modality, self.parts.train))
        statistics = self.statistics[modality]
        if (width := feature.values.shape[-1]) != len(statistics.mean):
            raise self.file.error(
                self.arrays[modality],
                f"is {len(statistics.mean)} wide in the training part, but {width} in another.",
            )
        return statistics.apply(feature)

    def _label_column(self, part: Part) -> Any:
        return self.file.read_column(self.label + part.suffix)[part.rows]

    def _read_classes(self, classes: dict[int | str, str] | None) -> tuple[list[str], list[str]]:
        columns = [self._label_column(getattr(self.parts, p)) for p in ("train", "val", "test")]
        found = [str(value) for value in np.unique(np.concatenate(columns))]
        if classes is None:
            return found, found
        values = [str(value) for value in classes]
        if outside := [value for value in found if value not in values]:
            raise self.file.error(
                self.label,
                f"has labels outside `classes`: {', '.join(outside)}. It names "
                f"{', '.join(values)}.",
            )
        if len(set(classes.values())) < len(classes):
            raise ValueError("FeatureFolds.classes: two classes have the same name")
        return list(classes.values()), values

    def _labels(self, part: Part) -> Any:
        number = {value: i for i, value in enumerate(self._label_values)}
        labels = [number[str(value)] for value in self._label_column(part)]
        return np.array(labels, dtype=np.int64)

    def _check_every_class_trains(self) -> None:
        count = np.bincount(self._labels(self.parts.train), minlength=self.num_classes)
        if (never := np.flatnonzero(count == 0)).size:
            names = ", ".join(self.class_names[i] for i in never)
            raise self.file.error(
                self.label,
                f"has no training sample of class {names}. Change the split, or drop the class "
                "from the data and from `classes`.",
            )

    def _loader(self, dataset: SampleDataset, **kwargs: Any) -> DataLoader[Batch]:
        loader = super()._loader(dataset, **kwargs)
        # FeatureRows.__getitems__ has made the batch already.
        loader.collate_fn = _as_it_is
        return loader


def _row(key: Key) -> int:
    return key if isinstance(key, int) else key[0]


def _as_it_is(batch: Batch) -> Batch:
    return batch
