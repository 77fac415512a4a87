"""One value a sample, however its windows came."""

import pytest
import torch

from cmkd.metrics.sample_means import SampleMeans


def collect(order, batch_size, samples=5, windows=3, absent=()):
    """Feed numbered windows in an order and batch size."""
    g = torch.Generator().manual_seed(0)
    index = torch.arange(samples).repeat_interleave(windows) * 7
    window = torch.arange(windows).repeat(samples)
    value = torch.randn(len(index), 4, generator=g)
    valid = torch.ones(len(index), dtype=torch.bool)
    valid[list(absent)] = False
    value[~valid] = float("nan")
    means = SampleMeans()
    for rows in torch.tensor(order).split(batch_size):
        means.update(value[rows], index[rows] % 3, index[rows], window[rows], valid[rows])
    return means.compute(), value


def test_a_sample_is_the_mean_of_its_windows():
    samples, value = collect(range(15), 4)
    torch.testing.assert_close(samples.value, value.view(5, 3, 4).mean(1))
    assert samples.target.tolist() == [0, 1, 2, 0, 1]
    assert samples.left_out == 0


def test_order_batch_size_and_repeated_windows_change_no_bit():
    expected, _ = collect(range(15), 15)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(1)).tolist()
    for rows, batch_size in ((order, 1), (order, 4), ([*order, *order[:4], order[0]], 7)):
        samples, _ = collect(rows, batch_size)
        assert torch.equal(samples.value, expected.value)
        assert torch.equal(samples.target, expected.target)


def test_absent_windows_do_not_count_and_samples_without_any_are_counted():
    # Of the first sample one window, of the third all; one of those is repeated.
    samples, value = collect([*range(15), 7], 4, absent=(1, 6, 7, 8))
    assert samples.left_out == 1
    assert samples.value.isfinite().all()
    assert len(samples.value) == 4
    torch.testing.assert_close(samples.value[0], value[[0, 2]].mean(0))


def test_nothing_valid_leaves_no_samples():
    samples, _ = collect(range(15), 4, absent=range(15))
    assert len(samples.target) == 0
    assert samples.left_out == 5
    assert len(SampleMeans().compute().target) == 0


def test_a_pass_starts_anew():
    means = SampleMeans()
    rows = torch.zeros(2).long(), torch.arange(2), torch.zeros(2).long(), torch.ones(2).bool()
    means.update(torch.zeros(2, 4), *rows)
    assert len(means.compute().target) == 2
    assert len(means.compute().target) == 0


def test_one_index_with_two_labels_is_named():
    means = SampleMeans()
    index, window = torch.tensor([3, 4, 4]), torch.tensor([0, 0, 1])
    means.update(torch.zeros(3, 2), torch.tensor([0, 1, 2]), index, window, torch.ones(3).bool())
    with pytest.raises(ValueError, match="sample 4 have different labels"):
        means.compute()
