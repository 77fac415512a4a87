"""Incomplete training data: samples that lack some of the auxiliary modalities."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class IncompleteTraining:
    """Each training sample keeps a random subset of its auxiliary modalities, for good.

    As in data where not everything was recorded: what a sample lacks, it lacks in every epoch.
    The student's modalities, validation and test are not touched. Which samples lack what depends
    on the data's seed alone.

    Args:
        keep: probability by auxiliary modality that a sample keeps it, in [0, 1]; those not named
            are always kept. The probabilities are of the modalities by themselves: given that at
            least one has to stay, each is kept somewhat more often.
        none_left: allow samples that keep no auxiliary modality; by default at least one stays.

    Raises:
        ValueError: for a probability out of range.
    """

    def __init__(self, keep: dict[str, float], none_left: bool = False) -> None:
        for name, probability in keep.items():
            if not 0 <= probability <= 1:
                raise ValueError(
                    f"IncompleteTraining.keep: the probability of '{name}' has to lie in [0, 1], "
                    f"got {probability}"
                )
        self.keep = dict(keep)
        self.none_left = none_left

    def check(self, auxiliary: Sequence[str], owner: str) -> None:
        """Check the names against the auxiliary modalities of a datamodule.

        Raises:
            ValueError: for a name that is none of them, or where no subset is possible.
        """
        if unknown := [name for name in self.keep if name not in auxiliary]:
            raise ValueError(
                f"{owner}.incomplete: {', '.join(map(repr, unknown))} is not among the "
                f"auxiliary_modalities ({', '.join(auxiliary) or 'none'}); only those can be absent"
            )
        if self.none_left:
            return
        if len(auxiliary) == 1 and self.keep:
            raise ValueError(
                f"{owner}.incomplete: with '{auxiliary[0]}' alone every sample would keep it; set "
                "none_left: true to let samples be without"
            )
        if auxiliary and all(self.keep.get(name, 1.0) == 0 for name in auxiliary):
            raise ValueError(
                f"{owner}.incomplete: no auxiliary modality has a probability above 0, but each "
                "sample has to keep one; raise one or set none_left: true"
            )

    def kept(
        self, auxiliary: Sequence[str], samples: int, seed: int
    ) -> dict[str, NDArray[np.bool_]]:
        """Draw who keeps what.

        Args:
            auxiliary: names of the auxiliary modalities.
            samples: number of training samples N.
            seed: seed of the draw.

        Returns:
            By modality, (N,) bool.
        """
        rng = np.random.default_rng((seed, 0xA0))  # not the stream of the order or augmentation
        chance = np.array([self.keep.get(name, 1.0) for name in auxiliary])
        drawn = rng.random((samples, len(auxiliary))) < chance
        if not self.none_left:
            # Drawing again those who lack everything gives the distribution given one stays.
            while (empty := np.flatnonzero(~drawn.any(axis=1))).size:
                drawn[empty] = rng.random((empty.size, len(auxiliary))) < chance
        return {name: drawn[:, column] for column, name in enumerate(auxiliary)}
