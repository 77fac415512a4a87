"""Samples in memory."""

import numpy as np
import pytest
import torch

from datamodules.collate import collate
from datamodules.memory import MemoryRows


@pytest.fixture
def rows():
    return MemoryRows(
        values={"image": torch.randn(4, 1, 2, 2), "audio": torch.randn(2, 1, 5)},
        place={"image": torch.arange(4), "audio": torch.tensor([1, 0, 1, 1])},
        label=torch.tensor([3, 1, 4, 1]),
    )


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            assert_same(value, other[key])
        else:
            torch.testing.assert_close(value, other[key], rtol=0, atol=0)


def test_samples_may_share_what_they_hold(rows):
    assert len(rows) == 4
    torch.testing.assert_close(rows[0]["audio"], rows.values["audio"][1])
    torch.testing.assert_close(rows[2]["audio"], rows[3]["audio"])
    assert (rows[2]["label"], rows[2]["index"]) == (4, 2)


def test_a_gathered_batch_equals_the_collated_samples(rows):
    rows.keep_only({"audio": np.array([True, False, True, True])})
    keys = [(2, 7), (0, 7), (1, 7), (2, 7)]
    assert_same(rows.__getitems__(keys), collate([rows[key[0]] for key in keys]))


def test_what_is_not_kept_is_absent_and_stays_there_for_others(rows):
    before = rows.values["audio"].clone()
    rows.keep_only({"audio": np.array([False, True, True, True])})
    batch = rows.__getitems__([0, 2])
    assert batch["present"]["audio"].tolist() == [False, True]
    assert not batch["audio"][0].any()
    torch.testing.assert_close(batch["audio"][1], before[1])
    assert batch["present"]["image"].all()


def test_a_row_that_is_not_there_is_an_error(rows):
    for row in (-1, 4):
        with pytest.raises(IndexError, match=f"row {row} of 4"):
            rows[row]
