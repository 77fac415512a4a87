"""The library's objectives, trained on correlated Gaussians and evaluated on fresh samples.

The samples are the embeddings: there is no network in front of an objective, only its own layers
are trained, by Adam with a one-cycle learning rate. No setting is chosen on the samples on which a
bound is reported: those are drawn after the training.

**InfoNCE**: log N - L, in expectation at most I(T;S) for any heads, and never above log N. The
values are what the objective itself logs. In the batch, one hidden layer in each head takes the
place of the networks; against a queue the heads are linear. Hidden layers can learn to tell new
entries of a queue from older ones instead of pairs from strangers, and then know nothing of
fresh samples.

**CRD**: Contrastive Representation Distillation, Tian, Krishnan, Isola, ICLR 2020, equations 6 to
9, give I(T;S) >= log K + E log h*(own) >= log K - L for K negatives and L the loss of one side,
where h* is the posterior that a pair is an own one. The critic h of the objective is not h*, so

* log K - L is a lower bound for any h, since L is smallest at h*, and never above log K. It is
  loose: the draws' part of L tends to 1 at h* for many draws, so up to 1 nat is missing;
* log K + E log h(own), the first step of the derivation, is a bound at h* only. Any h that says
  "own" more often lifts it, above I(T;S) too, up to log K: an estimate, not a bound.

Both are means over the two sides. The objective's negatives come from a bank of numbered
samples, so it is trained on a set that it visits again and again.

**Gaussian**: the objective's ``nats``, in expectation at least H(T|S), by its own layers.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import TypeAlias

import torch
from gaussian_pair import GaussianPair, representations
from torch import Tensor

from cmkd.batch import Batch
from cmkd.objectives import CRD, GaussianConditionalEntropy, InfoNCE, Objective
from cmkd.objectives.base import StageContext
from cmkd.objectives.crd import noise_contrastive_loss
from cmkd.objectives.numerics import unit_vectors
from cmkd.representation import Representation

INFORMATION, ENTROPY = "I(T;S)", "H(T|S)"
NEGATIVES = 512
BANK = 4096

Step: TypeAlias = tuple[dict[str, Representation], Batch]


@dataclass(frozen=True)
class Bound:
    """One bound's value on fresh samples.

    Attributes:
        name: whose.
        quantity: what it bounds, ``INFORMATION`` from below or ``ENTROPY`` from above.
        value: in nats.
        ceiling: what it cannot exceed, in nats; None where there is no such thing.
    """

    name: str
    quantity: str
    value: float
    ceiling: float | None = None


def fresh(pair: GaussianPair, rows: int) -> Iterator[Step]:
    """Yield batches of samples that were never seen before."""
    first = 0
    while True:
        yield representations(*pair.draw(rows)), {"index": torch.arange(first, first + rows)}
        first += rows


def revisited(pair: GaussianPair, samples: int, rows: int) -> Iterator[Step]:
    """Yield batches of one numbered training set, in another order each epoch."""
    source, target = pair.draw(samples)
    while True:
        for index in torch.split(torch.randperm(samples), rows):
            yield representations(source[index], target[index]), {"index": index}


def train(objective: Objective, batches: Iterator[Step], steps: int, rate: float) -> None:
    """Train an objective's own layers with Adam, the learning rate up to ``rate`` and down to 0."""
    optimizer = torch.optim.Adam(objective.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        loss = objective(*next(batches)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def logged(objective: Objective, batches: Iterator[Step], count: int, name: str) -> float:
    """Return the mean of what an objective logs under a name over so many batches."""
    return fmean(float(objective(*next(batches)).logs[name]) for _ in range(count))


def info_nce(pair: GaussianPair, rows: int, rate: float, steps: int) -> list[Bound]:
    """Train and evaluate InfoNCE within batches of ``rows``."""
    objective = InfoNCE(pair.sizes(), dim=64, learn_temperature=True, projection_hidden=128)
    batches = fresh(pair, rows)
    train(objective, batches, steps, rate)
    value = logged(objective, batches, 16_384 // rows, "bound")
    return [Bound(f"InfoNCE, N = {rows}", INFORMATION, value, math.log(rows))]


def queued_info_nce(pair: GaussianPair, rows: int, queue: int, steps: int) -> list[Bound]:
    """Train and evaluate InfoNCE with batches of ``rows`` against a queue."""
    objective = InfoNCE(pair.sizes(), dim=64, learn_temperature=True, queue_size=queue)
    batches = fresh(pair, rows)
    train(objective, batches, steps, 0.005)
    # Until the entries are all of the trained heads.
    logged(objective, batches, math.ceil(queue / rows), "bound")
    value = logged(objective, batches, 16_384 // rows, "bound")
    return [Bound(f"InfoNCE, N = {rows} + {queue}", INFORMATION, value, math.log(rows + queue))]


def crd(pair: GaussianPair, steps: int) -> list[Bound]:
    """Train CRD and evaluate what its loss and its critic say of the mutual information."""
    objective = CRD(pair.sizes(), dim=64, negatives=NEGATIVES, shared_negatives=True)
    objective.allocate(StageContext(networks={}, train_samples=BANK, num_classes=1))
    train(objective, revisited(pair, BANK, 64), steps, 0.005)
    bound, estimate = crd_bounds(objective, *pair.draw(8192))
    ceiling = math.log(NEGATIVES)
    return [
        Bound("CRD, log K - L", INFORMATION, bound, ceiling),
        Bound("CRD, log K + E log h", INFORMATION, estimate, ceiling),
    ]


@torch.no_grad()
def crd_bounds(objective: CRD, source: Tensor, target: Tensor) -> tuple[float, float]:
    """Return log K - L and log K + E log h(own) in nats, each the mean over the two sides.

    Args:
        objective: trained, its bank allocated.
        source: (M, d) samples of S, more than K of them.
        target: (M, d) their partners.

    Raises:
        ValueError: when there are not more samples than negatives.
    """
    rows, negatives = len(source), objective.negatives
    if rows <= negatives:
        raise ValueError(
            f"{negatives} negatives of each sample need more than {negatives} samples, got {rows}"
        )
    assert objective.bank.source is not None  # noqa: S101 - for the type checker
    samples = len(objective.bank.source)
    s = unit_vectors(objective.source_projection(source))
    t = unit_vectors(objective.target_projection(target))
    # The own partner, then those of the K samples behind it.
    met = (torch.arange(rows)[:, None] + torch.arange(1 + negatives)) % rows
    bounds, estimates = [], []
    for log_z, anchors, others in zip(objective.log_normaliser, (s, t), (t, s), strict=True):
        scores = (anchors @ others.T).gather(1, met) / objective.temperature
        bounds.append(-noise_contrastive_loss(scores, log_z, samples).mean())
        # Struck out draws leave -log h(own).
        scores[:, 1:] = -math.inf
        estimates.append(-noise_contrastive_loss(scores, log_z, samples).mean())
    return (
        math.log(negatives) + float(sum(bounds)) / 2,
        math.log(negatives) + float(sum(estimates)) / 2,
    )


def gaussian(pair: GaussianPair, steps: int) -> list[Bound]:
    """Train and evaluate the Gaussian bound on the conditional entropy."""
    objective = GaussianConditionalEntropy(pair.sizes())
    train(objective, fresh(pair, 256), steps, 0.005)
    value = logged(objective, fresh(pair, 8192), 16, "nats")
    return [Bound("Gaussian", ENTROPY, value)]


def bounds(pair: GaussianPair, seed: int, effort: float = 1.0) -> list[Bound]:
    """Train and evaluate every bound once.

    Args:
        pair: the distribution of S and T.
        seed: of initial weights and samples; each bound starts from it anew.
        effort: what the numbers of training steps are multiplied with.
    """
    measures: list[tuple[Callable[[int], list[Bound]], int]] = [
        (lambda steps: info_nce(pair, 64, 0.005, steps), 400),
        (lambda steps: info_nce(pair, 512, 0.01, steps), 120),
        (lambda steps: queued_info_nce(pair, 64, 960, steps), 300),
        (lambda steps: crd(pair, steps), 400),
        (lambda steps: gaussian(pair, steps), 400),
    ]
    found = []
    for measure, steps in measures:
        torch.manual_seed(seed)
        found += measure(round(effort * steps))
    return found
