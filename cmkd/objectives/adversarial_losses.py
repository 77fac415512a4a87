"""The two losses of an adversarial game, for the reconstructor and for the discriminator."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from torch.nn.functional import relu, softplus

from cmkd.objectives.numerics import full_precision


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


def hinge_discrimination_loss(real_logit: Tensor, fake_logit: Tensor) -> Tensor:
    """Hinge loss of a discriminator, max(0, 1 - D(t, t)) + max(0, 1 + D(t, t')).

    Geometric GAN, Lim and Ye, arXiv 1705.02894, 2017: pairs beyond the margin pull no more, so
    that the discriminator does not grow ever surer of what it can tell already.

    Args:
        real_logit: (B,) the discriminator's value of the pair (t, t).
        fake_logit: (B,) its value of the pair (t, t').

    Returns:
        (B,); 2 for a discriminator that knows nothing.
    """
    return relu(1 - full_precision(real_logit)) + relu(1 + full_precision(fake_logit))


class AdversarialLoss:
    """The losses of both sides of the game; base of the others."""

    def reconstruction(self, fake_logit: Tensor) -> Tensor:
        """Return what the reconstructor pays for (B,) logits of its pairs, (B,)."""
        raise NotImplementedError

    def discrimination(self, real_logit: Tensor, fake_logit: Tensor) -> Tensor:
        """Return what the discriminator pays for (B,) logits of both kinds of pairs, (B,)."""
        raise NotImplementedError


class LogisticLoss(AdversarialLoss):
    """:func:`reconstruction_loss` against :func:`discrimination_loss`."""

    def reconstruction(self, fake_logit: Tensor) -> Tensor:
        """Return -log sigmoid D(t, t')."""
        return reconstruction_loss(fake_logit)

    def discrimination(self, real_logit: Tensor, fake_logit: Tensor) -> Tensor:
        """Return -log sigmoid D(t, t) - log(1 - sigmoid D(t, t'))."""
        return discrimination_loss(real_logit, fake_logit)


class HingeLoss(AdversarialLoss):
    """-D(t, t') against :func:`hinge_discrimination_loss`."""

    def reconstruction(self, fake_logit: Tensor) -> Tensor:
        """Return -D(t, t')."""
        return -full_precision(fake_logit)

    def discrimination(self, real_logit: Tensor, fake_logit: Tensor) -> Tensor:
        """Return max(0, 1 - D(t, t)) + max(0, 1 + D(t, t'))."""
        return hinge_discrimination_loss(real_logit, fake_logit)


class WassersteinLoss(AdversarialLoss):
    """-D(t, t') against D(t, t') - D(t, t), for a discriminator whose slope is bounded.

    Wasserstein Generative Adversarial Networks, Arjovsky, Chintala, Bottou, ICML 2017. Among the
    pair discriminators of slope 1, the best is -|t' - t|: the reconstructor is drawn straight to
    the target, however far it is off, and at worst ends at the target's conditional median. A
    discriminator of any slope would grow without end: bound it by ``spectral_norm``.
    """

    def reconstruction(self, fake_logit: Tensor) -> Tensor:
        """Return -D(t, t')."""
        return -full_precision(fake_logit)

    def discrimination(self, real_logit: Tensor, fake_logit: Tensor) -> Tensor:
        """Return D(t, t') - D(t, t)."""
        return full_precision(fake_logit) - full_precision(real_logit)


#: Builds the losses; what ``class_path`` gives in YAML.
AdversarialLossFactory: TypeAlias = Callable[[], AdversarialLoss]
