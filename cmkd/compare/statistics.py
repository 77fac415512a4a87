"""The interval of a mean difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean: of the values.
        half_width: of the interval; None for a single value, which says nothing of its spread.
        count: number of values.
    """

    mean: float
    half_width: float | None
    count: int


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of values and its t interval, as if they were independent.

    Args:
        values: at least one.
        confidence: probability that the interval holds the true mean, of normal values.
    """
    count = len(values)
    if count == 1:
        return Interval(values[0], None, 1)
    error = stdev(values) / math.sqrt(count)
    return Interval(fmean(values), t_quantile(confidence, count - 1) * error, count)


def t_quantile(confidence: float, degrees: int) -> float:
    """Return the t with P(-t < T < t) = confidence of Student's distribution."""
    low, high = 0.0, 1.0
    while _probability(high, degrees) < confidence:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _probability(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return high


def _probability(t: float, degrees: int) -> float:
    """Return P(-t < T < t), a finite sum for whole degrees of freedom.

    Abramowitz & Stegun, "Handbook of Mathematical Functions", 1964, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    cosine = math.cos(angle)
    term = math.sin(angle) * (cosine if odd else 1.0)
    total = 0.0
    for k in range(degrees // 2):
        total += term
        numerator, denominator = (2 * k + 2, 2 * k + 3) if odd else (2 * k + 1, 2 * k + 2)
        term *= cosine**2 * numerator / denominator
    return 2 / math.pi * (angle + total) if odd else total
