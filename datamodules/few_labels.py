"""Few labels: training pairs of which only some are labelled."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cmkd.batch import Batch


class FewLabels:
    """Hides the labels of most training samples; every pair stays available for distillation.

    The task loss sees the labelled samples alone; a distillation term that needs no label sees
    all. Validation and test keep their labels. Who is labelled depends on the data's seed alone.

    Args:
        share: share of each class's training samples that keep their label, in (0, 1]; at least
            one of each class does. Values of a regression count as one class.

    Raises:
        ValueError: for a share out of range.
    """

    def __init__(self, share: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"FewLabels.share: has to lie in (0, 1], got {share}")
        self.share = share

    def labelled(self, labels: NDArray[Any], seed: int) -> NDArray[np.bool_]:
        """Draw who keeps the label.

        Args:
            labels: (N,) of the training samples.
            seed: seed of the draw.

        Returns:
            (N,) bool.
        """
        rng = np.random.default_rng((seed, 0xF1))  # not the stream of the order or augmentation
        classes = labels if labels.dtype.kind in "iu" else np.zeros(len(labels), dtype=np.int64)
        known: NDArray[np.bool_] = np.zeros(len(labels), dtype=bool)
        for one in np.unique(classes):
            rows = rng.permutation(np.flatnonzero(classes == one))
            known[rows[: max(1, round(self.share * len(rows)))]] = True
        return known


class HideLabels:
    """Puts a batch together, without the labels that are hidden.

    Args:
        collate_fn: puts it together with all labels.
        labelled: (N,) bool by the samples' ``index``.
    """

    def __init__(self, collate_fn: Callable[..., Batch], labelled: NDArray[np.bool_]) -> None:
        self._collate = collate_fn
        self._labelled = torch.from_numpy(labelled)

    def __call__(self, samples: Any) -> Batch:
        """Return the batch of some samples, with ``labelled`` and 0 for a hidden label."""
        batch = self._collate(samples)
        labelled = self._labelled[batch["index"]]
        # 0, so that a term that forgets the mask cannot learn what it must not know.
        label = batch["label"].where(labelled, torch.zeros_like(batch["label"]))
        return batch | {"label": label, "labelled": labelled}
