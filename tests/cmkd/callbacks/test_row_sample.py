"""A part of the rows of a pass: the same one, however the rows come."""

import torch

from cmkd.callbacks.row_sample import RowSample, first_rows, sample_means


def passed(limit, order, windows=1, batch=7):
    """Return what is kept of rows that come in an order."""
    sample = RowSample(limit)
    for part in order.split(batch):
        index, window = part // windows, part % windows
        kept = sample.wanted(index)
        rows = {"index": index, "window": window, "value": part.float()}
        sample.add({name: row[kept] for name, row in rows.items()})
    return sample.pop()


def test_few_rows_are_all_kept():
    assert passed(100, torch.arange(30))["value"].sort().values.tolist() == list(range(30))


def test_the_same_samples_are_kept_in_any_order_and_any_batches():
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(3000)
    first = passed(100, rows)
    assert len(first["index"]) == 100
    for batch in (1, 64, 3000):
        again = passed(100, rows[torch.randperm(3000, generator=generator)], batch=batch)
        assert again["value"].tolist() == first["value"].tolist()


def test_what_is_kept_is_spread_over_the_data():
    kept = passed(1000, torch.arange(50_000), batch=500)["index"]
    counts = torch.histc(kept.float(), bins=10, min=0, max=50_000)
    # 100 are expected in each tenth, with a standard deviation of 9.5.
    assert counts.min() > 65
    assert counts.max() < 135


def test_windows_of_a_sample_are_kept_together_and_averaged():
    rows = passed(100, torch.arange(900), windows=3)
    counts = torch.unique_consecutive(rows["index"], return_counts=True)[1]
    assert counts.tolist() == [3] * 33
    means = sample_means(rows["value"], rows["index"])
    assert torch.equal(means, rows["index"][first_rows(rows["index"])] * 3.0 + 1)


def test_a_row_that_a_sampler_repeats_is_kept_once():
    rows = passed(10, torch.tensor([0, 1, 2, 0, 1]))
    assert sorted(rows["index"].tolist()) == [0, 1, 2]


def test_a_second_pass_begins_anew():
    sample = RowSample(5)
    for _ in range(2):
        index = torch.arange(50)
        kept = sample.wanted(index)
        sample.add({"index": index[kept], "window": torch.zeros_like(index)[kept]})
        found = sample.pop()["index"].tolist()
        assert len(found) == 5
    assert sample.pop() == {}
