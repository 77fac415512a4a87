"""Distillation of each modality by itself."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import knowledge_distillation, require_same_classes
from cmkd.objectives.modality_weighting import UniformWeighting, WeightingFactory
from cmkd.objectives.numerics import require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes
from cmkd.subsets import subset_role


class ModalitySpecificKD(Objective):
    """Knowledge distillation within each modality, sum_m w_m KD(S(x_m only), T(x_m only)).

    Source and target are given one of the source's modalities at a time; the weights of a row sum
    to 1 over those that it has. With a source of a single modality this is the distillation of
    what the target says of that modality alone. Task loss and distillation of the whole stand
    beside it as terms of their own; the target should have been trained with modality dropout
    (``modality_dropout`` of its stage), or it has never seen a modality alone.

    After MSD: Saliency-aware Knowledge Distillation for Multimodal Understanding, Jin, Sanjabi,
    Nie, Tan, Ren, Firooz, Findings of EMNLP 2021, arXiv 2101.01881, of which only the abstract
    was at hand: that there is a loss for each modality, weighted by its saliency or learned
    weights, is theirs; the forms here are our reading.

    The target is detached. Logs the mean weight of each modality, ``weight_<modality>``.

    Args:
        sizes: the networks' widths by role; the keys of ``hidden`` are a network's modalities.
        source: the role that is pulled.
        target: the role whose predictions it is pulled towards.
        temperature: tau, divides both logits.
        weighting: builds the weights: ``UniformWeighting``, ``InstanceWeighting`` (softmax of the
            sample's saliency), ``PopulationWeighting`` (that of its mean over the training set)
            or ``LearnedWeighting``.

    Raises:
        ValueError: when the temperature is not above 0, the numbers of logits differ, or the
            target lacks one of the source's modalities.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        temperature: float = 4.0,
        weighting: WeightingFactory = UniformWeighting,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, temperature=temperature)
        require_same_classes(self, sizes)
        self.temperature = temperature
        self.modalities = list(sizes[source].hidden)
        if missing := [name for name in self.modalities if name not in sizes[target].hidden]:
            raise ValueError(
                f"ModalitySpecificKD: the {target} cannot be given {', '.join(missing)} alone, as "
                f"the {source} is; choose a target with all of the {source}'s modalities"
            )
        self.pairs = [
            (_alone(sizes, source, name), _alone(sizes, target, name)) for name in self.modalities
        ]
        self.weighting = weighting(sizes, source, target)

    def roles(self) -> frozenset[str]:
        """Return both networks by single modality, and what the weighting reads."""
        return frozenset(role for pair in self.pairs for role in pair) | self.weighting.roles()

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch, over the rows that have any of the modalities."""
        losses, masks = [], []
        for pair in self.pairs:
            source, target = (representations[role] for role in pair)
            mask = source.valid & target.valid
            s = zero_masked_rows(source.logits, mask)
            t = zero_masked_rows(target.logits.detach(), mask)
            losses.append(knowledge_distillation(s, t, self.temperature))
            masks.append(mask)
        present = torch.stack(masks, dim=1)
        weights: Tensor = self.weighting(representations, present)
        rows = (weights * torch.stack(losses, dim=1)).sum(dim=1)
        mask = present.any(dim=1)
        loss = masked_mean(rows + self.weighting.penalty(weights, present), mask)
        means = (masked_mean(w, mask) for w in weights.detach().unbind(dim=1))
        logs = {f"weight_{n}": w for n, w in zip(self.modalities, means, strict=True)}
        return ObjectiveOutput(loss, logs=logs)


def _alone(sizes: Mapping[str, Sizes], role: str, modality: str) -> str:
    """Return the name of a network given one modality; its own where it has no other."""
    return role if list(sizes[role].hidden) == [modality] else subset_role(role, [modality])
