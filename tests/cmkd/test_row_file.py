"""Rows in a file, written by anyone, read only where they are whole."""

import errno
import os

import pytest
import torch

from cmkd.row_file import RowFile

ROWS = torch.tensor([3, 0, 5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_what_was_written_is_read_back_and_the_rest_is_missing(tmp_path, dtype, shape):
    file = RowFile(tmp_path / "values", shape, dtype)
    file.reserve(6)
    values = torch.randn(3, *shape).to(dtype)
    file.write(ROWS, values)
    found, there = file.read(torch.tensor([5, 1, 3, 0, 2]))
    assert there.tolist() == [True, False, True, True, False]
    assert torch.equal(found[there], values[[2, 0, 1]])


def test_a_row_of_zeros_is_told_from_one_that_was_never_written(tmp_path):
    file = RowFile(tmp_path / "values", (4,), torch.float32)
    file.reserve(2)
    file.write(torch.tensor([1]), torch.zeros(1, 4))
    assert file.read(torch.arange(2))[1].tolist() == [False, True]


def test_another_mapping_of_the_file_sees_what_was_written_and_a_longer_one_keeps_it(tmp_path):
    first, second = (RowFile(tmp_path / "values", (2,), torch.float32) for _ in range(2))
    first.reserve(6)
    second.reserve(6)
    first.write(ROWS, torch.ones(3, 2))
    assert second.read(ROWS)[1].all()
    second.reserve(60)
    second.write(torch.tensor([50]), torch.ones(1, 2))
    assert first.read(ROWS)[1].all()
    first.reserve(60)
    assert first.read(torch.tensor([50]))[1].all()


def test_a_row_that_was_cut_short_is_missing(tmp_path):
    file = RowFile(tmp_path / "values", (8,), torch.float32)
    file.reserve(6)
    file.write(ROWS, torch.randn(3, 8))
    with (tmp_path / "values").open("r+b") as raw:
        raw.seek(3 * 8 * 4 + 16)
        raw.write(bytes(16))
    assert file.read(ROWS)[1].tolist() == [False, True, True]


def test_no_rows_can_be_read_and_written(tmp_path):
    file = RowFile(tmp_path / "values", (2, 3), torch.float32)
    file.reserve(6)
    none = torch.empty(0, dtype=torch.int64)
    file.write(none, torch.empty(0, 2, 3))
    values, there = file.read(none)
    assert values.shape == (0, 2, 3)
    assert there.shape == (0,)


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    def full(file, offset, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"no room for 4 MiB .*No space left"):
        RowFile(tmp_path / "values", (1024,), torch.float32).reserve(1024)
