"""Conditional entropy of the teacher given the student, minimised by an adversary."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cmkd.batch import Batch
from cmkd.objectives.adversarial_losses import AdversarialLossFactory, LogisticLoss
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.discriminators import (
    DiscriminatorFactory,
    PairDiscriminator,
    call_frozen,
    slope_penalty,
)
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.objectives.standardisation import RowStandardisation, StandardisationFactory
from cmkd.representation import Representation, Sizes

#: What of a representation can be reconstructed.
FIELDS = ("embedding", "logits")


def read_fields(
    representation: Representation, fields: Sequence[str], mask: Tensor
) -> list[Tensor]:
    """Return fields of a representation, each (B, its width) in float32, masked rows zeroed.

    Args:
        representation: where they come from.
        fields: any of ``embedding`` and ``logits``.
        mask: (B,) bool, valid rows.
    """
    return [zero_masked_rows(full_precision(getattr(representation, f)), mask) for f in fields]


class Reconstruction(NamedTuple):
    """What the two sides of the game see of a batch.

    Attributes:
        source: (B, S) the source's fields, with their gradient; masked rows are zero.
        target: (B, T) the target's fields, standardised, without gradient.
        reconstructed: (B, T) the target's reconstruction from the source.
        mask: (B,) bool, valid rows.
    """

    source: Tensor
    target: Tensor
    reconstructed: Tensor
    mask: Tensor


class AdversarialConditionalEntropy(Objective):
    """Adversarial minimisation of H(target | source).

    For any q, H(T|S) <= -E log q(T|S). A reconstructor G(S, noise) -> T' stands for q and is
    trained, together with the source network, against a discriminator D that has to tell the pair
    (t, t) from (t, t'). At the optimum t' = t, where H(T|S) = 0. The form is that of ALICE:
    Towards Understanding Adversarial Learning for Joint Distribution Matching (Li et al., NeurIPS
    2017), with the target in the place of the data.

    The target is detached: pulling it would reward a teacher that is easy to predict. ``loss``
    passes through a discriminator of detached parameters, and ``critic_loss`` sees a detached t',
    so that one backward of their sum gives each side the gradient of its own loss alone, which is
    what DDP needs. Noise comes from torch's global generator.

    Logs the discriminator's ``accuracy`` over real and reconstructed pairs (near 1: the
    reconstruction is far off; near 0.5: it cannot be told apart) and ``critic_loss``.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role that is reconstructed.
        fields: what of the target is reconstructed and from what of the source: ``embedding``,
            ``logits`` or both together.
        noise_dim: width of the reconstructor's standard normal noise; 0 makes it deterministic.
        width: width of the hidden layers of reconstructor and discriminator.
        depth: number of hidden layers of each.
        loss: builds the losses of the two sides: ``LogisticLoss`` or ``HingeLoss``.
        discriminator: builds the discriminator, with or without noise on its inputs and spectral
            norm: ``PairDiscriminator``, or ``ConditionalDiscriminator``, whose optimum is another.
        standardisation: builds what takes the scale out of each of the target's fields:
            ``RowStandardisation``, ``RunningStandardisation``, or ``Standardisation``, which
            leaves it in.
        gradient_penalty: weight of :func:`~cmkd.objectives.discriminators.slope_penalty` on real
            pairs in the critic's loss; 0 leaves it out.

    Raises:
        ValueError: for no, unknown or repeated fields, a target field that cannot be
            standardised, or a number out of range.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        fields: Sequence[str] = ("embedding",),
        noise_dim: int = 16,
        width: int = 256,
        depth: int = 2,
        loss: AdversarialLossFactory = LogisticLoss,
        discriminator: DiscriminatorFactory = PairDiscriminator,
        standardisation: StandardisationFactory = RowStandardisation,
        gradient_penalty: float = 0.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, width=width, depth=depth)
        for argument, value in (("noise_dim", noise_dim), ("gradient_penalty", gradient_penalty)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{type(self).__name__}.{argument} must be 0 or more, got {value}")
        known = not isinstance(fields, str) and set(fields) <= set(FIELDS)
        if not known or not fields or len(set(fields)) < len(fields):
            raise ValueError(
                f"{type(self).__name__}.fields must be a list of {' and/or '.join(FIELDS)}, "
                f"each once, got {fields!r}"
            )
        self.fields = tuple(fields)
        self.noise_dim = noise_dim
        self.gradient_penalty = gradient_penalty
        self.losses = loss()
        self.standardise = nn.ModuleList()
        for field in fields:
            try:
                self.standardise.append(standardisation(getattr(sizes[target], field)))
            except ValueError as error:
                raise ValueError(
                    f"{type(self).__name__}.fields, the {target}'s {field}: {error}"
                ) from error
        given, wanted = (sum(getattr(sizes[role], f) for f in fields) for role in (source, target))
        self.reconstructor = MLP(given + noise_dim, wanted, width, depth)
        self.discriminator = discriminator(given, wanted, width, depth)

    def critic_parameters(self) -> list[nn.Parameter]:
        """Return the discriminator's parameters."""
        return list(self.discriminator.parameters())

    def set_epoch(self, epoch: float, length: float) -> None:
        """Tell the discriminator, whose noise depends on it."""
        self.discriminator.set_epoch(epoch, length)

    def reconstruct(self, representations: Mapping[str, Representation]) -> Reconstruction:
        """Reconstruct the target of one batch from its source and new noise."""
        source, target, mask = self.pair(representations)
        targets = read_fields(target.detach(), self.fields, mask)
        t = torch.cat(
            [scale(x, mask) for scale, x in zip(self.standardise, targets, strict=True)], dim=1
        )
        s = torch.cat(read_fields(source, self.fields, mask), dim=1)
        noise = torch.randn(s.shape[0], self.noise_dim, device=s.device, dtype=s.dtype)
        return Reconstruction(s, t, self.reconstructor(torch.cat([s, noise], dim=1)), mask)

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the losses of reconstructor and discriminator on one batch."""
        s, t, fake, mask = self.reconstruct(representations)
        fooled = call_frozen(self.discriminator, s, t, fake)
        loss = masked_mean(self.losses.reconstruction(fooled), mask)

        real = t.clone().requires_grad_(self.gradient_penalty > 0)
        candidates = torch.cat([real, fake.detach()])
        logits = self.discriminator(s.detach().repeat(2, 1), t.repeat(2, 1), candidates)
        real_logit, fake_logit = logits.chunk(2)
        paid = self.losses.discrimination(real_logit, fake_logit)
        if self.gradient_penalty > 0:
            paid = paid + self.gradient_penalty * slope_penalty(real_logit, real)
        critic_loss = masked_mean(paid, mask)

        correct = ((real_logit > 0).to(loss.dtype) + (fake_logit < 0).to(loss.dtype)) / 2
        logs = {"accuracy": masked_mean(correct, mask), "critic_loss": critic_loss.detach()}
        return ObjectiveOutput(loss, critic_loss, logs)
