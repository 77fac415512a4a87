"""Scores of a real-valued label, those of multimodal sentiment analysis included."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


def regression_metrics(
    prediction: Tensor, target: Tensor, low: int = -3, high: int = 3, neutral: float = 0.0
) -> dict[str, Tensor]:
    """Return the figures that papers on MOSI and MOSEI report.

    ============================  ============================================================
    ``mae``                       mean absolute error, in units of the label
    ``pearson``                   correlation; NaN where either side is constant
    ``binary_accuracy``           negative against non-negative, over all samples
    ``binary_f1``                 the same, F1 of the two classes weighted by their size
    ``binary_accuracy_nonzero``   negative against positive, without the neutral labels; NaN
                                  where all are neutral
    ``binary_f1_nonzero``         the same, F1 of the two classes weighted by their size
    ``accuracy_<n>``              of the n = high - low + 1 integers, clipped, then rounded (half
                                  to even): ``accuracy_7`` for [-3, 3]
    ============================  ============================================================

    As in the evaluation code of Tsai et al., "Multimodal Transformer for Unaligned Multimodal
    Language Sequences", ACL 2019, which later papers follow.

    Args:
        prediction: (N,) predicted values.
        target: (N,) labels.
        low: lowest label.
        high: highest label.
        neutral: the label between negative and positive.
    """
    prediction, target = prediction.float(), target.float()
    decided = target != neutral
    every = (target >= neutral, prediction >= neutral)
    signs = ((target > neutral)[decided], (prediction > neutral)[decided])
    rounded, wanted = (x.clamp(low, high).round() for x in (prediction, target))
    return {
        "mae": (prediction - target).abs().mean(),
        "pearson": _pearson(prediction, target),
        "binary_accuracy": _accuracy(*every),
        "binary_f1": _weighted_f1(*every),
        "binary_accuracy_nonzero": _accuracy(*signs),
        "binary_f1_nonzero": _weighted_f1(*signs),
        f"accuracy_{high - low + 1}": _accuracy(rounded, wanted),
    }


def _pearson(x: Tensor, y: Tensor) -> Tensor:
    # Rounding can leave a constant with some variance, hence a correlation without meaning.
    constant = (x == x[0]).all() | (y == y[0]).all()
    correlation = cosine_similarity(x - x.mean(), y - y.mean(), dim=0)
    return correlation.where(~constant, torch.nan)


def _accuracy(target: Tensor, prediction: Tensor) -> Tensor:
    return (target == prediction).float().mean()


def _weighted_f1(target: Tensor, prediction: Tensor) -> Tensor:
    total = torch.zeros((), device=target.device)
    for wanted, guessed in ((target, prediction), (~target, ~prediction)):
        hits = (wanted & guessed).sum()
        # A class that is neither wanted nor guessed has no weight either.
        f1 = 2 * hits / (wanted.sum() + guessed.sum()).clamp(min=1)
        total = total + f1 * wanted.sum()
    return total / len(target)
