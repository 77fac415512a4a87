"""The file of embeddings, and searching it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from cmkd import load_student
from cmkd.infer import EmbeddingIndex, student_fingerprint
from cmkd.infer import index as module
from tests.cmkd.infer.small_students import clip_reading, feature_reading, save


@pytest.fixture
def index():
    torch.manual_seed(0)
    names = [f"clips/grün {number}.mp4" for number in range(40)]
    output = torch.rand(40, 3)
    return EmbeddingIndex(names, torch.randn(40, 6), output, ["a", "b", "c"], "abc", "best.ckpt")


def test_what_is_saved_is_read_again_by_us_and_by_numpy_alone(index, tmp_path):
    path = tmp_path / "clips.npz"
    index.save(path)
    again = EmbeddingIndex.load(path)
    assert torch.equal(again.embedding, index.embedding)
    assert torch.equal(again.output, index.output)
    for field in ("sources", "class_names", "student", "checkpoint"):
        assert getattr(again, field) == getattr(index, field)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["source"].tolist() == index.sources
        assert arrays["probability"].shape == (40, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["clips.npz"]


def test_values_of_a_regression_are_saved_as_such(index, tmp_path):
    replace(index, output=torch.rand(40), class_names=None).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["value"].shape == (40,)
        assert "class_names" not in arrays
    assert EmbeddingIndex.load(tmp_path / "a.npz").class_names is None


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside(index, tmp_path, monkeypatch):
    path = tmp_path / "clips.npz"
    index.save(path)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(module.np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        index.save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_nearest_are_those_of_a_plain_loop(index):
    query = torch.randn(6)
    cosine = [float(cosine_similarity(query, row, dim=0)) for row in index.embedding]
    expected = sorted(zip(index.sources, cosine, strict=True), key=lambda pair: -pair[1])
    found = index.nearest(query, 7)
    assert [name for name, _ in found] == [name for name, _ in expected[:7]]
    assert [value for _, value in found] == pytest.approx([v for _, v in expected[:7]], abs=1e-6)
    assert len(index.nearest(query, 1000)) == 40


def test_a_query_does_not_find_itself_by_whatever_path(index, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = index.sources[3]
    assert index.nearest(index.embedding[3], 1)[0][0] == own
    for path in (own, f"./{own}", str(tmp_path / own)):
        found = [name for name, _ in index.nearest(index.embedding[3], 1000, without=path)]
        assert len(found) == 39
        assert own not in found


def test_nonsense_is_refused(index):
    with pytest.raises(ValueError, match="k of at least 1"):
        index.nearest(index.embedding[0], 0)
    with pytest.raises(ValueError, match="6 numbers"):
        index.nearest(torch.zeros(5), 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"embedding": np.zeros((2, 3))}, "no array 'source'"),
        ({"source": np.array(["a"])}, "do not fit"),
        ({"embedding": np.full((40, 6), np.nan)}, "finite"),
        ({"embedding": np.zeros((40, 6), dtype=object)}, "cannot be read"),
    ],
)
def test_another_file_is_refused(index, tmp_path, arrays, message):
    path = tmp_path / "clips.npz"
    index.save(path)
    with np.load(path) as archive:
        known = dict(archive) if message != "no array 'source'" else {}
    np.savez(path, **known | arrays)
    with pytest.raises(ValueError, match=message) as error:
        EmbeddingIndex.load(path)
    assert "clips.npz" in str(error.value)


def test_a_file_that_is_missing_or_cut_short_is_refused(index, tmp_path):
    path = tmp_path / "clips.npz"
    with pytest.raises(FileNotFoundError, match=r"clips\.npz"):
        EmbeddingIndex.load(path)
    index.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut short"):
        EmbeddingIndex.load(path)


def test_a_student_read_again_has_the_same_fingerprint_after_use_too(student_file, student, clips):
    before = student_fingerprint(load_student(student_file))
    student.predict(clips[0])
    assert student_fingerprint(student) == before


def test_other_weights_and_other_inputs_make_another_student(tmp_path):
    made = {
        "a": save(tmp_path / "a", clip_reading("video")),
        "weights": save(tmp_path / "b", clip_reading("video"), seed=1),
        "windows": save(tmp_path / "c", clip_reading("video", eval_stride=4)),
        "features": save(tmp_path / "d", feature_reading()),
        "mean": save(tmp_path / "e", replace(feature_reading(), mean={"face": torch.ones(4)})),
    }
    assert len({student_fingerprint(load_student(path)) for path in made.values()}) == len(made)
