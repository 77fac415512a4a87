"""Compositional contrastive learning: a composition closes the gap between two modalities."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, one_hot

from cmkd.batch import Batch
from cmkd.distributed import gather_rows
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import knowledge_distillation
from cmkd.objectives.labels import class_labels
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import (
    full_precision,
    require_positive,
    unit_vectors,
    zero_masked_rows,
)
from cmkd.objectives.relational import inner_products
from cmkd.representation import Representation, Sizes


def class_aware_nce(
    anchors: Tensor,
    candidates: Tensor,
    label: Tensor,
    candidate_label: Tensor,
    temperature: float,
    valid: Tensor | None = None,
) -> Tensor:
    """Noise-contrastive estimation in which all samples of a class belong together.

    With p_ij the softmax over candidates j of cosine over temperature, an anchor's loss is the mean
    of -log p_ij over the candidates of its class plus the mean of -log(1 - p_ij) over the others;
    either is 0 where there is none, and so is the latter where there is one candidate in all.

    Distilling Audio-Visual Knowledge by Compositional Contrastive Learning, Chen, Xian, Koepke,
    Shan, Akata, CVPR 2021; form of the authors' code, whose 1e-10 inside the logarithms is not
    needed: log(1 - p) is computed without subtracting from 1 where p is large.

    Args:
        anchors: (B, D), of any scale.
        candidates: (N, D).
        label: (B,) int64, the anchors' classes.
        candidate_label: (N,) int64.
        temperature: divides the cosines.
        valid: (N,) bool, which candidates count; None means all.

    Returns:
        (B,) nats, in float32 at least.
    """
    if valid is None:
        valid = torch.ones_like(candidate_label, dtype=torch.bool)
    x, y = (unit_vectors(full_precision(z)) for z in (anchors, candidates))
    # A softmax over nothing would be NaN: without a valid candidate all take part, and none counts.
    scores = inner_products(x, y) / temperature
    scores = scores.masked_fill(~(valid | ~valid.any()), -math.inf)
    same = (label[:, None] == candidate_label) & valid
    other = (label[:, None] != candidate_label) & valid
    return _mean_where(-log_softmax(scores, dim=1), same) + _mean_where(-_log_rest(scores), other)


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the (B,) means of the chosen values (B, N), 0 where none is."""
    return values.where(chosen, 0).sum(dim=1) / chosen.sum(dim=1).clamp(min=1)


def _log_rest(scores: Tensor) -> Tensor:
    """Return log(1 - softmax(scores)) (B, N), exact also where a probability is close to 1.

    Only the largest can be: its complement is the sum of all others. Where there are no others
    nothing can be told apart, and it is 0.
    """
    top = one_hot(scores.argmax(dim=1), scores.shape[1]).bool()
    others = scores.masked_fill(top, -math.inf)
    alone = ~others.isfinite().any(dim=1, keepdim=True)
    rest = others.masked_fill(alone, 0).logsumexp(dim=1) - scores.logsumexp(dim=1)
    # Filled where it is not used: the gradient of log1p(-1) would be infinite behind the mask.
    p = log_softmax(scores, dim=1).masked_fill(top, -1).exp()
    return torch.log1p(-p).where(~top, rest[:, None].masked_fill(alone, 0))


class Composition(nn.Module):
    """Adds to an auxiliary embedding what the other modality changes of it, and classifies.

    Args:
        dim: width of both embeddings, D.
        num_classes: C.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.residual = MLP(2 * dim, dim)
        self.classifier = MLP(dim, num_classes)

    def forward(self, auxiliary: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the composition (B, D) and its logits (B, C) of two embeddings (B, D)."""
        directions = torch.cat([unit_vectors(auxiliary), unit_vectors(other)], dim=1)
        composed = full_precision(auxiliary) + self.residual(directions)
        return composed, self.classifier(composed)


class CCL(Objective):
    """Compositional contrastive learning.

    Distilling Audio-Visual Knowledge by Compositional Contrastive Learning, Chen, Xian, Koepke,
    Shan, Akata, CVPR 2021; form of the authors' code. With v the source's embedding, a the
    target's and c = a + Linear([a/|a|, v/|v|]) their composition, which has a classifier of its
    own, the source is pulled by the :func:`class_aware_nce` of (v, c) and (v, a), both ways, and by
    half the symmetric divergence between its prediction and the composition's. The composition
    also learns from the labels and from the contrast of (c, a), which do not reach the source.

    The target is detached. Rows of all ranks are candidates, gathered with gradient. A target of
    another width first goes through a linear layer. For several auxiliary models give one term
    for each, with its own temperature, and divide the weight among them, as the authors do.

    Logs ``contrast``, ``divergence``, and the ``composition_loss`` from labels.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role of the auxiliary model.
        temperature: divides the cosines; the authors use 0.5 for audio and 0.1 for images.

    Raises:
        ValueError: when the temperature is not above 0, or the source has fewer than two logits.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "auxiliary",
        temperature: float = 0.5,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, temperature=temperature)
        dim, num_classes = sizes[source].embedding, sizes[source].logits
        if num_classes < 2:
            raise ValueError(
                f"CCL compares classes, but the {source} has {num_classes} logit; use an objective "
                "that reads no labels"
            )
        self.temperature = temperature
        width = sizes[target].embedding
        self.adapter = nn.Identity() if width == dim else MLP(width, dim)
        self.composition = Composition(dim, num_classes)

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch.

        Raises:
            ValueError: when the batch has no labels, or such as are no classes.
        """
        source, target, mask = self.pair(representations)
        label, mask = class_labels(self, batch, mask)
        v = full_precision(zero_masked_rows(source.embedding, mask))
        a = full_precision(self.adapter(zero_masked_rows(target.embedding.detach(), mask)))
        c, c_logits = self.composition(a, v)
        # The same once more, for what only the composition learns from.
        own, own_logits = self.composition(a, v.detach())

        contrast, own_contrast = self._contrasts(v, a, c, own, label, mask)
        logits = zero_masked_rows(source.logits, mask)
        divergence = (
            knowledge_distillation(logits, c_logits, temperature=1.0)
            + knowledge_distillation(c_logits, logits, temperature=1.0)
        ) / 2
        labelled = cross_entropy(own_logits, label, reduction="none")
        return ObjectiveOutput(
            masked_mean(contrast + own_contrast + divergence + labelled, mask),
            logs={
                "contrast": masked_mean(contrast.detach(), mask),
                "divergence": masked_mean(divergence.detach(), mask),
                "composition_loss": masked_mean(labelled.detach(), mask),
            },
        )

    def _contrasts(
        self, v: Tensor, a: Tensor, c: Tensor, own: Tensor, label: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the (B,) losses of (v, c) and (v, a), and of (own, a), both ways each."""
        # One collective for all of them, forward and backward.
        all_v, all_a, all_c, all_own = gather_rows(torch.stack([v, a, c, own], dim=1)).unbind(1)
        all_label, valid = gather_rows(torch.stack([label, mask.to(label)], dim=1)).unbind(1)

        def both_ways(x: Tensor, y: Tensor, all_x: Tensor, all_y: Tensor) -> Tensor:
            given = (label, all_label, self.temperature, valid.bool())
            return class_aware_nce(x, all_y, *given) + class_aware_nce(y, all_x, *given)

        return (
            both_ways(v, c, all_v, all_c) + both_ways(v, a, all_v, all_a),
            both_ways(own, a, all_own, all_a),
        )
