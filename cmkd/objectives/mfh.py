"""The channels of the teacher that both modalities share: a diagnosis, and distillation of them."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from cmkd.batch import Batch
from cmkd.distributed import mean_over_ranks
from cmkd.objectives.base import Objective, ObjectiveOutput, StageContext, masked_mean
from cmkd.objectives.categorical import knowledge_distillation, require_same_classes
from cmkd.objectives.numerics import (
    full_precision,
    require_positive,
    without_autocast,
    zero_masked_rows,
)
from cmkd.representation import Representation, Sizes


@torch.no_grad()
def permutation_saliency(
    source: Tensor,
    target: Tensor,
    head: Callable[[Tensor], Tensor] = nn.Identity(),  # noqa: B008 - it has no state
    permutations: int = 10,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Measure how much farther a student is from its teacher when a teacher's channel is shuffled.

    The distance is the mean squared difference of the student's output and ``head`` of the
    teacher's embedding; the saliency of a channel is how much it grows when that channel's values
    are permuted over the samples, a mean over random permutations. Where it is large the channel
    holds what both modalities have; where it is 0 or less, what the teacher alone has.

    The Modality Focusing Hypothesis: Towards Understanding Crossmodal Knowledge Distillation, Xue,
    Gao, Ren, Zhao, ICLR 2023; form of the authors' code, which scales the result to 0 to 1. They
    train both networks with the distance as a further loss before they measure.

    Args:
        source: (N, C) the student's outputs for a data set, as ``head`` gives them.
        target: (N, D) the teacher's embeddings.
        head: the teacher's layers behind the embedding, in eval mode; none where ``source`` are
            embeddings of the same width.
        permutations: how many are averaged.
        generator: of the permutations, on the CPU; None takes torch's.

    Returns:
        (D,) a saliency for each channel.

    Raises:
        ValueError: for fewer than one permutation, or outputs of different shapes.
    """
    if permutations < 1:
        raise ValueError(f"permutation_saliency needs at least 1 permutation, got {permutations}")
    outputs = head(target)
    if outputs.shape != source.shape:
        raise ValueError(
            f"permutation_saliency compares outputs of one shape, got {tuple(source.shape)} of the "
            f"student and {tuple(outputs.shape)} of the teacher; give the head that leads to them"
        )
    distance = (outputs - source).square().mean()
    saliency = target.new_zeros(target.shape[1])
    for _ in range(permutations):
        order = torch.randperm(len(target), generator=generator).to(target.device)
        for channel in range(target.shape[1]):
            shuffled = target.clone()
            shuffled[:, channel] = target[order, channel]
            saliency[channel] += (head(shuffled) - source).square().mean() - distance
    return saliency / permutations


