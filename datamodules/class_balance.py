"""Class-balanced sampling: every class equally often, however few samples it has."""

import numpy as np
from numpy.typing import NDArray


def class_balanced_weights(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each sample's probability when a class is drawn first and then one of its samples.

    Args:
        labels: (N,) classes.

    Returns:
        (N,), sums to 1.

    Raises:
        ValueError: without samples.
    """
    _require_samples(labels)
    _, place, count = np.unique(labels, return_inverse=True, return_counts=True)
    return 1 / (len(count) * count[place])


def class_balanced_order(
    labels: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the samples of an epoch in which the classes take turns, in random order.

    In each turn every class comes once; no sample comes again before all of its class have come.
    The class-balanced sampler of Learning From Multiple Experts: Self-paced Knowledge
    Distillation for Long-tailed Classification, Xiang, Ding, Han, ECCV 2020, arXiv 2001.01536.

    Args:
        labels: (N,) classes of the training samples.
        size: how many samples the epoch has.
        rng: the generator of the epoch.

    Returns:
        (size,) sample numbers; the classes' counts differ by one at most.

    Raises:
        ValueError: without samples.
    """
    _require_samples(labels)
    classes = np.unique(labels)
    turns = -(-size // len(classes))
    drawn = np.concatenate([rng.permutation(classes) for _ in range(turns)])[:size]
    order = np.empty(size, dtype=np.int64)
    for label in classes:
        places = np.flatnonzero(drawn == label)
        samples = np.flatnonzero(labels == label)
        rounds = -(-len(places) // len(samples))
        # An empty list cannot be joined: a short epoch may leave a class out.
        shuffled = [rng.permutation(samples) for _ in range(max(rounds, 1))]
        order[places] = np.concatenate(shuffled)[: len(places)]
    return order


def _require_samples(labels: NDArray[np.int64]) -> None:
    if len(labels) == 0:
        raise ValueError("class-balanced sampling needs the labels of at least one sample")
