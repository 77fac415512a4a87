"""Online distillation both ways, through proxies, of what student and teacher agree on."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import knowledge_distillation, require_same_classes
from cmkd.objectives.labels import class_labels
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import full_precision, zero_masked_rows
from cmkd.representation import Representation, Sizes


def kendall_tau(x: Tensor, y: Tensor) -> Tensor:
    """Kendall's rank correlation of each row, tau-b.

    Concordant less discordant pairs, over the geometric mean of the pairs that x and y do not tie.
    It needs memory for B x C x C small integers. A New Measure of Rank Correlation, Kendall,
    Biometrika 1938.

    Args:
        x: (B, C).
        y: (B, C).

    Returns:
        (B,) from -1 to 1 in float32; 0 where x or y does not vary. Without gradient.
    """
    orders = []
    for z in (x.detach(), y.detach()):
        above = (z[:, :, None] > z[:, None]).to(torch.int8)
        orders.append(above - above.mT)
    concordance = (orders[0] * orders[1]).sum(dim=(1, 2)).float()
    untied = [order.ne(0).sum(dim=(1, 2)).float() for order in orders]
    return concordance / (untied[0] * untied[1]).sqrt().clamp(min=1)


def non_target_divergence(source_logits: Tensor, target_logits: Tensor, label: Tensor) -> Tensor:
    """KL divergence of predictions whose true class has been given the logit 0.

    C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation, Huo, Xu, Guo, Wang,
    Guo, CVPR 2024; form of the authors' code.

    Args:
        source_logits: (B, C), of q.
        target_logits: (B, C), of p.
        label: (B,) int64, the true classes.

    Returns:
        (B,) nats, KL(p || q), not negative, in float32 at least.
    """
    true = one_hot(label, source_logits.shape[1]).bool()
    q, p = (full_precision(z).masked_fill(true, 0) for z in (source_logits, target_logits))
    return knowledge_distillation(q, p, temperature=1.0)


class C2KD(Objective):
    """Customised cross-modal distillation, online and both ways.

    C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation, Huo, Xu, Guo, Wang,
    Guo, CVPR 2024; form of the authors' code, with a perceptron without BatchNorm as proxy, so
    that masked rows reach no other. Each of the two networks has a proxy that predicts the classes
    from its embedding. A network and its proxy follow each other's predictions (divergence, each
    way, the one that is followed detached). The two proxies follow each other's by
    :func:`non_target_divergence`, but only on samples on which they rank the classes alike, by a
    :func:`kendall_tau` above ``threshold``; the sum over those is divided by all samples.

    Both networks are pulled, the teacher too: train them together, ``trains: [student, teacher]``
    in the student's stage. A network without gradient stays, and its proxy learns from it.
    Needs labels.

    Logs ``kendall``, the mean correlation of the proxies, and ``agreement``, the share of samples
    above the threshold.

    Args:
        sizes: the networks' widths by role.
        source: one of the two roles.
        target: the other one.
        threshold: Kendall's correlation above which the proxies learn from each other.

    Raises:
        ValueError: when the numbers of logits differ or there are fewer than two, or the threshold
            is not from -1 to below 1.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        threshold: float = 0.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_same_classes(self, sizes)
        if not -1 <= threshold < 1:
            raise ValueError(f"C2KD.threshold must be from -1 to below 1, got {threshold}")
        self.threshold = threshold
        self.source_proxy, self.target_proxy = (
            MLP(sizes[role].embedding, sizes[role].logits, sizes[role].embedding, depth=1)
            for role in (source, target)
        )

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch.

        Raises:
            ValueError: when the batch has no labels, or such as are no classes.
        """
        source, target, mask = self.pair(representations)
        label, mask = class_labels(self, batch, mask)
        s, t = (zero_masked_rows(r.logits, mask) for r in (source, target))
        s_proxy, t_proxy = (
            proxy(zero_masked_rows(r.embedding, mask))
            for proxy, r in ((self.source_proxy, source), (self.target_proxy, target))
        )
        within = sum(
            knowledge_distillation(network, proxy.detach(), temperature=1.0)
            + knowledge_distillation(proxy, network.detach(), temperature=1.0)
            for network, proxy in ((s, s_proxy), (t, t_proxy))
        )
        kendall = kendall_tau(s_proxy, t_proxy)
        chosen = kendall > self.threshold
        between = non_target_divergence(s_proxy, t_proxy.detach(), label)
        between = between + non_target_divergence(t_proxy, s_proxy.detach(), label)
        return ObjectiveOutput(
            masked_mean(within + between * chosen, mask),
            logs={
                "kendall": masked_mean(kendall, mask),
                "agreement": masked_mean(chosen.float(), mask),
            },
        )
