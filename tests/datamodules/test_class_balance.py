import numpy as np
import pytest

from datamodules.class_balance import class_balanced_order, class_balanced_weights


def long_tail():
    return np.random.default_rng(0).permutation([0] * 50 + [2] * 10 + [7] * 3)


def test_weights_give_every_class_the_same_probability():
    labels = long_tail()
    weights = class_balanced_weights(labels)
    assert weights.sum() == pytest.approx(1)
    for label in (0, 2, 7):
        assert weights[labels == label].sum() == pytest.approx(1 / 3)
        assert len(set(weights[labels == label])) == 1


@pytest.mark.parametrize("size", [1, 2, 63, 200])
def test_classes_take_turns(size):
    labels = long_tail()
    order = class_balanced_order(labels, size, np.random.default_rng(1))
    assert order.shape == (size,)
    for start in range(0, size - 2, 3):
        assert set(labels[order[start : start + 3]]) == {0, 2, 7}


def test_no_sample_comes_again_before_all_of_its_class_have_come():
    labels = long_tail()
    order = class_balanced_order(labels, 90, np.random.default_rng(2))
    for label, count in ((0, 50), (2, 10), (7, 3)):
        of_class = order[labels[order] == label]
        assert len(of_class) == 30
        assert len(set(of_class[:count])) == min(count, 30)
    assert np.bincount(order, minlength=63)[labels == 7].tolist() == [10, 10, 10]


def test_the_order_follows_from_the_generator_and_changes_with_it():
    labels = long_tail()
    orders = [class_balanced_order(labels, 63, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()


def test_balanced_classes_come_once_each():
    labels = np.arange(12) % 4
    order = class_balanced_order(labels, 12, np.random.default_rng(0))
    assert sorted(order) == list(range(12))


def test_no_samples_are_refused():
    empty = np.zeros(0, dtype=np.int64)
    for call in (
        lambda: class_balanced_weights(empty),
        lambda: class_balanced_order(empty, 4, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match="labels of at least one sample"):
            call()
