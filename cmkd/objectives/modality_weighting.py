"""How much each modality of a student counts when it learns them one by one."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cmkd.distributed import mean_over_ranks, world_size
from cmkd.objectives.categorical import knowledge_distillation
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes
from cmkd.subsets import subset_role


def modality_saliency(whole_logits: Tensor, without_logits: Tensor) -> Tensor:
    """Saliency of a modality m for a network, S_m(x) = KL(T(x) || T(x without m)).

    Args:
        whole_logits: (B, C) of the network given all it has.
        without_logits: (B, C) of the network given all but m.

    Returns:
        (B,) nats, not negative.
    """
    return knowledge_distillation(without_logits, whole_logits, temperature=1.0)


def softmax_over_present(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax of each row over the entries that are there.

    Args:
        scores: (B, M), finite.
        present: (B, M) bool.

    Returns:
        (B, M), 0 where absent; a row sums to 1, or to 0 where nothing is there.
    """
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~present, lowest).softmax(dim=1).where(present, 0)


class ModalityWeighting(nn.Module):
    """Weights of the source's modalities; base of the others, and itself the uniform one.

    Each row has weights that sum to 1 over the modalities that are there.

    Args:
        sizes: the networks' widths by role; the keys of ``hidden`` are a network's modalities.
        source: the role that is pulled, whose modalities are weighted.
        target: the role it is pulled towards.
    """

    def __init__(self, sizes: Mapping[str, Sizes], source: str, target: str) -> None:
        super().__init__()
        self.modalities = list(sizes[source].hidden)
        self.target = target

    def roles(self) -> frozenset[str]:
        """Return what ``forward`` reads: networks, or subsets of their modalities."""
        return frozenset()

    def forward(
        self,
        representations: Mapping[str, Representation],  # noqa: ARG002 - for subclasses
        present: Tensor,
    ) -> Tensor:
        """Return the (B, M) weights.

        Args:
            representations: at least those of ``roles()``.
            present: (B, M) bool, which of the modalities a row has.
        """
        return softmax_over_present(present.new_zeros(present.shape, dtype=torch.float32), present)

    def penalty(self, weights: Tensor, present: Tensor) -> Tensor:  # noqa: ARG002 - for subclasses
        """Return what a row's weights cost, (B,); nothing, unless they are learned."""
        return weights.new_zeros(len(weights))


class UniformWeighting(ModalityWeighting):
    """The same weight for every modality that is there."""


class InstanceWeighting(ModalityWeighting):
    """Softmax of each row's saliency, see :func:`modality_saliency`.

    Costs a pass of the target for each of the source's modalities, without it.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose predictions show what a modality matters.

    Raises:
        ValueError: when the target has a single modality.
    """

    def __init__(self, sizes: Mapping[str, Sizes], source: str, target: str) -> None:
        super().__init__(sizes, source, target)
        every = list(sizes[target].hidden)
        if len(every) < 2:
            raise ValueError(
                f"{type(self).__name__} asks what the {target} says without a modality, but it "
                f"has only {', '.join(every)}; use UniformWeighting"
            )
        self.without = [
            subset_role(target, [other for other in every if other != name])
            for name in self.modalities
        ]

    def roles(self) -> frozenset[str]:
        """Return the target, whole and without each of the source's modalities."""
        return frozenset((self.target, *self.without))

    def saliency(
        self, representations: Mapping[str, Representation], present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the (B, M) saliency, 0 where unknown, and (B, M) bool, where it is known.

        It is unknown where the modality is absent, and where it is the only one that is there.
        """
        whole = representations[self.target].detach()
        scores, known = [], []
        for m, role in enumerate(self.without):
            without = representations[role].detach()
            both = present[:, m] & whole.valid & without.valid
            scores.append(
                modality_saliency(
                    zero_masked_rows(whole.logits, both), zero_masked_rows(without.logits, both)
                )
            )
            known.append(both)
        return torch.stack(scores, dim=1), torch.stack(known, dim=1)

    def forward(self, representations: Mapping[str, Representation], present: Tensor) -> Tensor:
        """Return the (B, M) weights."""
        return softmax_over_present(self.saliency(representations, present)[0], present)


class PopulationWeighting(InstanceWeighting):
    """Softmax of the mean saliency over all training samples seen, the same for every row.

    The running means are saved with the checkpoint, and are those of all ranks.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose predictions show what a modality matters.

    Raises:
        ValueError: when the target has a single modality.
    """

    mean: Tensor
    rows: Tensor

    def __init__(self, sizes: Mapping[str, Sizes], source: str, target: str) -> None:
        super().__init__(sizes, source, target)
        self.register_buffer("mean", torch.zeros(len(self.modalities)))
        self.register_buffer("rows", torch.zeros(len(self.modalities), dtype=torch.int64))

    def forward(self, representations: Mapping[str, Representation], present: Tensor) -> Tensor:
        """Return the (B, M) weights, the rows at hand included."""
        saliency, known = self.saliency(representations, present)
        total, count = (
            mean_over_ranks(x) * world_size()
            for x in (saliency.sum(dim=0), known.sum(dim=0).to(saliency.dtype))
        )
        self.rows += count.round().long()
        self.mean += ((total - count * self.mean) / self.rows.clamp(min=1)).to(self.mean.dtype)
        return softmax_over_present(full_precision(self.mean).expand(present.shape), present)


class LearnedWeighting(ModalityWeighting):
    """Weights learned along with the student, a softmax of a linear map of the target's embedding.

    Left to themselves they would all go to the modality that is easiest to match; what holds them
    is a penalty, ``strength`` times KL(weights || uniform) of each row. They begin uniform.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose embedding the weights are read from.
        strength: of the penalty, in units of the loss that is weighted.

    Raises:
        ValueError: when the strength is not above 0.
    """

    def __init__(
        self, sizes: Mapping[str, Sizes], source: str, target: str, strength: float = 1.0
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, strength=strength)
        self.strength = strength
        self.scores = MLP(sizes[target].embedding, len(self.modalities))
        for parameter in self.scores.parameters():
            nn.init.zeros_(parameter)

    def roles(self) -> frozenset[str]:
        """Return the target."""
        return frozenset((self.target,))

    def forward(self, representations: Mapping[str, Representation], present: Tensor) -> Tensor:
        """Return the (B, M) weights, with gradient for the linear map."""
        whole = representations[self.target].detach()
        known = whole.valid & present.any(dim=1)
        return softmax_over_present(self.scores(zero_masked_rows(whole.embedding, known)), present)

    def penalty(self, weights: Tensor, present: Tensor) -> Tensor:
        """Return strength times KL(weights || uniform) over what is there, (B,)."""
        # A weight that is 0, absent or not, adds nothing; its logarithm would.
        tiny = torch.finfo(weights.dtype).tiny
        uniform = present.sum(dim=1, keepdim=True).clamp(min=1).reciprocal()
        return self.strength * (weights * (weights.clamp(min=tiny) / uniform).log()).sum(dim=1)


#: Builds a weighting from sizes, source and target; what ``class_path`` gives in YAML.
WeightingFactory: TypeAlias = Callable[[Mapping[str, Sizes], str, str], ModalityWeighting]
