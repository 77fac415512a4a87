"""A simulated world in which it is known what each modality knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.base import CrossModalDataModule, Split
from datamodules.collate import as_it_is
from datamodules.memory import MemoryRows

_MODALITIES = ("first", "second")
_GROUPS = ("shared", *_MODALITIES)
_PARTS = ("train", "val", "test")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """Samples of a part.

    Attributes:
        latents: (N, K) by group: ``shared``, or the modality that alone sees them.
        seen: (N, features) by modality.
        label: (N,) class numbers.
    """

    latents: dict[str, Array]
    seen: dict[str, Array]
    label: NDArray[np.int64]


class LatentWorld(CrossModalDataModule):
    """Two modalities of latents, some seen by both, some by one alone; the label needs them all.

    The world was made to show what becomes of the latents that only the auxiliary modality sees;
    it says nothing about how large the effect is elsewhere.

    Latents z are standard normal. A modality is ``z A + nonlinearity * tanh(z B) + noise`` of the
    latents it sees. The class is the largest of the scores ``z W`` over all latents; W has
    orthonormal columns, so that classes are equally likely and each group of latents counts, on
    average, by its size. A, B and W are drawn once a world, the parts independently of each other.

    Modalities: ``first`` and ``second``, vectors (``features``,).

    Args:
        student_modalities: what the student sees.
        auxiliary_modalities: what only the teacher sees, in training.
        shared: number of latents that both modalities see.
        first_only: number that ``first`` alone sees.
        second_only: number that ``second`` alone sees.
        classes: number of classes, at most the number of latents.
        features: width of each modality.
        nonlinearity: weight of the part of the mixture that is not linear.
        noise: standard deviation of the noise on a feature, whose linear part has about 1.
        train: number of training samples.
        val: number of validation samples.
        test: number of test samples.
        world_seed: seed of all of it: mixtures, scores, samples, noise.
        **kwargs: of ``CrossModalDataModule``.

    Raises:
        ValueError: for modalities or numbers that do not fit.
    """

    offered_modalities: Sequence[str] = _MODALITIES
    collate_fn = staticmethod(as_it_is)

    def __init__(
        self,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        shared: int = 2,
        first_only: int = 2,
        second_only: int = 4,
        classes: int = 6,
        features: int = 32,
        nonlinearity: float = 0.5,
        noise: float = 0.5,
        train: int = 2000,
        val: int = 500,
        test: int = 2000,
        world_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(student_modalities, auxiliary_modalities, **kwargs)
        for argument, size, least in (
            ("shared", shared, 1),
            ("first_only", first_only, 1),
            ("second_only", second_only, 1),
            ("classes", classes, 2),
            ("features", features, 1),
            ("train", train, 1),
            ("val", val, 1),
            ("test", test, 1),
        ):
            if size < least:
                raise ValueError(f"LatentWorld.{argument}: has to be {least} or more, got {size}")
        for argument, value in (
            ("nonlinearity", nonlinearity),
            ("noise", noise),
            ("world_seed", world_seed),
        ):
            if value < 0:
                raise ValueError(f"LatentWorld.{argument}: must not be negative, got {value}")
        if classes > shared + first_only + second_only:
            raise ValueError(
                f"LatentWorld.classes: {classes} classes need as many latents, there are "
                f"{shared + first_only + second_only}; raise shared, first_only or second_only"
            )
        self.latents = dict(zip(_GROUPS, (shared, first_only, second_only), strict=True))
        self.samples = dict(zip(_PARTS, (train, val, test), strict=True))
        self.features = features
        self.nonlinearity = nonlinearity
        self.noise = noise
        self.world_seed = world_seed
        self.class_names = [f"class {number}" for number in range(classes)]

    def build_dataset(self, split: Split, modalities: list[str]) -> MemoryRows:
        """Return the samples of one part, as tensors in memory."""
        parts = self._drawn(split)
        values = {name: _joined([part.seen[name] for part in parts]) for name in modalities}
        label = torch.from_numpy(np.concatenate([part.label for part in parts]))
        return MemoryRows(values, dict.fromkeys(modalities, torch.arange(len(label))), label)

    def auxiliary_only(self, split: Split) -> Tensor:
        """Return the latents that the auxiliary modalities see and the student's do not.

        No batch holds them. Row i is the sample of ``index`` i.

        Returns:
            (N, K) float32.

        Raises:
            ValueError: without an auxiliary modality.
        """
        if not self.auxiliary_modalities:
            raise ValueError(
                "LatentWorld.auxiliary_modalities is empty: nothing is the auxiliary modality's "
                "alone; name the modality that the student does not see"
            )
        (auxiliary,) = self.auxiliary_modalities
        return _joined([part.latents[auxiliary] for part in self._drawn(split)])

    def describe(self) -> list[str]:
        """Return what the data holds, a line a fact."""
        counts = ", ".join(f"{count} {name}" for name, count in self.latents.items())
        return [*super().describe(), f"latents: {counts}"]

    @cached_property
    def _world(self) -> tuple[dict[str, tuple[Array, Array]], Array]:
        """The two mixtures of each modality, (K, features), and the scores' W, (K, classes)."""
        rng = np.random.default_rng((self.world_seed, 0))
        mixtures = {}
        for name in _MODALITIES:
            count = self.latents["shared"] + self.latents[name]
            linear, bent = rng.normal(size=(2, count, self.features)) / np.sqrt(count)
            mixtures[name] = (linear, bent)
        square = rng.normal(size=(sum(self.latents.values()), self.num_classes))
        return mixtures, np.linalg.qr(square)[0]

    @cached_property
    def _by_part(self) -> dict[str, Drawn]:
        return {part: self._draw(part) for part in _PARTS}

    def _drawn(self, split: Split) -> list[Drawn]:
        parts = ("train", "val") if split == "gallery" else (split,)
        return [self._by_part[part] for part in parts]

    def _draw(self, part: str) -> Drawn:
        # A stream a part: the size of one changes nothing in another.
        rng = np.random.default_rng((self.world_seed, 1 + _PARTS.index(part)))
        count = self.samples[part]
        latents = {name: rng.normal(size=(count, width)) for name, width in self.latents.items()}
        mixtures, scores = self._world
        seen = {}
        for name, (linear, bent) in mixtures.items():
            z = np.concatenate([latents["shared"], latents[name]], axis=1)
            noise = self.noise * rng.normal(size=(count, self.features))
            seen[name] = z @ linear + self.nonlinearity * np.tanh(z @ bent) + noise
        every = np.concatenate([latents[name] for name in _GROUPS], axis=1)
        return Drawn(latents, seen, (every @ scores).argmax(axis=1))


def _joined(arrays: Sequence[Array]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays).astype(np.float32))
