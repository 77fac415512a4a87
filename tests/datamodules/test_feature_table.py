import pickle
import tracemalloc

import numpy as np
import pytest
import torch

from datamodules.feature_arrays import read_feature
from datamodules.feature_splits import ArraySplit, FoldSplit, GroupSplit
from datamodules.feature_table import TableFiles, open_features
from datamodules.npz import ArrayFile
from datamodules.targets import RealTarget
from tests.datamodules.feature_files import FOLDS, actor_arrays, feature_folds, save

ARRAYS = {"face": "face_au.npy", "audio": "features/audio_mfcc.npy", "speech": "speech.npy"}


def save_table(folder, separator="\n", **changes):
    """Write ``actor_arrays`` as a CSV and .npy files; return the CSV's path."""
    arrays = {**actor_arrays(), **changes}
    (folder / "features").mkdir(exist_ok=True)
    for path in ARRAYS.values():
        np.save(folder / path, arrays.pop(path.split("/")[-1].removesuffix(".npy")))
    lines = [",".join(arrays)]
    lines += [",".join(map(str, row)) for row in zip(*arrays.values(), strict=True)]
    path = folder / "clips.csv"
    path.write_bytes(separator.join([*lines, ""]).encode())
    return str(path)


def table(tmp_path, text, **arrays):
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    path = tmp_path / "clips.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return TableFiles(str(path))


def batches(data):
    return list(data.train_dataloader()) + list(data.val_dataloader())


def test_a_table_gives_the_batches_that_the_npz_gives(tmp_path):
    npz = feature_folds(save(tmp_path / "a.npz", **actor_arrays()), auxiliary_modalities=["speech"])
    csv = feature_folds(save_table(tmp_path), arrays=ARRAYS, auxiliary_modalities=["speech"])
    assert csv.class_names == npz.class_names
    for one, other in zip(batches(csv), batches(npz), strict=True):
        for key in ("face", "speech", "label", "index"):
            torch.testing.assert_close(one[key], other[key], rtol=0, atol=0)
        torch.testing.assert_close(one["length"], other["length"])


@pytest.mark.parametrize(
    "text",
    [
        "clip,label\na,1\nb,2\n",
        "clip,label\r\na,1\r\nb,2\r\n",
        "\ufeffclip,label\na,1\nb,2",
        "\n\nclip,label\n\na,1\n \nb,2\n\n\n",
        ' clip , label \n a , 1 \n"b",2\n',
    ],
    ids=["plain", "windows", "byte order mark", "blank lines", "spaces"],
)
def test_what_editors_do_to_a_csv_does_no_harm(tmp_path, text):
    file = table(tmp_path, text)
    assert file.read_column("clip").tolist() == ["a", "b"]
    assert file.read_column("label").tolist() == [1, 2]


def test_a_quoted_cell_holds_commas_and_line_ends(tmp_path):
    file = table(tmp_path, 'clip,text\na,"well, yes\nno"\n')
    assert file.read_column("text").tolist() == ["well, yes\nno"]


def test_integers_read_as_integers_and_names_of_digits_as_names(tmp_path):
    file = table(tmp_path, "number,name\n10,010\n-2,007\n0,1\n")
    assert file.read_column("number").dtype.kind == "i"
    assert file.read_column("name").tolist() == ["010", "007", "1"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"clips\.csv: empty\. The first line has to name the columns"),
        ("clip,label\na,1\nb\n", r"clips\.csv: line 3 has 1 cells, but the header has 2"),
        ("clip,label\n\na,1,2\n", r"clips\.csv: line 3 has 3 cells.*double quotes"),
        ("clip,label,clip\na,1,2\n", r"clips\.csv: the header names clip more than once"),
        ("clip;label\na;1\n", r"clips\.csv: the cells are separated by ';'\. Save .* commas"),
        ("clip\tlabel\na\t1\n", r"separated by '\\t'"),
        ("clip,label\nä,1\n".encode("latin-1"), r"clips\.csv: not a CSV file .* in UTF-8"),
        ("clip,label\n".encode("utf-16"), r"clips\.csv: not a CSV file"),
        ('clip,label\n"a,1\nb,2\n', r"clips\.csv: not a CSV file"),
    ],
)
def test_a_csv_that_cannot_be_right_is_refused(tmp_path, text, complaint):
    with pytest.raises(ValueError, match=complaint):
        table(tmp_path, text)


def test_a_missing_csv_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"clips\.csv: no such file"):
        open_features(str(tmp_path / "clips.csv"))


def test_the_ending_tells_a_table_from_an_archive(tmp_path):
    table(tmp_path, "clip\na\n")
    assert isinstance(open_features(str(tmp_path / "clips.csv")), TableFiles)
    assert isinstance(open_features(save(tmp_path / "a.npz", x=np.ones(2))), ArrayFile)


