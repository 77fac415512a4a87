"""Reading MNIST's files."""

import gzip

import numpy as np
import pytest

from datamodules.idx import read_digit_images, read_digits, read_idx
from tests.datamodules.digit_files import write_idx, write_images
from tests.real_data import DATA, needs_real_data


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_images_come_back_as_they_were_written(tmp_path, suffix):
    images = write_images(tmp_path, suffix=suffix)
    assert (read_digit_images(tmp_path, "train") == images).all()
    assert np.bincount(read_digits(tmp_path, "train")).tolist() == [8] * 10


def test_names_with_a_dot_are_found_too(tmp_path):
    images = write_images(tmp_path, "t10k")
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert (read_digit_images(tmp_path, "t10k") == images).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: b"", "is no idx file, or ends within its header"),
        (lambda raw: raw[:10], "is no idx file, or ends within its header"),
        (lambda raw: b"PK" + raw[2:], "is no idx file"),
        (lambda raw: raw[:2] + b"\x0d" + raw[3:], r"type 0x0d in 3 dimensions, not unsigned bytes"),
        (lambda raw: raw[:3] + b"\x01" + raw[4:], r"in 1 dimensions, .* in 3"),
        (lambda raw: raw[:-1], r"promises 80 x 12 x 12 values, but 11519 bytes follow"),
        (lambda raw: raw + b"0", r"promises 80 x 12 x 12 values, but 11521 bytes follow"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, change, message):
    write_images(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"train-images-idx3-ubyte .*{message}"):
        read_digit_images(tmp_path, "train")


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: b"no gzip", lambda raw: b""])
def test_a_damaged_archive_is_named(tmp_path, damage):
    path = write_idx(tmp_path / "x-labels-idx1-ubyte.gz", np.arange(10))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"x-labels-idx1-ubyte\.gz (does not unpack|is no idx)"):
        read_idx(path, dimensions=1)


def test_an_archive_damaged_inside_is_named(tmp_path):
    path = write_idx(tmp_path / "x-labels-idx1-ubyte.gz", np.arange(200))
    raw = bytearray(gzip.compress(bytes(200)))
    raw[12] ^= 0xFF
    path.write_bytes(bytes(raw))
    with pytest.raises(ValueError, match="does not unpack"):
        read_idx(path, dimensions=1)


def test_labels_that_do_not_match_the_images_are_refused(tmp_path):
    write_images(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(10))
    with pytest.raises(ValueError, match="holds 80 images, but there are 10 labels"):
        read_digit_images(tmp_path, "train")


@pytest.mark.parametrize("labels", [np.array([3, 10]), np.array([], dtype=int)])
def test_labels_that_are_no_digits_are_refused(tmp_path, labels):
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
    with pytest.raises(ValueError, match="there is no label, or one that is no digit"):
        read_digits(tmp_path, "train")


def test_a_missing_set_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte is not there.*\.gz"):
        read_digits(tmp_path, "t10k")


@needs_real_data
def test_the_real_test_images_are_read():
    images, digits = read_digit_images(DATA / "mnist", "t10k"), read_digits(DATA / "mnist", "t10k")
    assert images.shape == (10_000, 28, 28)
    assert np.bincount(digits).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
