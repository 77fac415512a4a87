import pytest

from datamodules.clip_cut import split_by_group
from datamodules.clip_lists import ListedClip


def listed(groups_by_class, clips=3):
    return [
        ListedClip(name, f"v_{name}_g{group:02d}_c{clip:02d}.avi", group, "list, line 1")
        for name, groups in groups_by_class.items()
        for group in range(8, 8 + groups)
        for clip in range(1, clips + 1)
    ]


def keys(clips):
    return {(clip.class_name, clip.group) for clip in clips}


CLASSES = {f"Class{number}": 18 for number in range(20)}


def test_no_group_stands_on_both_sides_and_no_clip_is_lost():
    clips = listed(CLASSES)
    train, val = split_by_group(clips, 0.1, seed=0)
    assert not keys(train) & keys(val)
    assert sorted(train + val, key=clips.index) == clips


def test_the_fraction_of_groups_is_spread_over_the_classes():
    _, val = split_by_group(listed(CLASSES), 0.1, seed=0)
    assert len(keys(val)) == round(0.1 * 18 * 20)
    per_class = [sum(name == other for other, _ in keys(val)) for name in CLASSES]
    assert max(per_class) - min(per_class) <= 1


def test_a_seed_decides_which_groups_validate():
    clips = listed(CLASSES)
    assert split_by_group(clips, 0.2, seed=1) == split_by_group(clips, 0.2, seed=1)
    assert split_by_group(clips, 0.2, seed=1) != split_by_group(clips, 0.2, seed=2)


def test_every_class_keeps_a_group_for_training_however_large_the_fraction():
    train, val = split_by_group(listed({"Archery": 1, "Bowling": 2, "Diving": 4}), 0.99, seed=0)
    assert {name for name, _ in keys(train)} == {"Archery", "Bowling", "Diving"}
    assert {name for name, _ in keys(val)} == {"Bowling", "Diving"}


def test_a_small_fraction_still_validates_on_one_group():
    assert len(keys(split_by_group(listed({"Archery": 3}), 0.01, seed=0)[1])) == 1


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="val_fraction"):
        split_by_group(listed({"Archery": 3}), fraction, seed=0)


def test_data_without_a_group_to_spare_is_reported():
    with pytest.raises(ValueError, match="no class has training clips of two groups"):
        split_by_group(listed({"Archery": 1, "Bowling": 1}), 0.1, seed=0)
