"""Conditional entropy of the teacher given the student, minimised by an adversary."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import layer_norm, softplus

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes

#: What of a representation can be reconstructed.
FIELDS = ("embedding", "logits")


def reconstruction_loss(fake_logit: Tensor) -> Tensor:
    """Non-saturating loss of a reconstructor, -log sigmoid D(t, t').

    Generative Adversarial Nets, Goodfellow et al., NeurIPS 2014: unlike log(1 - sigmoid D) it has
    a gradient where the discriminator is sure.

    Args:
        fake_logit: (B,) the discriminator's logit of the pair (t, t').

    Returns:
        (B,) nats.
    """
    return softplus(-full_precision(fake_logit))


def discrimination_loss(real_logit: Tensor, fake_logit: Tensor) -> Tensor:
    """Loss of a pair discriminator, -log sigmoid D(t, t) - log(1 - sigmoid D(t, t')).

    Args:
        real_logit: (B,) the discriminator's logit of the pair (t, t).
        fake_logit: (B,) its logit of the pair (t, t').

    Returns:
        (B,) nats; 2 log 2 for a discriminator that knows nothing.
    """
    return softplus(-full_precision(real_logit)) + softplus(full_precision(fake_logit))


def join_fields(
    representation: Representation, fields: Sequence[str], mask: Tensor, *, standardise: bool
) -> Tensor:
    """Concatenate fields of a representation, masked rows zeroed, to (B, sum of widths) float32.

    Args:
        representation: where they come from.
        fields: any of ``embedding`` and ``logits``.
        mask: (B,) bool, valid rows.
        standardise: bring every field of every row to mean 0 and variance 1. Neither scale then
            matters, between fields or to the discriminator, and since each row is treated by
            itself, masked rows, ranks and a batch of one need no care. What is lost is each row's
            mean and scale: of logits their confidence, of only two logits all but their order.
    """
    values = [zero_masked_rows(full_precision(getattr(representation, f)), mask) for f in fields]
    if standardise:
        values = [layer_norm(value, value.shape[1:]) for value in values]
    return torch.cat(values, dim=1)


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

    Raises:
        ValueError: for no, unknown or repeated fields, a target field of a single number (which
            has nothing left once it is standardised), or a size out of range.
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
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, width=width, depth=depth)
        if noise_dim < 0:
            raise ValueError(f"{type(self).__name__}.noise_dim must be 0 or more, got {noise_dim}")
        known = not isinstance(fields, str) and set(fields) <= set(FIELDS)
        if not known or not fields or len(set(fields)) < len(fields):
            raise ValueError(
                f"{type(self).__name__}.fields must be a list of {' and/or '.join(FIELDS)}, "
                f"each once, got {fields!r}"
            )
        for field in fields:
            if getattr(sizes[target], field) < 2:
                raise ValueError(
                    f"{type(self).__name__}.fields: the {target}'s {field} is a single number, "
                    "which standardising turns into 0; leave it out"
                )
        self.fields = tuple(fields)
        self.noise_dim = noise_dim
        given, wanted = (sum(getattr(sizes[role], f) for f in fields) for role in (source, target))
        self.reconstructor = MLP(given + noise_dim, wanted, width, depth)
        self.discriminator = MLP(2 * wanted, 1, width, depth)

    def critic_parameters(self) -> list[nn.Parameter]:
        """Return the discriminator's parameters."""
        return list(self.discriminator.parameters())

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the losses of reconstructor and discriminator on one batch."""
        source, target, mask = self.pair(representations)
        t = join_fields(target.detach(), self.fields, mask, standardise=True)
        s = join_fields(source, self.fields, mask, standardise=False)
        noise = torch.randn(s.shape[0], self.noise_dim, device=s.device, dtype=s.dtype)
        fake = self.reconstructor(torch.cat([s, noise], dim=1))

        frozen = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        fooled = functional_call(self.discriminator, frozen, (torch.cat([t, fake], dim=1),))
        loss = masked_mean(reconstruction_loss(fooled.squeeze(1)), mask)

        pairs = torch.cat([torch.cat([t, t], dim=1), torch.cat([t, fake.detach()], dim=1)])
        real_logit, fake_logit = self.discriminator(pairs).squeeze(1).chunk(2)
        critic_loss = masked_mean(discrimination_loss(real_logit, fake_logit), mask)

        correct = ((real_logit > 0).to(loss.dtype) + (fake_logit < 0).to(loss.dtype)) / 2
        logs = {"accuracy": masked_mean(correct, mask), "critic_loss": critic_loss.detach()}
        return ObjectiveOutput(loss, critic_loss, logs)
