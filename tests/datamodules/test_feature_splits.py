import numpy as np
import pytest

from datamodules.feature_groups import Groups
from datamodules.feature_splits import ArraySplit, FoldSplit, GroupSplit, SuffixSplit
from datamodules.npz import ArrayFile
from datamodules.validation_cut import ValidationCut
from tests.datamodules.feature_files import FOLDS, actor_arrays, save


@pytest.fixture
def file(tmp_path):
    return ArrayFile(save(tmp_path / "actors.npz", **actor_arrays()))


def actors(file, part):
    return set(file.read("actor")[part.rows].tolist())


@pytest.mark.parametrize("fold", [0, 1, 2])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_fold_is_tested_and_every_group_stands_in_one_part(file, fold, seed):
    parts = GroupSplit("actor", FOLDS, fold, val_groups=1).parts(file, "emotion", seed)
    assert actors(file, parts.test) == set(FOLDS[fold])
    assert len(actors(file, parts.val)) == 1
    assert not actors(file, parts.train) & actors(file, parts.val)
    rows = np.concatenate([parts.train.rows, parts.val.rows, parts.test.rows])
    assert sorted(rows) == list(range(36)), "no sample is lost or doubled"


def test_validation_groups_follow_the_seed(file):
    def drawn(seed):
        parts = GroupSplit("actor", FOLDS, val_groups=1).parts(file, "emotion", seed)
        return actors(file, parts.val)

    assert drawn(3) == drawn(3)
    assert len({frozenset(drawn(seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize(("amount", "groups"), [(2, 2), (0.5, 2), (0.01, 1)])
def test_validation_groups_are_a_number_or_a_fraction_and_at_least_one(file, amount, groups):
    parts = GroupSplit("actor", FOLDS, val_groups=amount).parts(file, "emotion", 0)
    assert len(actors(file, parts.val)) == groups


def test_groups_may_be_strings(tmp_path):
    arrays = actor_arrays()
    arrays["actor"] = np.array([f"speaker_{actor}" for actor in arrays["actor"]])
    file = ArrayFile(save(tmp_path / "actors.npz", **arrays))
    folds = [[f"speaker_{actor}" for actor in fold] for fold in FOLDS]
    parts = GroupSplit("actor", folds, fold=2).parts(file, "emotion", 0)
    assert actors(file, parts.test) == {"speaker_5", "speaker_6"}


def test_a_group_on_two_folds_is_refused():
    with pytest.raises(ValueError, match=r"GroupSplit\.folds: group 2 is listed more than once"):
        GroupSplit("actor", [[1, 2], [2, 3]])


@pytest.mark.parametrize("fold", [-1, 3])
def test_a_fold_out_of_range_is_refused(fold):
    with pytest.raises(ValueError, match=rf"there is no fold {fold}; `folds` lists 3, from 0"):
        GroupSplit("actor", FOLDS, fold)


@pytest.mark.parametrize("amount", [0, -1, 0.0, 1.5])
def test_a_number_of_validation_groups_that_means_nothing_is_refused(amount):
    with pytest.raises(ValueError, match=r"GroupSplit\.val_groups"):
        GroupSplit("actor", FOLDS, val_groups=amount)


def test_a_group_in_no_fold_is_refused(file):
    with pytest.raises(ValueError, match=r"actors\.npz: array 'actor' has groups in no fold: 5, 6"):
        GroupSplit("actor", FOLDS[:2]).parts(file, "emotion", 0)


def test_a_fold_of_groups_that_are_not_there_is_refused(file):
    with pytest.raises(ValueError, match=r"'actor' has no group 10, .* It has 1, 2, 3, 4, 5, 6"):
        GroupSplit("actor", [*FOLDS, [10]]).parts(file, "emotion", 0)


def test_an_empty_test_fold_is_refused(file):
    with pytest.raises(ValueError, match=r"actors\.npz: the test part is empty"):
        GroupSplit("actor", [*FOLDS, []], fold=3).parts(file, "emotion", 0)


def test_validating_on_all_other_groups_leaves_nothing_to_train_on(file):
    with pytest.raises(ValueError, match=r"actors\.npz: the training part is empty"):
        GroupSplit("actor", FOLDS, val_groups=4).parts(file, "emotion", 0)


def words_file(tmp_path, train="train", val="val"):
    words = np.array([train] * 24 + [val] * 6 + ["test"] * 6)
    return ArrayFile(save(tmp_path / "actors.npz", **actor_arrays(), split=words))


def test_an_array_says_who_stands_where(tmp_path):
    parts = ArraySplit().parts(words_file(tmp_path), "emotion", 0)
    assert parts.train.rows.tolist() == list(range(24))
    assert parts.val.rows.tolist() == list(range(24, 30))
    assert parts.test.rows.tolist() == list(range(30, 36))


def test_a_word_that_names_no_part_is_refused(tmp_path):
    file = words_file(tmp_path, val="valid")
    with pytest.raises(ValueError, match="array 'split' says valid, which is none of train, val"):
        ArraySplit().parts(file, "emotion", 0)


def test_an_array_without_val_rows_needs_a_cut(tmp_path):
    with pytest.raises(ValueError, match=r"array 'split' marks no val part.*`cut`"):
        ArraySplit().parts(words_file(tmp_path, val="train"), "emotion", 0)


def test_an_array_with_val_rows_refuses_a_cut(tmp_path):
    with pytest.raises(ValueError, match=r"array 'split' marks a val part. Leave out `cut`"):
        ArraySplit(cut=ValidationCut()).parts(words_file(tmp_path), "emotion", 0)


def test_an_array_without_training_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"actors\.npz: the training part is empty"):
        ArraySplit().parts(words_file(tmp_path, train="val"), "emotion", 0)


def test_an_array_without_test_rows_is_refused(tmp_path):
    words = np.array(["train"] * 30 + ["val"] * 6)
    file = ArrayFile(save(tmp_path / "actors.npz", **actor_arrays(), split=words))
    with pytest.raises(ValueError, match=r"actors\.npz: the test part is empty"):
        ArraySplit().parts(file, "emotion", 0)


def test_a_cut_without_groups_takes_the_same_share_of_each_class_and_none_of_the_test(tmp_path):
    file = words_file(tmp_path, val="train")
    parts = ArraySplit(cut=ValidationCut(0.2)).parts(file, "emotion", 0)
    counts = np.unique(file.read("emotion")[parts.val.rows], return_counts=True)[1]
    assert counts.tolist() == [2, 2, 2]
    assert parts.test.rows.tolist() == list(range(30, 36))
    assert sorted([*parts.train.rows, *parts.val.rows]) == list(range(30))


def test_a_cut_never_takes_the_last_sample_of_a_class(tmp_path):
    arrays = {"label": np.array([0, 0, 0, 1, 1, 2, 0]), "split": np.array(["train"] * 6 + ["test"])}
    file = ArrayFile(save(tmp_path / "rare.npz", **arrays))
    parts = ArraySplit(cut=ValidationCut(0.9)).parts(file, "label", 0)
    assert np.bincount(arrays["label"][parts.train.rows]).tolist() == [1, 1, 1]


def suffix_file(tmp_path, test_ids=("d_1", "d_2")):
    return ArrayFile(
        save(
            tmp_path / "mosi.npz",
            y_train=np.array([0, 1] * 4),
            id_train=np.array(["a_1", "a_2", "b_1", "b_2", "b_3", "b_4", "c_1", "c_2"]),
            y_test=np.array([0, 1]),
            id_test=np.array(test_ids),
        )
    )


def test_suffixes_name_the_arrays_of_each_part(tmp_path):
    parts = SuffixSplit(cut=ValidationCut(0.25)).parts(suffix_file(tmp_path), "y", 0)
    assert (parts.train.suffix, parts.val.suffix, parts.test.suffix) == (
        "_train",
        "_train",
        "_test",
    )
    assert sorted([*parts.train.rows, *parts.val.rows]) == list(range(8))
    assert parts.test.rows.tolist() == [0, 1]


def test_a_validation_part_with_its_own_suffix_is_taken_whole(tmp_path):
    file = ArrayFile(save(tmp_path / "m.npz", y_train=[0, 1], y_val=[1, 0, 1], y_test=[0, 1]))
    parts = SuffixSplit(val="_val").parts(file, "y", 0)
    assert (parts.val.suffix, len(parts.val.rows), len(parts.train.rows)) == ("_val", 3, 2)


def test_a_suffix_that_no_array_has_is_refused(tmp_path):
    file = suffix_file(tmp_path)
    with pytest.raises(ValueError, match="array 'y_dev' is not in the file, which has id_test"):
        SuffixSplit(val="_dev").parts(file, "y", 0)


def test_suffixes_need_a_validation_part_from_one_place():
    with pytest.raises(ValueError, match="give either `val`"):
        SuffixSplit()
    with pytest.raises(ValueError, match="give either `val`"):
        SuffixSplit(val="_val", cut=ValidationCut())


def test_two_parts_with_the_same_suffix_are_refused():
    with pytest.raises(ValueError, match="suffixes have to differ, got _train, _train"):
        SuffixSplit(test="_train", cut=ValidationCut())


def test_a_pattern_finds_the_recording_in_a_segment_name_and_keeps_it_whole(tmp_path):
    file = suffix_file(tmp_path)
    cut = ValidationCut(0.34, group="id", pattern=r"(.+)_\d+")
    for seed in range(5):
        parts = SuffixSplit(cut=cut).parts(file, "y", seed)
        recordings = [
            {i[0] for i in file.read("id_train")[p.rows]} for p in (parts.train, parts.val)
        ]
        assert len(recordings[1]) == 1
        assert not recordings[0] & recordings[1]


def test_a_group_in_training_and_test_is_refused(tmp_path):
    file = suffix_file(tmp_path, test_ids=("b_9", "d_1"))
    cut = ValidationCut(group="id", pattern=r"(.+)_\d+")
    with pytest.raises(ValueError, match=r"'id_test' has groups in the training and .* part: b"):
        SuffixSplit(cut=cut).parts(file, "y", 0)


def test_a_name_in_which_the_pattern_finds_nothing_is_shown(tmp_path):
    file = suffix_file(tmp_path, test_ids=("d_1", "noise"))
    cut = ValidationCut(group="id", pattern=r"(.+)_\d+")
    with pytest.raises(ValueError, match="array 'id_test' has 'noise', in which the pattern"):
        SuffixSplit(cut=cut).parts(file, "y", 0)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"fraction": 0.0}, r"fraction: has to be between 0 and 1, got 0\.0"),
        ({"fraction": 1.0}, "fraction: has to be between 0 and 1"),
        ({"pattern": "(.)"}, "name the column to search in `group`"),
        ({"group": "id", "pattern": "x_"}, "'x_' needs one pair of parentheses"),
    ],
)
def test_a_cut_that_means_nothing_is_refused(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        ValidationCut(**arguments)


def fold_file(tmp_path, folds=(1, 2, 3, 4, 5, 10)):
    """Six actors, each on a fold of its own."""
    fold = np.repeat(folds, 6)
    return ArrayFile(save(tmp_path / "actors.npz", **actor_arrays(), fold=fold))


def test_named_folds_are_tested_and_validated_on_and_the_rest_trains(tmp_path):
    file = fold_file(tmp_path)
    parts = FoldSplit(test=[10], val=[2, 3]).parts(file, "emotion", 0)
    assert actors(file, parts.test) == {6}
    assert actors(file, parts.val) == {2, 3}
    assert actors(file, parts.train) == {1, 4, 5}


def test_folds_may_have_names(tmp_path):
    file = fold_file(tmp_path, folds=["a", "b", "c", "d", "e", "f"])
    parts = FoldSplit(test=["a", "b"], val=["f"]).parts(file, "emotion", 0)
    assert actors(file, parts.test) == {1, 2}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_validation_actors_are_cut_from_the_folds_that_are_not_tested(tmp_path, seed):
    file = fold_file(tmp_path)
    split = FoldSplit(test=[1, 2], cut=ValidationCut(0.25, group="actor"))
    parts = split.parts(file, "emotion", seed)
    assert actors(file, parts.test) == {1, 2}
    assert len(actors(file, parts.val)) == 1
    assert actors(file, parts.val) | actors(file, parts.train) == {3, 4, 5, 6}


def test_a_fold_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"array 'fold' has no fold 7\. It has 1, 2, 3, 4, 5, 10"):
        FoldSplit(test=[7], val=[1]).parts(fold_file(tmp_path), "emotion", 0)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"test": [1]}, "give either `val`"),
        ({"test": [1], "val": [2], "cut": ValidationCut()}, "give either `val`"),
        ({"test": [1, 2], "val": [2]}, "fold 2 stands in `test` and in `val`"),
    ],
)
def test_folds_that_contradict_each_other_are_refused(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        FoldSplit(**arguments)


def test_a_group_on_two_sides_of_a_given_split_is_refused(tmp_path):
    file = fold_file(tmp_path, folds=(1, 2, 3, 3, 3, 3))
    arrays = {name: file.read(name) for name in file.names}
    arrays["fold"][5] = 2
    words = np.array(["train", "val", "test"])[arrays["fold"] - 1]
    file = ArrayFile(save(tmp_path / "mixed.npz", **arrays, split=words))
    complaint = "array 'actor' has groups in the training and in the validation part: 1"
    for split in (
        FoldSplit(test=[3], val=[2], group=Groups("actor")),
        ArraySplit(group=Groups("actor")),
    ):
        with pytest.raises(ValueError, match=complaint):
            split.parts(file, "emotion", 0)
        split.group = None
        assert split.parts(file, "emotion", 0).val.rows.size == 7
