"""Information flow: the neighbourhoods of every layer, those inside a network early on."""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import TypeAlias

import torch
from torch import Tensor

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.layers import Layer, layer_features, layer_mask
from cmkd.objectives.numerics import require_positive, unit_vectors
from cmkd.objectives.pkt import MIN_AFFINITY
from cmkd.objectives.relational import distances, inner_products, join_ranks
from cmkd.representation import Representation, Sizes

#: Affinities (B, N) of rows x (B, D) and others (N, D), positive.
Kernel: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def cosine_kernel(x: Tensor, others: Tensor) -> Tensor:
    """Return affinities (cos + 1) / 2, (B, N), of rows x (B, D) and others (N, D)."""
    cosine = inner_products(unit_vectors(x), unit_vectors(others))
    return ((cosine + 1) / 2).clamp(min=MIN_AFFINITY)


def student_t_kernel(x: Tensor, others: Tensor) -> Tensor:
    """Return affinities 1 / (1 + distance), (B, N), of rows x (B, D) and others (N, D)."""
    return 1 / (1 + distances(x, others))


def jeffreys_divergence(
    source: Tensor, target: Tensor, kernel: Kernel = cosine_kernel, mask: Tensor | None = None
) -> Tensor:
    """Jeffreys divergence KL(p || q) + KL(q || p) of the neighbours' probabilities.

    The probability of sample j as a neighbour of i is kernel(x_i, x_j) over its sum over j, i
    included; p is the target's and q the source's. With the cosine kernel it is
    :func:`cmkd.objectives.probabilistic_knowledge_transfer` both ways.

    Args:
        source: (B, D) the local rows, compared with those of all ranks; all hold the same B.
        target: (B, E).
        kernel: gives the affinities.
        mask: (B,) bool, valid rows, the only neighbours; None means all.

    Returns:
        (B,) nats, not negative, in float32 at least.

    Raises:
        ValueError: when source and target are not matrices of as many rows.
    """
    rows = join_ranks(source, target, mask)
    log_q, log_p = (
        _log_neighbours(kernel(x, others), rows.valid)
        for x, others in ((rows.source, rows.all_source), (rows.target, rows.all_target))
    )
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).where(rows.valid, 0).sum(dim=1)


def _log_neighbours(affinity: Tensor, valid: Tensor) -> Tensor:
    """Return (B, N) log-probabilities that sum to 1 over the valid columns."""
    # Without any valid row it is a sum over nothing.
    total = affinity.where(valid, 0).sum(dim=1, keepdim=True).clamp(min=MIN_AFFINITY)
    return affinity.log() - total.log()


def critical_period(epoch: float, initial: float = 100.0, decay: float = 0.7) -> float:
    """Return the weight of the intermediate layers, initial times decay to the finished epochs."""
    return float(initial * decay ** int(epoch))


class InformationFlow(Objective):
    """Multi-layer probabilistic knowledge transfer between two networks of one shape.

    The loss is the :func:`jeffreys_divergence` of the embeddings, with the cosine and the
    Student-t kernel, plus :func:`critical_period` times that of every hidden layer, averaged over
    its positions, of the modalities that both networks have. Early on the flow through the
    layers is what is learned; it is let go before it binds the student. Heterogeneous Knowledge
    Distillation using Information Flow Modeling, Passalis, Tzelepi, Tefas, CVPR 2020, arXiv
    2005.00727; form of the authors' code, but for its mean over all pairs: the loss of N rows
    there is 1/N of the one here, and shrinks with the batch. There the networks are of one shape
    because the target is an assistant, which has learned the teacher's neighbourhoods.

    The target is detached. Rows in which a layer's modality is absent are masked for that layer.
    Logs ``last_layer`` and ``intermediate``, the sums without the weight.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose flow it is pulled towards.
        initial: weight of the intermediate layers in the stage's first epoch.
        decay: what it is multiplied with after each epoch.

    Raises:
        ValueError: when the networks share no hidden layers, one has more of a modality than the
            other, or a weight is not above 0.
    """

    minimum_rows = 2

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "assistant",
        initial: float = 100.0,
        decay: float = 0.7,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, initial=initial, decay=decay)
        theirs = sizes[target].hidden
        # In the same order on every rank, so no intersection of sets.
        shared = {name: widths for name, widths in sizes[source].hidden.items() if name in theirs}
        for name, widths in shared.items():
            if len(widths) != len(theirs[name]):
                raise ValueError(
                    f"InformationFlow pairs layers, but of '{name}' the {source} has "
                    f"{len(widths)} and the {target} {len(theirs[name])}; let the target be an "
                    "assistant of the source's shape"
                )
        self.layers = list(
            chain.from_iterable(
                (Layer(name, i) for i in range(len(widths))) for name, widths in shared.items()
            )
        )
        if not self.layers:
            raise ValueError(
                f"InformationFlow: the {source} and the {target} have no hidden layer of the same "
                "modality; use cmkd.objectives.PKT, which compares the embeddings"
            )
        self.initial = initial
        self.decay = decay
        self._weight = critical_period(0, initial, decay)

    def set_epoch(self, epoch: float, length: float) -> None:  # noqa: ARG002
        """Set the weight of the intermediate layers."""
        self._weight = critical_period(epoch, self.initial, self.decay)

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch; 0 where there is no second valid row to compare with."""
        source, target, valid = self.pair(representations)
        last, *inside = (
            self._divergence(source, target.detach(), layer, batch, valid)
            for layer in (None, *self.layers)
        )
        intermediate = torch.stack(inside).sum()
        logs = {"last_layer": last.detach(), "intermediate": intermediate.detach()}
        return ObjectiveOutput(last + self._weight * intermediate, logs=logs)

    @staticmethod
    def _divergence(
        source: Representation,
        target: Representation,
        layer: Layer | None,
        batch: Batch,
        valid: Tensor,
    ) -> Tensor:
        mask = layer_mask(valid, [layer], batch)
        s, t = (layer_features(r, layer, batch, mask) for r in (source, target))
        divergences = [
            jeffreys_divergence(s, t, kernel, mask) for kernel in (cosine_kernel, student_t_kernel)
        ]
        return masked_mean(torch.stack(divergences).sum(dim=0), mask)