def test_a_missing_column_is_answered_with_those_there_are(tmp_path):
    file = table(tmp_path, "clip,label\na,1\n")
    with pytest.raises(ValueError, match=r"clips\.csv: column 'emotion' is not .* clip, label"):
        file.read_column("emotion")


def test_an_empty_cell_is_located_where_its_column_is_used(tmp_path):
    file = table(tmp_path, "clip,label\na,1\n,\n")
    with pytest.raises(ValueError, match=r"clips\.csv: column 'label' is empty in line 3"):
        file.read_column("label")


@pytest.mark.parametrize(("cell", "complaint"), [("high", "has 'high' in line 3"), ("nan", "NaN")])
def test_a_value_that_is_no_finite_number_is_located(tmp_path, cell, complaint):
    file = table(tmp_path, f"clip,label\na,1.5\nb,{cell}\n")
    with pytest.raises(ValueError, match=rf"clips\.csv: column 'label' .*{complaint}"):
        file.read_numbers("label")


def test_real_labels_come_from_a_table(tmp_path):
    value = np.linspace(-3, 3, 36)
    data = feature_folds(
        save_table(tmp_path, value=value), arrays=ARRAYS, label="value", target=RealTarget()
    )
    label = data.dataset("test").label
    assert label.dtype == torch.float32
    np.testing.assert_allclose(label, value[data.parts.test.rows], rtol=1e-6)


def test_splits_read_the_columns_of_a_table(tmp_path):
    words = ["train"] * 18 + ["val"] * 6 + ["test"] * 12
    file = TableFiles(save_table(tmp_path, split=words, fold=np.repeat([1, 2, 3], 12)))
    by_word = ArraySplit().parts(file, "emotion", 0)
    by_fold = FoldSplit(test=[3], val=[1]).parts(file, "emotion", 0)
    by_group = GroupSplit("actor", FOLDS, fold=2).parts(file, "emotion", 0)
    for parts in (by_word, by_fold, by_group):
        assert parts.test.rows.tolist() == list(range(24, 36))


def test_an_array_with_fewer_rows_than_the_table_is_refused(tmp_path):
    data = feature_folds(save_table(tmp_path, face_au=np.ones((35, 4))), arrays=ARRAYS)
    with pytest.raises(
        ValueError, match=r"face_au\.npy: the array has 35 rows, but 'emotion' has 36"
    ):
        data.setup("fit")


def test_features_that_are_not_finite_name_their_own_file(tmp_path):
    face = actor_arrays()["face_au"]
    face[30] = np.inf
    data = feature_folds(save_table(tmp_path, face_au=face), arrays=ARRAYS)
    assert 30 in data.parts.train.rows
    with pytest.raises(ValueError, match=r"face_au\.npy: the array has NaN .* first is row 30"):
        data.dataset("train")


def test_a_missing_array_is_answered_with_how_to_name_it(tmp_path):
    file = table(tmp_path, "clip,label\na,1\n")
    with pytest.raises(FileNotFoundError, match=r"face\.npy: no such file\. With a CSV"):
        read_feature(file, "face.npy", "label")


@pytest.mark.parametrize("content", [b"", b"clip,label\n", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npy_is_refused(tmp_path, content):
    file = table(tmp_path, "clip\na\n")
    (tmp_path / "face.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"face\.npy: .*cannot be read .* numpy\.save"):
        file.read("face.npy")


def test_a_truncated_npy_is_refused(tmp_path):
    file = table(tmp_path, "clip\na\n", face=np.ones((40, 8)))
    whole = (tmp_path / "face.npy").read_bytes()
    (tmp_path / "face.npy").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"face\.npy: .*cannot be read"):
        file.read("face.npy")


def test_objects_and_pickles_are_refused_unread(tmp_path):
    file = table(tmp_path, "clip\na\n", face=np.array([{"a": 1}], dtype=object))
    (tmp_path / "audio.npy").write_bytes(pickle.dumps([1, 2]))
    for name in ("face.npy", "audio.npy"):
        with pytest.raises(ValueError, match=rf"{name}: .*Nothing is unpickled"):
            file.read(name)


def test_only_the_rows_in_use_are_read(tmp_path):
    rows, width = 60_000, 2048
    text = "clip\n" + "\n".join(["a"] * rows)
    file = table(tmp_path, text)
    huge = np.lib.format.open_memmap(
        tmp_path / "face.npy", "w+", dtype=np.float32, shape=(rows, width)
    )
    huge[[7, rows - 1]] = 5.0
    huge.flush()
    tracemalloc.start()
    feature = read_feature(file, "face.npy", "clip", rows=np.array([7, rows - 1]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert feature.values.tolist() == [[5.0] * width] * 2
    assert huge.nbytes > 400e6
    assert peak < 1e6
