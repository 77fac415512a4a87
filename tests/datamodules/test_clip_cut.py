import numpy as np
import pytest

from datamodules.clip_cut import check_disjoint, split_by_group
from datamodules.clip_table import Clip, ClipTable


def clips_of(groups_by_class, clips=3):
    """Groups and labels of clips, each group in one class."""
    groups = [
        f"{name} g{group:02d}"
        for name, count in groups_by_class.items()
        for group in range(8, 8 + count)
        for _ in range(clips)
    ]
    numbers = {name: number for number, name in enumerate(groups_by_class)}
    return groups, np.array([numbers[group.split()[0]] for group in groups])


def cut(groups_and_labels, fraction, seed=0):
    groups, labels = groups_and_labels
    train, val = split_by_group(groups, labels, fraction, seed)
    return {groups[row] for row in train}, {groups[row] for row in val}


CLASSES = {f"Class{number}": 18 for number in range(20)}


def test_no_group_stands_on_both_sides_and_no_clip_is_lost():
    groups, labels = clips_of(CLASSES)
    rows = split_by_group(groups, labels, 0.1, seed=0)
    assert sorted(np.concatenate(rows)) == list(range(len(groups)))
    train, val = cut((groups, labels), 0.1)
    assert not train & val


def test_the_fraction_of_clips_is_spread_over_the_classes():
    _, val = cut(clips_of(CLASSES), 0.1)
    assert len(val) == round(0.1 * 18 * 20)
    per_class = [sum(group.split()[0] == name for group in val) for name in CLASSES]
    assert max(per_class) - min(per_class) <= 1


def test_groups_of_different_sizes_validate_about_the_fraction_of_every_class():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 12, 400)
    groups = [f"video {number}" for number, size in enumerate(sizes) for _ in range(size)]
    labels = rng.choice(5, len(groups), p=[0.5, 0.3, 0.1, 0.05, 0.05])  # groups of many classes
    train, val = split_by_group(groups, labels, 0.2, seed=0)
    assert len(val) == pytest.approx(0.2 * len(groups), abs=12)
    share = np.bincount(labels[val]) / np.bincount(labels)
    assert share.min() > 0.1
    assert share.max() < 0.3
    assert not {groups[row] for row in train} & {groups[row] for row in val}


def test_a_seed_decides_which_groups_validate():
    clips = clips_of(CLASSES)
    assert cut(clips, 0.2, seed=1) == cut(clips, 0.2, seed=1)
    assert cut(clips, 0.2, seed=1) != cut(clips, 0.2, seed=2)


def test_every_class_keeps_a_group_for_training_however_large_the_fraction():
    train, val = cut(clips_of({"Archery": 1, "Bowling": 2, "Diving": 4}), 0.99)
    assert {group.split()[0] for group in train} == {"Archery", "Bowling", "Diving"}
    assert {group.split()[0] for group in val} == {"Bowling", "Diving"}


def test_a_small_fraction_still_validates_on_one_group():
    assert len(cut(clips_of({"Archery": 3}), 0.01)[1]) == 1


def test_values_of_a_regression_count_as_one_class():
    groups, _ = clips_of({"Video": 10})
    train, val = split_by_group(groups, np.linspace(-3, 3, len(groups)), 0.2, seed=0)
    assert len(val) == 6
    assert len(train) == 24


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="val_fraction"):
        cut(clips_of({"Archery": 3}), fraction)


def test_data_without_a_group_to_spare_is_reported():
    with pytest.raises(ValueError, match="no class has training clips of two groups"):
        cut(clips_of({"Archery": 1, "Bowling": 1}), 0.1)


def test_a_group_in_training_and_test_is_named():
    training, test = (
        ClipTable(Clip(f"{part} {group}", 0, group, {}) for group in groups)
        for part, groups in (("a", ["g1", "g2"]), ("b", ["g2", "g3"]))
    )
    with pytest.raises(ValueError, match=r"UCF101: 1 groups .* for example g2"):
        check_disjoint(training, test, "UCF101")
    check_disjoint(training, ClipTable([]), "UCF101")
