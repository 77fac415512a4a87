"""Feature vectors and sequences from an ``.npz`` file, or ``.npy`` files with a CSV beside them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from datamodules.base import CrossModalDataModule, SampleDataset, Split
from datamodules.collate import as_it_is
from datamodules.feature_arrays import Feature, Reading, read_feature
from datamodules.feature_groups import Part
from datamodules.feature_preprocessing import FeaturePreprocessing
from datamodules.feature_rows import FeatureRows
from datamodules.feature_source import Array, FeatureSource
from datamodules.feature_splits import FeatureSplit, Parts
from datamodules.feature_table import open_features
from datamodules.standardise import Statistics
from datamodules.targets import ClassTarget, Target


class FeatureFolds(CrossModalDataModule):
    """Feature sets in a file, a row a sample.

    Either one ``.npz`` file of named arrays, features and columns, or a ``.csv`` file of columns
    and for each modality an ``.npy`` file in the same order. A modality is an array of vectors
    (N, D) or of sequences (N, L, D). Only what a loader holds is read: testing the student needs
    no auxiliary array in the file, and of ``.npy`` files no more than the rows in use.

    Args:
        file: the ``.npz`` file, or the ``.csv`` file with a header. Nothing is ever unpickled.
        arrays: array by modality: names in the ``.npz`` file, for example
            ``{face: face_au, audio: audio_mfcc}``, or paths of ``.npy`` files relative to the
            folder of the ``.csv`` file.
        label: column of the labels.
        split: who trains, validates and is tested: ``GroupSplit``, ``FoldSplit``, ``ArraySplit``,
            ``SuffixSplit`` or your own ``FeatureSplit``.
        student_modalities: what the student sees, in training and at test.
        auxiliary_modalities: what only the teacher sees, in training.
        lengths: column of the valid frames by modality, for sequences; those not named end where
            only all-zero frames follow.
        classes: class name by label as the file has it, in the order of the class numbers; None
            takes the sorted labels themselves.
        target: what is learnt from the label where it is no class: ``RealTarget``,
            ``RoundedTarget``, ``PolarityTarget`` or your own ``Target``.
        standardise: give every feature zero mean and unit variance over the training part.
        reading: how the arrays say that something is missing; None: NaN and infinity are errors.
        **kwargs: of ``CrossModalDataModule``; everything is in memory: no workers are fastest.

    Attributes:
        class_names: names by class number.
        parts: the rows of each part.
        left_out: samples of each part that the target leaves out.
        statistics: what standardising learnt, by modality, filled while the data is read.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: anything in the file or the arguments that does not fit; the message names it.
    """

    collate_fn = staticmethod(as_it_is)

    def __init__(
        self,
        file: str,
        arrays: dict[str, str],
        label: str,
        split: FeatureSplit,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        lengths: dict[str, str] | None = None,
        classes: dict[int | str, str] | None = None,
        target: Target | None = None,
        standardise: bool = True,
        reading: Reading | None = None,
        **kwargs: Any,
    ) -> None:
        self.arrays = dict(arrays)
        super().__init__(student_modalities, auxiliary_modalities, **kwargs)
        self.lengths = dict(lengths or {})
        owner = type(self).__name__
        if unknown := sorted(set(self.lengths) - set(arrays)):
            raise ValueError(
                f"{owner}.lengths: there is no modality {', '.join(unknown)}; `arrays` has "
                f"{', '.join(arrays)}"
            )
        if classes is not None and target is not None:
            raise ValueError(f"{owner}: `classes` names the classes, so there is no other `target`")
        self.file = self.open(file)
        self.label = label
        self.target = target or ClassTarget(classes)
        self.standardise = standardise
        self.reading = reading
        self.statistics: dict[str, Statistics] = {}
        self.parts, self.left_out = self._parts(split)
        train, *evaluation = (
            self._label_column(part) for part in (self.parts.train, self.parts.val, self.parts.test)
        )
        self._coding = self.target.coding(self.file, label, train, np.concatenate(evaluation))
        self.class_names = self._coding.class_names

    def open(self, file: str) -> FeatureSource:
        """Return the source of a path; a subclass may read other layouts."""
        return open_features(file)

    @property
    def offered_modalities(self) -> Sequence[str]:
        """Return the modalities that ``arrays`` names."""
        return list(self.arrays)

    def build_dataset(self, split: Split, modalities: list[str]) -> SampleDataset:
        """Return the samples of one part, or of the gallery, as tensors in memory."""
        if split == "gallery":
            both = (self.parts.train, self.parts.val)
            return FeatureRows.joined([self._rows(part, modalities) for part in both])
        return self._rows(getattr(self.parts, split), modalities)

    def preprocessing(self) -> FeaturePreprocessing:
        """Return what standardises one sample's features as evaluation does."""
        rows = self.dataset("train")
        assert isinstance(rows, FeatureRows)  # noqa: S101 - for the type checker
        sequences = [name for name in self.student_modalities if name in rows.length]
        width = {name: rows.values[name].shape[-1] for name in self.student_modalities}
        learnt = [name for name in self.student_modalities if name in self.statistics]
        return FeaturePreprocessing(
            {name: [None, n] if name in sequences else [n] for name, n in width.items()},
            mean={name: torch.from_numpy(self.statistics[name].mean) for name in learnt},
            std={name: torch.from_numpy(self.statistics[name].std) for name in learnt},
            trimmed=[name for name in sequences if name not in self.lengths],
            **vars(self.reading or Reading()),
        )

    def describe(self) -> list[str]:
        """Return what the data holds, a line a fact."""
        return super().describe() + [
            f"{part}: {count} samples that have no such target left out"
            for part, count in self.left_out.items()
            if count
        ]

    def _parts(self, split: FeatureSplit) -> tuple[Parts, dict[str, int]]:
        """Divide the file and take out what the target leaves out."""
        parts = split.parts(self.file, self.label, self.seed)
        left_out = {}
        for name in ("train", "val", "test"):
            part: Part = getattr(parts, name)
            kept = self.target.kept(self._label_column(part))
            left_out[name] = int((~kept).sum())
            parts = replace(parts, **{name: replace(part, rows=part.rows[kept])})
        return parts, left_out

    def _rows(self, part: Part, modalities: list[str]) -> FeatureRows:
        values, present, length = {}, {}, {}
        for name in modalities:
            feature = self._read(name, part)
            values[name] = torch.from_numpy(self._scaled(name, feature, part))
            present[name] = torch.from_numpy(feature.present)
            if feature.length is not None:
                length[name] = torch.from_numpy(feature.length)
        label = torch.from_numpy(self._coding.encode(self._label_column(part)))
        return FeatureRows(values, present, length, label)

    def _read(self, modality: str, part: Part) -> Feature:
        length = self.lengths.get(modality)
        feature = read_feature(
            self.file,
            self.arrays[modality] + part.suffix,
            like=self.label + part.suffix,
            rows=part.rows,
            length=None if length is None else length + part.suffix,
            reading=self.reading,
        )
        if part is self.parts.train and not feature.present.any():
            raise self.file.error(
                self.arrays[modality] + part.suffix,
                f"has no training sample with '{modality}'. Take it out of the modalities.",
            )
        return feature

    def _scaled(self, modality: str, feature: Feature, part: Part) -> Array:
        if not self.standardise:
            return feature.values.astype(np.float32)
        if modality not in self.statistics:
            training = part is self.parts.train
            self.statistics[modality] = Statistics.of(
                feature if training else self._read(modality, self.parts.train)
            )
        statistics = self.statistics[modality]
        if (width := feature.values.shape[-1]) != len(statistics.mean):
            raise self.file.error(
                self.arrays[modality],
                f"is {len(statistics.mean)} wide in the training part, but {width} in another.",
            )
        return statistics.apply(feature)

    def _label_column(self, part: Part) -> Any:
        return self.target.read(self.file, self.label + part.suffix)[part.rows]
