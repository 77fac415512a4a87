"""Dividing clips by whole groups: the clips of a recording, an actor, a speaker stay together."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.clip_table import ClipTable, Rows


def split_by_group(
    groups: Sequence[str], labels: NDArray[Any], fraction: float, seed: int
) -> tuple[Rows, Rows]:
    """Divide clips into a training and a validation part by whole groups.

    About ``fraction`` of the clips validate, spread evenly over the classes; every class keeps at
    least one group for training.

    Args:
        groups: the group of each of the N clips.
        labels: (N,) class numbers; values of a regression count as one class.
        fraction: share of the clips, in (0, 1).
        seed: which groups they are.

    Returns:
        The rows that train and those that validate, each in the order given.

    Raises:
        ValueError: when fraction is out of range, or no group can be spared.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"val_fraction: must lie between 0 and 1, got {fraction}")
    classes = labels if labels.dtype.kind in "iu" else np.zeros(len(labels), dtype=np.int64)
    names, member = np.unique(
        np.asarray(list(groups), dtype=object).astype(str), return_inverse=True
    )
    held = [np.unique(classes[rows], return_counts=True) for rows in _rows_by(member, len(names))]
    chosen = _choose(held, fraction * len(classes), np.random.default_rng(seed))
    if not chosen:
        raise ValueError(
            "no class has training clips of two groups, so none can be spared for validation; "
            "add clips or classes"
        )
    validates = np.isin(member, list(chosen))
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def check_disjoint(training: ClipTable, test: ClipTable, owner: str) -> None:
    """Check that no group stands in the training and in the test clips.

    Raises:
        ValueError: when one does; names some.
    """
    both = sorted(set(training.groups) & set(test.groups))
    if both:
        raise ValueError(
            f"{owner}: {len(both)} groups stand in the training and in the test part, for example "
            f"{', '.join(both[:5])}; clips of one recording or person belong to one part: correct "
            "the lists"
        )


def _rows_by(member: NDArray[Any], count: int) -> list[Rows]:
    order = np.argsort(member, kind="stable")
    return np.split(order, np.cumsum(np.bincount(member, minlength=count))[:-1])


def _choose(
    held: list[tuple[NDArray[Any], NDArray[Any]]], wanted: float, rng: np.random.Generator
) -> set[int]:
    """Return the groups that validate; ``held`` says how many clips of which class each has."""
    waiting: dict[int, list[int]] = {}
    total: dict[int, int] = {}
    for group in rng.permutation(len(held)).tolist():
        for label, count in zip(*held[group], strict=True):
            waiting.setdefault(int(label), []).append(group)
            total[int(label)] = total.get(int(label), 0) + int(count)
    training = {label: len(groups) for label, groups in waiting.items()}
    taken = dict.fromkeys(waiting, 0)
    chosen: set[int] = set()
    clips = 0
    # The class of which the least validates comes next; equal ones in a random order.
    tie = {label: place for place, label in enumerate(rng.permutation(sorted(waiting)).tolist())}
    heap = [(0.0, tie[label], label) for label in waiting]
    heapq.heapify(heap)
    while heap and clips < wanted:
        _, place, label = heapq.heappop(heap)
        group = _spare(waiting[label], chosen, held, training)
        if group is None:
            continue
        labels, counts = held[group]
        if chosen and clips + counts.sum() - wanted > wanted - clips:
            break  # nearer without it
        chosen.add(group)
        clips += int(counts.sum())
        for one, count in zip(labels.tolist(), counts.tolist(), strict=True):
            training[one] -= 1
            taken[one] += count
        heapq.heappush(heap, (taken[label] / total[label], place, label))
    return chosen


def _spare(
    waiting: list[int],
    chosen: set[int],
    held: list[tuple[NDArray[Any], NDArray[Any]]],
    training: dict[int, int],
) -> int | None:
    """Take groups off a class's list until one can validate without emptying any class."""
    while waiting:
        group = waiting.pop()
        labels: Iterable[int] = held[group][0].tolist()
        if group not in chosen and all(training[label] > 1 for label in labels):
            return group
    return None
