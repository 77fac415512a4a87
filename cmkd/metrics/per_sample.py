"""Metrics in which every sample counts once."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat


class PerSample(Metric):
    """Collects predictions by sample number and scores their mean per sample.

    A clip that is evaluated in several windows is scored once, by the mean of its predictions;
    and what a DistributedSampler repeats to fill up the last batch does not count twice. So the
    result is the same for any batch size and number of devices.

    Args:
        metrics: what is computed from the predictions (samples, C) and targets (samples,).
    """

    full_state_update = False
    index: list[Tensor]
    prediction: list[Tensor]
    target: list[Tensor]

    def __init__(self, metrics: MetricCollection, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metrics = metrics
        for state in ("index", "prediction", "target"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor, index: Tensor, valid: Tensor) -> None:
        """Add a batch.

        Args:
            prediction: (B, C) scores of which a mean over windows makes sense (probabilities).
            target: (B,) labels.
            index: (B,) sample numbers.
            valid: (B,) bool, rows that count.
        """
        self.index.append(index[valid])
        self.prediction.append(prediction.detach().float()[valid])
        self.target.append(target[valid])

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics' values by name; an empty dict where no row counted."""
        if not isinstance(self.index, Tensor) and not self.index:
            return {}
        index = dim_zero_cat(self.index)
        prediction, target = dim_zero_cat(self.prediction), dim_zero_cat(self.target)
        if len(index) == 0:
            return {}
        unique, row = torch.unique(index, return_inverse=True)
        mean = prediction.new_zeros(len(unique), *prediction.shape[1:])
        mean.index_add_(0, row, prediction)
        counts = torch.bincount(row, minlength=len(unique)).to(prediction.dtype)
        mean = mean / counts.view(-1, *[1] * (prediction.dim() - 1))
        per_sample_target = target.new_empty(len(unique)).scatter_(0, row, target)
        values: dict[str, Tensor] = self.metrics(mean, per_sample_target)
        self.metrics.reset()
        return values
