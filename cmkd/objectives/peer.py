"""Peers that learn from each other where the other one is ahead."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import knowledge_distillation, require_same_classes
from cmkd.objectives.labels import class_labels
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes


def peer_advantage(
    own_loss: Tensor, peer_loss: Tensor, scale: float = 1.0, low: float = 0.01, high: float = 100.0
) -> Tensor:
    """Weight of a peer's lesson, exp(k (own - peer)) between two bounds, without gradient.

    Dual Policy Distillation, Lai, Zha, Li, Hu, IJCAI 2020, arXiv 2006.04061; form of the authors'
    code, with the loss of each sample in the place of a state's negative value.

    Args:
        own_loss: (B,) of the learner.
        peer_loss: (B,) of the peer, on the same samples.
        scale: k.
        low: smallest weight.
        high: largest weight.

    Returns:
        (B,) weights, above 1 where the peer is ahead.
    """
    return (scale * (own_loss - peer_loss).detach()).exp().clamp(low, high)


def hard_peer_advantage(own_loss: Tensor, peer_loss: Tensor) -> Tensor:
    """Weight 1 where the peer's loss is the smaller one, else 0; see :func:`peer_advantage`."""
    return (own_loss > peer_loss).to(own_loss.dtype)


class PeerDistillation(Objective):
    """Knowledge distillation from a peer, each row weighted by the peer's advantage.

    The loss is the mean of :func:`peer_advantage` of the cross-entropies times
    :func:`cmkd.objectives.knowledge_distillation`. The target is detached: two terms, one each
    way, make two students that learn from each other. Needs labels. Logs the mean ``weight``.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: its peer.
        temperature: tau, divides both logits.
        scale: k, how fast the weight grows with the advantage in nats.

    Raises:
        ValueError: when an argument is not above 0 or the numbers of logits differ.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "peer",
        temperature: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, temperature=temperature, scale=scale)
        require_same_classes(self, sizes)
        self.temperature = temperature
        self.scale = scale

    def weights(self, own_loss: Tensor, peer_loss: Tensor) -> Tensor:
        """Return the (B,) weights of the peer's lessons."""
        return peer_advantage(own_loss, peer_loss, self.scale)

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch.

        Raises:
            ValueError: when the batch has no labels, or such as are no classes.
        """
        source, target, mask = self.pair(representations)
        label, mask = class_labels(self, batch, mask)
        s = zero_masked_rows(full_precision(source.logits), mask)
        t = zero_masked_rows(full_precision(target.logits.detach()), mask)
        own, peer = (cross_entropy(z, label, reduction="none") for z in (s.detach(), t))
        weight = self.weights(own, peer)
        loss = masked_mean(weight * knowledge_distillation(s, t, self.temperature), mask)
        return ObjectiveOutput(loss, logs={"weight": masked_mean(weight, mask)})


class HardPeerDistillation(PeerDistillation):
    """Knowledge distillation from a peer on the rows where it is ahead, and on no others.

    See :func:`hard_peer_advantage`; otherwise as :class:`PeerDistillation`.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: its peer.
        temperature: tau, divides both logits.

    Raises:
        ValueError: when the temperature is not above 0 or the numbers of logits differ.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "peer",
        temperature: float = 1.0,
    ) -> None:
        super().__init__(sizes, source, target, temperature)

    def weights(self, own_loss: Tensor, peer_loss: Tensor) -> Tensor:
        """Return the (B,) weights of the peer's lessons, 0 or 1."""
        return hard_peer_advantage(own_loss, peer_loss)
