import numpy as np
import pytest
import torch

from datamodules.collate import collate
from datamodules.feature_splits import ArraySplit
from datamodules.npz import ArrayFile
from datamodules.targets import ClassTarget, PolarityTarget, RealTarget, RoundedTarget
from datamodules.validation_cut import ValidationCut
from tests.datamodules.feature_files import actor_arrays, feature_folds, save

SENTIMENT = np.array([-3.0, -1.6, -0.2, 0.0, 0.4, 0.5, 1.5, 2.6, 3.0])


@pytest.fixture
def file(tmp_path):
    return ArrayFile(save(tmp_path / "mosi.npz", y=SENTIMENT))


def encoded(target, file):
    values = target.read(file, "y")
    values = values[target.kept(values)]
    coding = target.coding(file, "y", values, values[:0])
    return coding.class_names, coding.encode(values)


def test_the_sign_is_the_class_and_zero_is_not_negative(file):
    names, labels = encoded(PolarityTarget(), file)
    assert names == ["negative", "non-negative"]
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_zeros_are_left_out_on_request(file):
    names, labels = encoded(PolarityTarget(without_zeros=True), file)
    assert names == ["negative", "positive"]
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_seven_classes_are_the_rounded_labels(file):
    names, labels = encoded(RoundedTarget(), file)
    assert names == ["-3", "-2", "-1", "0", "1", "2", "3"]
    assert (labels - 3).tolist() == [-3, -2, 0, 0, 0, 0, 2, 3, 3]
    assert labels.dtype == np.int64


def test_the_value_itself_is_a_float_and_one_output(file):
    names, labels = encoded(RealTarget(), file)
    assert names == ["value"]
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels, SENTIMENT, rtol=1e-6)


def test_a_label_out_of_range_is_located(file):
    with pytest.raises(ValueError, match=r"mosi\.npz: array 'y' has 2 labels .*-3\.0 in row 0"):
        RealTarget(-2.0, 2.9).read(file, "y")


@pytest.mark.parametrize("y", [np.array(["a", "b"]), np.ones((4, 2))])
def test_labels_that_are_no_numbers_are_refused(tmp_path, y):
    file = ArrayFile(save(tmp_path / "mosi.npz", y=y))
    with pytest.raises(ValueError, match=r"array 'y' has shape .* one real number a row is needed"):
        RealTarget().read(file, "y")


def test_a_label_of_nan_is_located(tmp_path):
    file = ArrayFile(save(tmp_path / "mosi.npz", y=np.array([1.0, np.nan, 2.0])))
    with pytest.raises(ValueError, match=r"array 'y' has NaN or infinity in 1 rows, .* row 1"):
        RealTarget().read(file, "y")


def test_zeros_and_ones_are_the_polarity_already(tmp_path):
    file = ArrayFile(save(tmp_path / "mosi.npz", y=np.array([0, 1, 1, 0])))
    assert encoded(PolarityTarget(), file)[1].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        (RealTarget(), "nothing but 0 and 1, the polarity"),
        (RoundedTarget(), "nothing but 0 and 1, the polarity"),
        (PolarityTarget(without_zeros=True), "one sign alone.*set without_zeros to false"),
    ],
)
def test_a_polarity_is_not_taken_for_a_value(tmp_path, target, complaint):
    file = ArrayFile(save(tmp_path / "mosi.npz", y=np.array([0, 1, 1, 0])))
    with pytest.raises(ValueError, match=rf"mosi\.npz: array 'y' .*{complaint}"):
        encoded(target, file)


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="RealTarget: low has to be below high, got 3, -3"):
        RealTarget(3, -3)


def test_classes_and_a_target_contradict_each_other(tmp_path):
    path = save(tmp_path / "actors.npz", **actor_arrays())
    with pytest.raises(ValueError, match="FeatureFolds: `classes` names the classes, so"):
        feature_folds(path, classes={"sad": "sad"}, target=ClassTarget())


def sentiment_folds(tmp_path, target, **changes):
    value = np.random.default_rng(1).choice(SENTIMENT, 36)
    value[:9] = SENTIMENT
    path = save(tmp_path / "actors.npz", **actor_arrays(), value=value)
    return value, feature_folds(path, label="value", target=target, **changes)


def test_batches_of_a_regression_hold_float_labels(tmp_path):
    value, data = sentiment_folds(tmp_path, RealTarget())
    assert data.num_classes == 1
    rows = data.dataset("test")
    batch = next(iter(data.test_dataloader()))
    assert batch["label"].dtype == torch.float32
    np.testing.assert_allclose(batch["label"], value[data.parts.test.rows[:4]], rtol=1e-6)
    torch.testing.assert_close(collate([rows[0], rows[1]])["label"], batch["label"][:2])


def test_standardising_does_not_depend_on_the_target(tmp_path):
    plain = feature_folds(save(tmp_path / "plain.npz", **actor_arrays()))
    _, data = sentiment_folds(tmp_path, RealTarget())
    torch.testing.assert_close(
        data.dataset("test").values["face"], plain.dataset("test").values["face"]
    )


def test_left_out_samples_are_counted_and_all_others_are_there(tmp_path):
    value, data = sentiment_folds(tmp_path, PolarityTarget(without_zeros=True))
    zeros = int((value == 0).sum())
    assert zeros
    assert sum(data.left_out.values()) == zeros
    assert sum(len(data.dataset(part)) for part in ("train", "val", "test")) == 36 - zeros
    assert sum("left out" in line for line in data.describe()) == sum(
        count > 0 for count in data.left_out.values()
    )


def test_a_validation_part_is_cut_from_real_labels_too(tmp_path):
    words = np.array(["train"] * 30 + ["test"] * 6)
    path = save(tmp_path / "a.npz", **actor_arrays(), value=np.linspace(-3, 3, 36), split=words)
    data = feature_folds(
        path, label="value", target=RealTarget(), split=ArraySplit(cut=ValidationCut(0.2))
    )
    assert data.parts.val.rows.size == 6
    assert data.parts.train.rows.size == 24
