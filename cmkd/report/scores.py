"""A run's metrics with intervals over the samples of the split."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cmkd.compare.statistics import CONFIDENCE
from cmkd.metrics.evaluation import Rows
from cmkd.metrics.retrieval import QueryRanks, rank_queries
from cmkd.report.evaluation import Outputs
from cmkd.tasks import Retrieval
from cmkd.tasks.base import Task

_RESAMPLINGS = 1000
# Of the normal distribution, for Wilson's interval.
_Z = 1.959964


@dataclass(frozen=True)
class Score:
    """A metric with the ends of its interval."""

    value: float
    low: float
    high: float


def scores(
    task: Task, queries: Outputs, gallery: Outputs | None = None, seed: int = 0
) -> dict[str, Score]:
    """Return the task's metrics of one network with percentile bootstrap intervals.

    Samples are drawn with replacement a thousand times (Efron, "Bootstrap Methods: Another Look at
    the Jackknife", Annals of Statistics 1979), as if they were independent. What another seed of
    the training would give is not in the interval.

    Args:
        task: which metrics.
        queries: what is evaluated.
        gallery: for retrieval, what it is searched in; None: in itself.
        seed: of the drawing.
    """
    if isinstance(task, Retrieval):
        ranks = _ranks(queries, gallery)
        found = _bootstrap(lambda rows: _searched(task, ranks, rows), len(queries.target), seed)
        return found | scores(task.classification, queries, seed=seed)
    return _bootstrap(lambda rows: _evaluated(task, queries, rows), len(queries.target), seed)


def wilson(hits: float, count: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.

    Args:
        hits: how many.
        count: of how many, at least 1.
    """
    share, square = hits / count, _Z**2 / count
    middle = (share + square / 2) / (1 + square)
    half = _Z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _bootstrap(
    score: Callable[[Tensor], Mapping[str, Tensor]], count: int, seed: int
) -> dict[str, Score]:
    if count == 0:
        return {}
    values = score(torch.arange(count))
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        score(torch.randint(count, (count,), generator=generator)) for _ in range(_RESAMPLINGS)
    ]
    ends = torch.tensor([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], dtype=torch.float64)
    result = {}
    for name, value in values.items():
        of_name = torch.stack([torch.as_tensor(one[name]).double() for one in drawn])
        # Samples that happen to be alike have no correlation, for example.
        of_name = of_name[of_name.isfinite()]
        low, high = of_name.quantile(ends).tolist() if len(of_name) else (math.nan, math.nan)
        result[name] = Score(float(value), low, high)
    return result


def _evaluated(task: Task, outputs: Outputs, rows: Tensor) -> dict[str, Tensor]:
    """Score a draw of samples, each of which is a sample of its own however often it was drawn."""
    evaluation = task.metrics()
    new = torch.arange(len(rows))
    evaluation.update(
        Rows(
            prediction=outputs.prediction[rows],
            embedding=outputs.embedding[rows],
            target=outputs.target[rows],
            index=new,
            window=torch.zeros_like(new),
            valid=torch.ones_like(new, dtype=torch.bool),
        )
    )
    return evaluation.compute()


def _ranks(queries: Outputs, gallery: Outputs | None) -> QueryRanks:
    searched = queries if gallery is None else gallery
    return rank_queries(
        normalize(queries.embedding, dim=1),
        queries.target,
        normalize(searched.embedding, dim=1),
        searched.target,
        exclude_self=gallery is None,
    )


def _searched(task: Retrieval, ranks: QueryRanks, rows: Tensor) -> dict[str, Tensor]:
    """Score a draw of queries; what they are searched in stays whole."""
    first, relevant = ranks.first[rows], ranks.relevant[rows] > 0
    recall = {f"recall_at_{k}": ((first <= k) & relevant).double().mean() for k in task.ks}
    return recall | {
        # Not torch.median, which takes the lower of the two middle ones.
        "median_rank": first.quantile(0.5),
        "mean_average_precision": ranks.average_precision[rows].mean(),
    }
