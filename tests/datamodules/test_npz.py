import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.feature_arrays import Reading, read_feature
from datamodules.npz import ArrayFile
from tests.datamodules.feature_files import actor_arrays, save


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clips.npz"


def read(path, *, like="emotion", name="x", length=None, reading=None, **arrays):
    file = ArrayFile(save(path, **{**actor_arrays(), **arrays}))
    return read_feature(file, name, like, length=length, reading=reading)


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"clips\.npz: no such file"):
        ArrayFile(str(path))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        ArrayFile(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"clip,label\n1,2\n", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"clips\.npz: not an \.npz archive"):
        ArrayFile(str(path))


def test_a_truncated_npz_is_refused(path):
    save(path, **actor_arrays())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"clips\.npz: not an \.npz archive, or cut short"):
        ArrayFile(str(path))


def test_an_array_with_flipped_bytes_is_refused_by_name(path):
    save(path, label=np.arange(300))
    content = bytearray(path.read_bytes())
    content[400] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"clips\.npz: array 'label' is damaged"):
        ArrayFile(str(path)).read("label")


def test_a_pickle_named_npz_is_refused_and_not_executed(path, tmp_path):
    path.write_bytes(pickle.dumps(Payload(tmp_path / "executed")))
    with pytest.raises(ValueError, match=r"not an \.npz archive"):
        ArrayFile(str(path))
    assert not (tmp_path / "executed").exists()


def test_an_object_array_is_refused_and_never_unpickled(path, tmp_path):
    trap = np.array([Payload(tmp_path / "executed")], dtype=object)
    file = ArrayFile(save(path, emotion=trap))
    with pytest.raises(ValueError, match=r"array 'emotion' .* Nothing is unpickled"):
        file.read("emotion")
    assert not (tmp_path / "executed").exists()
    np.load(path, allow_pickle=True)["emotion"]
    assert (tmp_path / "executed").exists(), "the payload is harmless, so the test proves nothing"


def test_an_unknown_array_is_answered_with_those_there_are(path):
    file = ArrayFile(save(path, face_au=np.ones((2, 3)), actor=np.ones(2)))
    with pytest.raises(ValueError, match=r"array 'face' is not in the file, .* actor, face_au"):
        file.read("face")


def test_a_column_of_fractions_is_refused(path):
    file = ArrayFile(save(path, emotion=np.array([0.5, 1.5])))
    with pytest.raises(ValueError, match=r"array 'emotion' has shape \(2,\) and type float64"):
        file.read_column("emotion")


def test_a_column_of_byte_strings_reads_as_text(path):
    file = ArrayFile(save(path, emotion=np.array([b"calm", b"sad"])))
    assert file.read_column("emotion").tolist() == ["calm", "sad"]


def test_a_column_of_another_length_names_both_arrays(path):
    file = ArrayFile(save(path, emotion=np.arange(4), actor=np.arange(3)))
    with pytest.raises(ValueError, match="array 'actor' has 3 rows, but 'emotion' has 4"):
        file.read_column("actor", like="emotion")


def test_features_of_another_length_name_both_arrays(path):
    with pytest.raises(ValueError, match="array 'x' has 35 rows, but 'emotion' has 36"):
        read(path, x=np.ones((35, 4)))


@pytest.mark.parametrize("dtype", [np.complex64, "U4", "datetime64[s]"])
def test_features_that_are_no_real_numbers_are_refused(path, dtype):
    with pytest.raises(ValueError, match=r"array 'x' has type .* have to be real numbers"):
        read(path, x=np.zeros((36, 4)).astype(dtype))


