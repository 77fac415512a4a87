"""Contrastive representation distillation against a memory bank."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import softplus

from cmkd.batch import Batch
from cmkd.distributed import gather_rows
from cmkd.objectives.base import Objective, ObjectiveOutput, StageContext, masked_mean
from cmkd.objectives.memory_bank import MemoryBank
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import (
    full_precision,
    require_positive,
    unit_vectors,
    zero_masked_rows,
)
from cmkd.objectives.relational import inner_products
from cmkd.representation import Representation, Sizes


def noise_contrastive_loss(scores: Tensor, log_normaliser: Tensor, samples: int) -> Tensor:
    """Tell a sample's own entry from K that were drawn at random.

    With P = exp(score) / Z the probability that an entry belongs to the anchor, and c = K/N the
    expected number of draws of an entry, the loss is
    -log P/(P + c) of the own entry plus the sum over draws of -log c/(P + c).

    Contrastive Representation Distillation, Tian, Krishnan, Isola, ICLR 2020, equation 18; form of
    the authors' code, without the 1e-7 that it adds to the denominators: in logarithms, nothing
    overflows.

    Args:
        scores: (B, 1 + K), cosine over temperature, the own entry's first; -inf strikes a draw out.
        log_normaliser: scalar, log Z.
        samples: number of entries in the bank, N.

    Returns:
        (B,) nats, not negative, in float32 at least.
    """
    log_odds = full_precision(scores) - log_normaliser - math.log((scores.shape[1] - 1) / samples)
    return softplus(-log_odds[:, 0]) + softplus(log_odds[:, 1:]).sum(dim=1)


def log_mean_exp(scores: Tensor) -> Tensor:
    """Return the (B,) log of the mean of exp(scores) (B, M), without those that are -inf."""
    return scores.logsumexp(dim=1) - scores.isfinite().sum(dim=1).clamp(min=1).log()


class CRD(Objective):
    """Contrastive representation distillation, with a memory bank of the training set.

    Contrastive Representation Distillation, Tian, Krishnan, Isola, ICLR 2020; form of the authors'
    code. Both embeddings are mapped to ``dim``, L2-normalised, and meet what the bank holds of the
    other side: the source's row its own sample's entry and K drawn ones of the target, and the
    target's row those of the source. Each is a :func:`noise_contrastive_loss`, and they are
    added. The constant Z of each side is N times the mean of exp(score) in the first batch, and
    stays. Then the entries of the batch move towards its embeddings.

    Negatives are drawn from all other samples, with replacement; the authors' loader of CIFAR
    draws them from other classes. With ``shared_negatives``, which is not the published form,
    every anchor of a batch meets the same K draws, less its own sample's: one product with K
    entries instead of one with the whole bank and a copy of it, so that time and memory no longer
    grow with the training set. A row keeps K (N - 1) / N of the draws on average, and the rows'
    draws are no longer independent of each other.

    The target is detached. Bank and constants are saved, and the same on all ranks.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role it is compared with.
        dim: width of the space in which rows are compared.
        negatives: K, how many are drawn; the authors use 16,384 of 50,000 samples.
        temperature: divides the cosines.
        momentum: what a visited entry of the bank keeps of itself.
        shared_negatives: draw one set for each batch and rank instead of one for each row.

    Raises:
        ValueError: when a width, number or temperature is not above 0, or the momentum is not
            from 0 to below 1.
    """

    log_normaliser: Tensor

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        dim: int = 128,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
        shared_negatives: bool = False,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, dim=dim, negatives=negatives, temperature=temperature)
        if not 0 <= momentum < 1:
            raise ValueError(f"CRD.momentum must be from 0 to below 1, got {momentum}")
        self.source_projection, self.target_projection = (
            MLP(sizes[role].embedding, dim) for role in (source, target)
        )
        self.bank = MemoryBank(dim, momentum)
        self.negatives = negatives
        self.temperature = temperature
        self.shared_negatives = shared_negatives
        # log Z of source and target; NaN until the first batch with a valid row.
        self.register_buffer("log_normaliser", torch.full((2,), math.nan))

    def allocate(self, context: StageContext) -> None:
        """Make a bank of the size of the training set.

        Raises:
            ValueError: when that is unknown, or there is no second sample to draw.
        """
        if context.train_samples < 2:
            raise ValueError(
                "CRD needs the number of training samples, at least 2, and got "
                f"{context.train_samples}; give the datamodule a 'train_samples'"
            )
        self.bank.allocate(context.train_samples, self.log_normaliser)

    def draw(self, index: Tensor, samples: int) -> Tensor:
        """Draw the numbers of the negatives, from torch's generator of the device.

        Args:
            index: (B,) the anchors' sample numbers.
            samples: how many samples there are.

        Returns:
            (B, K), or (1, K) where they are shared.
        """
        if self.shared_negatives:
            return torch.randint(samples, (1, self.negatives), device=index.device)
        # So many places behind the own one, all the way round: any sample but that.
        shift = torch.randint(1, samples, (len(index), self.negatives), device=index.device)
        return (index[:, None] + shift) % samples

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch and update the bank."""
        source, target, mask = self.pair(representations)
        index: Tensor = batch["index"]
        s, t = (
            unit_vectors(projection(zero_masked_rows(embedding, mask)))
            for projection, embedding in (
                (self.source_projection, source.embedding),
                (self.target_projection, target.embedding.detach()),
            )
        )
        bank_s, bank_t = self.bank.entries(index)
        samples = len(bank_s)
        drawn = self.draw(index, samples)
        scores = [self._scores(z, bank, index, drawn) for z, bank in ((s, bank_t), (t, bank_s))]
        log_z = self._normalisers(scores, mask, samples)
        losses = [noise_contrastive_loss(side, log_z[k], samples) for k, side in enumerate(scores)]
        self.bank.update(s, t, index, mask)
        return ObjectiveOutput(masked_mean(losses[0] + losses[1], mask))

    def _scores(self, anchors: Tensor, bank: Tensor, index: Tensor, drawn: Tensor) -> Tensor:
        """Return the (B, 1 + K) scores of the own entry and of the drawn ones."""
        own = (anchors * bank[index].to(anchors)).sum(dim=1, keepdim=True)
        if self.shared_negatives:
            others = inner_products(anchors, bank[drawn[0]].to(anchors))
            others.masked_fill_(drawn == index[:, None], -math.inf)
        else:
            # All products, of which the draws pick theirs: K vectors a row would be far more to
            # move than one product with the bank. A copy of it, since the bank is written before
            # backward reads it.
            others = inner_products(anchors, bank.to(anchors, copy=True)).gather(1, drawn)
        return torch.cat([own, others], dim=1) / self.temperature

    @torch.no_grad()
    def _normalisers(self, scores: list[Tensor], mask: Tensor, samples: int) -> Tensor:
        """Return log Z of both sides, set by the first batch that has a valid row."""
        means = torch.stack([log_mean_exp(side) for side in scores], dim=1)
        means = gather_rows(means.masked_fill(~mask[:, None], -math.inf))
        # Without a valid row this is -inf - (-inf), NaN: still unset.
        estimate = means.logsumexp(dim=0) - means.isfinite().sum(dim=0).log() + math.log(samples)
        self.log_normaliser.copy_(estimate.where(self.log_normaliser.isnan(), self.log_normaliser))
        return self.log_normaliser.to(means).nan_to_num(nan=0.0)
