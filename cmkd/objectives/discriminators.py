"""Discriminators: which of two is the target, and which its reconstruction."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm as normalise_spectrum

from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import without_autocast


class Discriminator(nn.Module):
    """Judges a candidate, which is the target t or its reconstruction t', by what is beside it.

    Base of the discriminators, which differ in what that is.

    Args:
        beside: width of what is beside the candidate.
        target: width of the candidate.
        width: width of the hidden layers.
        depth: number of hidden layers.
        noise: standard deviation of the normal noise on all inputs, at the stage's beginning; it
            falls linearly to 0 at the stage's end, and stays where the stage has no end. It lets
            the distributions of t and t' overlap where they would not, so that the discriminator
            cannot be sure of every pair. Amortised MAP Inference for Image Super-resolution,
            Sønderby et al., ICLR 2017.
        spectral_norm: divide each layer's weight by its largest singular value, estimated by one
            step of the power method each time the critic learns. It bounds the discriminator's
            slope. Spectral Normalization for Generative Adversarial Networks, Miyato et al.,
            ICLR 2018.

    Raises:
        ValueError: for a negative or infinite noise.
    """

    def __init__(
        self,
        beside: int,
        target: int,
        width: int,
        depth: int,
        noise: float = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= noise < math.inf:
            raise ValueError(f"{type(self).__name__}.noise must be 0 or more, got {noise}")
        self.noise = noise
        self.current_noise = noise
        self.spectral_norm = spectral_norm
        self.mlp = MLP(beside + target, 1, width, depth)
        if spectral_norm:
            for layer in self.mlp.layers:
                if isinstance(layer, nn.Linear):
                    normalise_spectrum(layer)

    def set_epoch(self, epoch: float, length: float) -> None:
        """Take note of the position in the stage, on which the noise depends.

        Args:
            epoch: how many epochs of the stage are done, parts of one included.
            length: how many it has; infinite where the trainer has no end.
        """
        self.current_noise = self.noise * max(0.0, 1 - epoch / length)

    def beside(self, source: Tensor, target: Tensor) -> Tensor:
        """Return what stands beside a candidate, without gradient.

        Args:
            source: (B, S) what the reconstruction is made from.
            target: (B, T) what it is a reconstruction of.
        """
        raise NotImplementedError

    def forward(self, source: Tensor, target: Tensor, candidate: Tensor) -> Tensor:
        """Return (B,) logits, above 0 for what seems to be the target.

        Args:
            source: (B, S).
            target: (B, T).
            candidate: (B, T), the target or its reconstruction.
        """
        x = torch.cat([self.beside(source, target), candidate], dim=1)
        if self.current_noise > 0:
            x = x + self.current_noise * torch.randn_like(x)
        if not self.spectral_norm:
            logit: Tensor = self.mlp(x)
            return logit.squeeze(1)
        # The power method has no half precision step.
        with without_autocast(x):
            logit = self.mlp(x)
        return logit.squeeze(1)


class PairDiscriminator(Discriminator):
    """D(t, t) against D(t, t'): the target itself is beside the candidate.

    Only t' = t cannot be told apart, so that the reconstruction has to be the target, whatever
    noise it is made with; that of ALICE (Li et al., NeurIPS 2017) for the cycle of one variable.

    Args:
        source: width of what the reconstruction is made from.
        target: width of the target.
        width: width of the hidden layers.
        depth: number of hidden layers.
        noise: see :class:`Discriminator`.
        spectral_norm: see :class:`Discriminator`.
    """

    def __init__(
        self,
        source: int,  # noqa: ARG002 - every discriminator is built alike
        target: int,
        width: int = 256,
        depth: int = 2,
        noise: float = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__(target, target, width, depth, noise, spectral_norm)

    def beside(self, source: Tensor, target: Tensor) -> Tensor:  # noqa: ARG002 - see base
        """Return the target."""
        return target.detach()


class ConditionalDiscriminator(Discriminator):
    """D(s, t) against D(s, t'): what the reconstruction was made from is beside the candidate.

    As in Conditional Generative Adversarial Nets (Mirza and Osindero, arXiv 1411.1784, 2014). It
    cannot tell t' from t as soon as t' is *distributed* as the target given s. With noise in the
    reconstructor that can be reached for any s: the source is then pulled only on the way there.
    Without noise t' has one value for each s, and only t' = t is left. The source gets no gradient
    through the condition, which is no part of the reconstruction.

    Args:
        source: width of what the reconstruction is made from.
        target: width of the target.
        width: width of the hidden layers.
        depth: number of hidden layers.
        noise: see :class:`Discriminator`.
        spectral_norm: see :class:`Discriminator`.
    """

    def __init__(
        self,
        source: int,
        target: int,
        width: int = 256,
        depth: int = 2,
        noise: float = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__(source, target, width, depth, noise, spectral_norm)

    def beside(self, source: Tensor, target: Tensor) -> Tensor:  # noqa: ARG002 - see base
        """Return what the reconstruction was made from."""
        return source.detach()


#: Builds a discriminator from the widths of source, target and hidden layers, and their number.
DiscriminatorFactory: TypeAlias = Callable[[int, int, int, int], Discriminator]


def call_frozen(module: nn.Module, *inputs: Tensor) -> Any:
    """Return what a module gives for inputs, with a gradient on them but not on its parameters.

    Its buffers stay as they are, too: a spectral norm's power method begins at the same vectors in
    this call as in the one that trains the module, finds the same singular value, and moves on
    once a step.
    """
    state = {name: parameter.detach() for name, parameter in module.named_parameters()}
    state |= {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, state, inputs)


def slope_penalty(logit: Tensor, candidate: Tensor) -> Tensor:
    """Squared length of a discriminator's gradient on its candidates, |dD/dt|^2.

    On real candidates this is R1 of Which Training Methods for GANs do actually Converge?
    (Mescheder, Geiger, Nowozin, ICML 2018): it keeps the discriminator flat around the target,
    where the game has to come to rest.

    Args:
        logit: (B,) of the candidates, each row's from its own candidate.
        candidate: (B, T), requires grad.

    Returns:
        (B,), itself with a gradient.
    """
    (slope,) = torch.autograd.grad(logit.sum(), candidate, create_graph=True)
    return slope.square().sum(dim=1)