@pytest.mark.parametrize("shape", [(36,), (36, 0), (36, 2, 3, 3)])
def test_features_that_are_neither_vectors_nor_sequences_are_refused(path, shape):
    with pytest.raises(ValueError, match=r"array 'x' has shape .* \(N, D\) vectors"):
        read(path, x=np.zeros(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_in_float32_are_counted_and_located(path, bad):
    x = actor_arrays()["audio_mfcc"]
    x[[7, 20], 1] = bad
    with pytest.raises(ValueError, match=r"array 'x' has NaN or infinity in 2 rows, .* row 7"):
        read(path, x=x)


def test_rows_of_nan_are_absent_only_when_declared(path):
    x = actor_arrays()["audio_mfcc"]
    x[[3, 5]] = np.nan
    with pytest.raises(ValueError, match=r"2 rows, the first is row 3.*nan_rows_are_absent"):
        read(path, x=x)
    feature = read(path, x=x, reading=Reading(nan_rows_are_absent=True))
    assert np.flatnonzero(~feature.present).tolist() == [3, 5]
    assert (feature.values[[3, 5]] == 0).all()


def test_a_row_with_some_nan_is_an_error_even_where_rows_of_nan_are_absent(path):
    x = actor_arrays()["audio_mfcc"]
    x[3] = np.nan
    x[9, 0] = np.nan
    with pytest.raises(ValueError, match="1 rows, the first is row 9"):
        read(path, x=x, reading=Reading(nan_rows_are_absent=True))


def test_a_sequence_ends_where_only_zero_frames_follow(path):
    x = np.ones((36, 4, 2))
    x[0, 2:] = 0
    x[1, 1] = 0  # a silent frame inside
    x[2, :, 0] = 0  # one feature at zero is no padding
    feature = read(path, x=x)
    assert feature.length is not None
    assert feature.length[:4].tolist() == [2, 4, 4, 4]


def test_a_sequence_of_zeros_alone_is_refused(path):
    x = np.ones((36, 4, 2))
    x[[6, 30]] = 0
    with pytest.raises(ValueError, match="2 sequences of nothing but zeros, the first in row 6"):
        read(path, x=x)


def test_stored_lengths_cut_the_sequences_and_what_follows_may_be_anything(path):
    x = np.ones((36, 4, 2))
    x[0, 2:] = np.nan
    frames = np.full(36, 4)
    frames[0] = 2
    feature = read(path, x=x, frames=frames, length="frames")
    assert feature.length is not None
    assert feature.length.tolist() == frames.tolist()
    assert feature.values[0].tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_an_absent_sequence_is_one_zero_frame_long(path):
    x = np.ones((36, 4, 2))
    x[8] = np.nan
    feature = read(path, x=x, reading=Reading(nan_rows_are_absent=True))
    assert feature.length is not None
    assert not feature.present[8]
    assert feature.length[8] == 1
    assert (feature.values[8] == 0).all()


@pytest.mark.parametrize("length", [0, 5, -1])
def test_a_stored_length_out_of_range_is_located(path, length):
    frames = np.full(36, 4)
    frames[11] = length
    with pytest.raises(ValueError, match=rf"'frames' has 1 lengths outside 1\.\.4 .* {length} in"):
        read(path, x=np.ones((36, 4, 2)), frames=frames, length="frames")


def test_stored_lengths_have_to_be_integers(path):
    with pytest.raises(ValueError, match=r"'frames' has type <U1\. Lengths have to be integers"):
        read(path, x=np.ones((36, 4, 2)), frames=np.full(36, "4"), length="frames")


def test_lengths_of_vectors_are_refused(path):
    with pytest.raises(ValueError, match="array 'face_au' holds vectors, which have no"):
        read(path, name="face_au", length="speech_frames")


def test_rows_of_zeros_are_absent_only_when_declared(path):
    x = actor_arrays()["face_au"]
    x[[3, 5]] = 0
    assert read(path, x=x).present.all()
    feature = read(path, x=x, reading=Reading(zero_rows_are_absent=True))
    assert np.flatnonzero(~feature.present).tolist() == [3, 5]


def test_a_sequence_of_zeros_is_absent_when_declared(path):
    x = np.ones((36, 4, 2))
    x[6] = 0
    feature = read(path, x=x, reading=Reading(zero_rows_are_absent=True))
    assert feature.length is not None
    assert (feature.present[6], feature.length[6]) == (False, 1)


def test_infinity_is_zero_only_when_declared_and_nan_never(path):
    x = actor_arrays()["audio_mfcc"]
    x[2, 1] = -np.inf
    reading = Reading(infinity_is_zero=True)
    assert read(path, x=x, reading=reading).values[2, 1] == 0
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="1 rows, the first is row 3"):
        read(path, x=x, reading=reading)


def test_a_front_padded_sequence_is_moved_to_the_front(path):
    x = np.zeros((36, 4, 1))
    x[:, 2:] = [[5], [6]]
    x[1] = [[0], [7], [0], [8]]
    feature = read(path, x=x, reading=Reading(front_padded=True))
    assert feature.length is not None
    assert feature.length[:2].tolist() == [2, 3]
    assert feature.values[0].ravel().tolist() == [5, 6, 0, 0]
    assert feature.values[1].ravel().tolist() == [7, 0, 8, 0]


def test_the_wanted_rows_are_read_and_named_as_they_stand_in_the_file(path):
    x = actor_arrays()["audio_mfcc"]
    file = ArrayFile(save(path, **actor_arrays(), x=x))
    some = read_feature(file, "x", "emotion", rows=np.array([30, 4]))
    np.testing.assert_array_equal(some.values, x[[30, 4]])
    x[30, 0] = np.nan
    file = ArrayFile(save(path, **actor_arrays(), x=x))
    with pytest.raises(ValueError, match="1 rows, the first is row 30"):
        read_feature(file, "x", "emotion", rows=np.array([4, 30]))
    assert read_feature(file, "x", "emotion", rows=np.array([4])).present.all()