@torch.no_grad()
def linear_saliency(
    residual: Tensor, target: Tensor, weight: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Compute the mean of :func:`permutation_saliency` over all permutations, for a linear head.

    With w the weights of a channel x and r the difference of the outputs it is
    (2 |w|^2 var x - 2 cov(r w, x)) / C: the squares' mean over permutations needs no more.

    Args:
        residual: (B, C) the teacher's outputs less the student's.
        target: (B, D) the teacher's embeddings.
        weight: (C, D) of the head.
        mask: (B,) bool, valid rows of this rank; None means all. Ranks count together.

    Returns:
        (D,) the same on all ranks; 0 where there is no valid row.
    """
    if mask is None:
        mask = torch.ones(len(target), dtype=torch.bool, device=target.device)
    r, x = (zero_masked_rows(full_precision(z), mask) for z in (residual, target))
    weight = weight.to(x)
    with without_autocast(x):
        along = r @ weight
    count = mean_over_ranks(mask.sum().to(x.dtype))
    count = count.where(count > 0, 1)
    means = mean_over_ranks(torch.stack([along.sum(dim=0), x.sum(dim=0)])) / count
    # In two passes: the difference of two large sums would lose the digits that matter.
    along, x = (zero_masked_rows(z - m, mask) for z, m in zip((along, x), means, strict=True))
    moments = torch.stack([x.square().sum(dim=0), (along * x).sum(dim=0)])
    variance, covariance = (mean_over_ranks(moments) / count).unbind()
    gain: Tensor = weight.square().sum(dim=0) * variance - covariance
    return 2 * gain / len(weight)


class MFH(Objective):
    """Knowledge distillation from those channels of the teacher that the student can follow.

    The Modality Focusing Hypothesis: Towards Understanding Crossmodal Knowledge Distillation, Xue,
    Gao, Ren, Zhao, ICLR 2023. All but the ``keep`` most salient channels of the target's embedding
    are set to 0, the target's own head predicts from the rest, and the source is distilled from
    that prediction. The authors measure the saliency once, on two networks trained beside each
    other, and replace a channel by 0 or by its mean over the batch. Here it is
    :func:`linear_saliency` of each batch with the source as it is, averaged with a decay over the
    stage; the average is saved and the same on all ranks. The target is detached.

    Logs ``unchanged``, the share of samples whose class the masked target still predicts.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose channels are masked; its network has a linear ``head``.
        keep: share of the channels that are kept, at least one.
        decay: what the average keeps of itself at each step.
        temperature: tau of :func:`cmkd.objectives.categorical.knowledge_distillation`.

    Raises:
        ValueError: when the share is not above 0 and at most 1, the decay not from 0 to below 1,
            the temperature not above 0, or the numbers of logits differ.
    """

    saliency: Tensor
    weight: Tensor

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        keep: float = 0.25,
        decay: float = 0.99,
        temperature: float = 4.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, keep=keep, temperature=temperature)
        require_same_classes(self, sizes)
        if keep > 1:
            raise ValueError(f"MFH.keep is a share of the channels, at most 1, got {keep}")
        if not 0 <= decay < 1:
            raise ValueError(f"MFH.decay must be from 0 to below 1, got {decay}")
        self.decay = decay
        self.temperature = temperature
        channels = sizes[target].embedding
        self.kept = max(1, round(keep * channels))
        self.register_buffer("saliency", torch.zeros(channels))
        # The sum of the weights that the average gave so far.
        self.register_buffer("weight", torch.zeros(()))
        # In a tuple, which registers nothing: the head belongs to its network, and a checkpoint
        # holds it there.
        self._head: tuple[nn.Linear, ...] = ()

    def allocate(self, context: StageContext) -> None:
        """Take note of the target's head, here rather than later since a resume does this again.

        Raises:
            ValueError: when it is not a single linear layer, but for dropout.
        """
        head = getattr(context.networks[self.target], "head", nn.Identity())
        layers = [m for m in head.modules() if not isinstance(m, nn.Sequential | nn.Dropout)]
        if len(layers) != 1 or not isinstance(layers[0], nn.Linear):
            raise ValueError(
                f"MFH reads the {self.target}'s head, which has to be one linear layer, got {head}"
            )
        self._head = (layers[0],)

    def average(self) -> Tensor:
        """Return the (D,) saliency of the channels as averaged so far."""
        return self.saliency / self.weight.clamp(min=1e-12)

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch, after its saliency has entered the average.

        Raises:
            RuntimeError: before ``allocate``.
        """
        if not self._head:
            raise RuntimeError("MFH does not know the target's head: call allocate(context) first")
        source, target, mask = self.pair(representations)
        logits = zero_masked_rows(source.logits, mask)
        embedding = full_precision(zero_masked_rows(target.embedding.detach(), mask))
        weight, bias = (
            None if p is None else p.detach().to(embedding)
            for p in (self._head[0].weight, self._head[0].bias)
        )
        with without_autocast(embedding):
            complete = linear(embedding, weight, bias)
            self._note(complete - full_precision(logits.detach()), embedding, weight, mask)
            salient = torch.zeros_like(embedding[0]).index_fill(
                0, self.average().topk(self.kept).indices, 1
            )
            masked = linear(embedding * salient, weight, bias)
        losses = knowledge_distillation(logits, masked, self.temperature)
        unchanged = (masked.argmax(dim=1) == complete.argmax(dim=1)).to(losses.dtype)
        return ObjectiveOutput(
            masked_mean(losses, mask), logs={"unchanged": masked_mean(unchanged, mask)}
        )

    @torch.no_grad()
    def _note(self, residual: Tensor, embedding: Tensor, weight: Tensor, mask: Tensor) -> None:
        """Let a batch's saliency enter the average; one without a valid row leaves it."""
        share = (mean_over_ranks(mask.sum().float()) > 0) * (1 - self.decay)
        new = linear_saliency(residual, embedding, weight, mask).to(self.saliency)
        self.saliency.lerp_(new, share.to(new))
        self.weight.lerp_(torch.ones_like(self.weight), share.to(self.weight))
