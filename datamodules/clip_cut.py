"""Cutting a validation part from the training clips without dividing a recording."""

from collections.abc import Sequence

import numpy as np

from datamodules.clip_lists import ListedClip


def split_by_group(
    clips: Sequence[ListedClip], fraction: float, seed: int
) -> tuple[list[ListedClip], list[ListedClip]]:
    """Divide clips into a training and a validation part by whole groups.

    The clips of a group are cut from one recording and look alike, so they stay together. About
    ``fraction`` of the groups go to validation, spread evenly over the classes; every class keeps
    at least one group for training.

    Args:
        clips: the clips of the training list.
        fraction: share of the groups, in (0, 1).
        seed: which groups they are.

    Returns:
        The training and the validation clips, each in the order given.

    Raises:
        ValueError: when fraction is out of range, or no class has two groups.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"val_fraction: must lie between 0 and 1, got {fraction}")
    groups: dict[str, set[int]] = {}
    for clip in clips:
        groups.setdefault(clip.class_name, set()).add(clip.group)
    rng = np.random.default_rng(seed)
    spare: list[tuple[str, int]] = []  # all but one group of each class, classes side by side
    total = 0
    for class_name in sorted(groups):
        shuffled = rng.permutation(sorted(groups[class_name])).tolist()
        spare += [(class_name, group) for group in shuffled[1:]]
        total += len(shuffled)
    if not spare:
        raise ValueError(
            "no class has training clips of two groups, so none can be spared for validation; "
            "add clips or classes"
        )
    count = min(max(1, round(fraction * total)), len(spare))
    # Evenly spaced over the list, which is to say over the classes.
    chosen = {spare[place * len(spare) // count] for place in range(count)}
    validation = [clip for clip in clips if (clip.class_name, clip.group) in chosen]
    training = [clip for clip in clips if (clip.class_name, clip.group) not in chosen]
    return training, validation
