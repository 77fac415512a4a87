"""Conditional entropy of the teacher's embedding, bounded from above by a Gaussian."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes


def gaussian_conditional_entropy(target: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Negative log density of target under a diagonal Gaussian, constant included.

    For any mean and variance computed from S its expectation is at least the differential entropy
    H(T|S); equality holds where T given S is that Gaussian. The variational bound is that of The
    IM Algorithm (Barber, Agakov, NeurIPS 2003), used for distillation in Variational Information
    Distillation for Knowledge Transfer (Ahn et al., CVPR 2019).

    Args:
        target: (B, D).
        mean: (B, D).
        log_variance: (B, D).

    Returns:
        (B,) nats, summed over D; may be negative, as differential entropies are.
    """
    target, mean, log_variance = (full_precision(x) for x in (target, mean, log_variance))
    squares = (target - mean).square() * (-log_variance).exp()
    return 0.5 * (math.log(2 * math.pi) + log_variance + squares).sum(dim=1)


def smooth_bounds(x: Tensor, low: float, high: float) -> Tensor:
    """Squash x into the open interval (low, high), low < 0 < high, with slope 1 at 0.

    A softsign on either side: its slope falls only as 1 / x^2, so that a value near a bound can
    come back, which a clamp's zero gradient or a sigmoid's exponentially small one would prevent.
    """
    bound = torch.where(x > 0, high, -low).to(x.dtype)
    return x / (1 + x.abs() / bound)


class GaussianConditionalEntropy(Objective):
    """Explicit upper bound on H(target | source) of the embedding.

    An MLP gives mean and log variance of the target's embedding, a Gaussian of diagonal
    covariance, from the source's; see :func:`gaussian_conditional_entropy`. The target is
    detached. It starts near the standard normal for every source, where its gradient on the mean
    is FitNets' squared error.

    The training loss is divided by the width of the embedding, so that its weight means the same
    for every width. Logs ``nats``, not divided: the upper bound on H(T|S).

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role that is predicted.
        width: width of the hidden layers.
        depth: number of hidden layers; 0 makes mean and log variance linear in the source.
        min_log_variance: lower bound, below 0. Without it, a target that can be predicted exactly
            would make the loss unbounded.
        max_log_variance: upper bound, above 0.

    Raises:
        ValueError: for a size out of range, or bounds that do not lie on either side of 0.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        width: int = 256,
        depth: int = 1,
        min_log_variance: float = -8.0,
        max_log_variance: float = 8.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, width=width)
        if depth < 0:
            raise ValueError(f"{type(self).__name__}.depth must be 0 or more, got {depth}")
        if not -math.inf < min_log_variance < 0 < max_log_variance < math.inf:
            raise ValueError(
                f"{type(self).__name__}: min_log_variance must be below 0, where the log variance "
                f"starts, and max_log_variance above; got {min_log_variance} and {max_log_variance}"
            )
        self.bounds = (min_log_variance, max_log_variance)
        self.predictor = MLP(sizes[source].embedding, 2 * sizes[target].embedding, width, depth)
        last = self.predictor.layers[-1]
        weight = last.get_parameter("weight")
        # Small, not zero: at zero the source would get no gradient in the first step.
        nn.init.normal_(weight, std=0.1 / math.sqrt(weight.shape[1]))
        nn.init.zeros_(last.get_parameter("bias"))

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch."""
        source, target, mask = self.pair(representations)
        s = zero_masked_rows(source.embedding, mask)
        t = zero_masked_rows(target.embedding.detach(), mask)
        mean, raw = self.predictor(s).chunk(2, dim=1)
        nats = masked_mean(
            gaussian_conditional_entropy(t, mean, smooth_bounds(raw, *self.bounds)), mask
        )
        return ObjectiveOutput(nats / t.shape[1], logs={"nats": nats.detach()})
