import numpy as np
import pytest

from datamodules.sampler import EpochSampler, sample_rng


def epoch_of(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_holds_every_sample_once_with_its_epoch_number():
    pairs = epoch_of(EpochSampler(range(12), batch_size=4), 3)
    assert sorted(index for index, _ in pairs) == list(range(12))
    assert {epoch for _, epoch in pairs} == {3}


def test_the_same_epoch_has_the_same_order_and_another_epoch_or_seed_another():
    first = epoch_of(EpochSampler(range(50), batch_size=4), 1)
    again = EpochSampler(range(50), batch_size=4)
    other = epoch_of(again, 2)
    assert epoch_of(again, 1) == first
    assert [index for index, _ in other] != [index for index, _ in first]
    assert epoch_of(EpochSampler(range(50), batch_size=4, seed=1), 1) != first


def test_seeds_that_sum_alike_with_the_epoch_do_not_share_an_order():
    one = epoch_of(EpochSampler(range(50), batch_size=4, seed=0), 1)
    two = epoch_of(EpochSampler(range(50), batch_size=4, seed=1), 0)
    assert [index for index, _ in one] != [index for index, _ in two]


@pytest.mark.parametrize("length", [1, 5, 8, 9, 10])
@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_no_sample_is_dropped_and_no_batch_holds_a_single_one(length, replicas):
    shares = [
        list(EpochSampler(range(length), batch_size=4, num_replicas=replicas, rank=rank))
        for rank in range(replicas)
    ]
    assert {index for share in shares for index, _ in share} == set(range(length))
    assert len({len(share) for share in shares}) == 1
    assert len(shares[0]) % 4 != 1


def test_ranks_share_one_order_without_overlap_when_it_divides():
    shares = [
        [index for index, _ in EpochSampler(range(12), 4, num_replicas=2, rank=rank)]
        for rank in (0, 1)
    ]
    whole = [index for index, _ in EpochSampler(range(12), 4)]
    assert whole[0::2] == shares[0]
    assert whole[1::2] == shares[1]


def test_batches_of_one_stay_as_asked():
    assert len(list(EpochSampler(range(5), batch_size=1))) == 5


def test_the_reported_length_is_that_of_the_iteration():
    sampler = EpochSampler(range(9), batch_size=4)
    assert len(sampler) == len(list(sampler)) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": [], "batch_size": 4}, "empty"),
        ({"dataset": [1], "batch_size": 0}, "batch_size"),
        ({"dataset": [1], "batch_size": 1, "num_replicas": 2, "rank": 2}, "rank"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        EpochSampler(**arguments)


def test_a_samples_draws_depend_on_seed_epoch_and_index_alone():
    draws = {key: sample_rng(*key).random() for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]}
    assert len(set(draws.values())) == 4
    assert all(sample_rng(*key).random() == value for key, value in draws.items())


def test_a_balanced_epoch_is_as_long_and_holds_every_class_equally_often():
    labels = np.repeat([0, 1, 2], [60, 20, 10])
    sampler = EpochSampler(range(90), batch_size=8, balanced_labels=labels)
    rows = [index for index, _ in sampler]
    assert len(rows) == 90
    assert np.bincount(labels[rows]).tolist() == [30, 30, 30]
    assert rows == [index for index, _ in sampler]
    sampler.set_epoch(1)
    assert rows != [index for index, _ in sampler]
    halves = [
        EpochSampler(range(90), 8, num_replicas=2, rank=rank, balanced_labels=labels)
        for rank in (0, 1)
    ]
    assert sorted(index for half in halves for index, _ in half) == sorted(
        index for index, _ in EpochSampler(range(90), 8, balanced_labels=labels)
    )
