import numpy as np
import pytest
import torch

from cmkd.networks import MLP, GRUEncoder, TransformerEncoder
from datamodules.clip_table import Clip
from datamodules.collate import collate
from datamodules.text import HashedBag, HashedText, LazyTexts, hashed, words
from datamodules.text_vectors import StoredText, WordVectors
from datamodules.views import View

VIEW = View(0, 25.0, 1.0, 0.0)
TEXTS = {"a": "Excuse me.", "b": "Where is it? [LAUGHTER]", "c": "Excuse ME", "empty": ""}


def clip(name):
    return Clip(name, 0, name, {})


def read(reader, name):
    return reader.read(clip(name), VIEW)


def cosine(one, two):
    return float(torch.nn.functional.cosine_similarity(one, two, dim=0))


def test_texts_are_divided_into_words_marks_and_events():
    assert words("I don't, [LAUGHTER] know\u2026") == ["i", "don't", ",", "[laughter]", "know", "…"]
    assert words("Don\u2019t") == words("don't")
    assert words("  \t") == []


def test_accents_are_the_same_composed_and_decomposed():
    assert words("naïve CAFÉ") == words("nai\u0308ve CAFE\u0301") == ["naïve", "café"]


def test_a_word_is_a_unit_vector_and_the_same_wherever_it_stands():
    reader = HashedText(TEXTS, width=64)
    first, third = read(reader, "a"), read(reader, "c")
    assert first.shape == (3, 64)
    assert first.dtype == torch.float32
    assert torch.allclose(first.norm(dim=1), torch.ones(3))
    assert torch.equal(first[:2], third)


def test_words_that_are_spelt_alike_are_nearer_than_others():
    reader = HashedText({"x": "frustrated frustration beach"}, width=512)
    alike, kin, other = read(reader, "x")
    assert cosine(alike, kin) > 0.4
    assert abs(cosine(alike, other)) < 0.2


@pytest.mark.parametrize(("part", "place", "sign"), [("naïve", 15, -1), ("good", 3, 1)])
def test_hashes_are_the_same_in_every_process(part, place, sign):
    # Python's own hash of a string would be another one each time.
    assert np.flatnonzero(hashed([part], 16)).tolist() == [place]
    assert hashed([part], 16)[place] == sign


def test_a_bag_knows_which_words_follow_each_other():
    texts = {"x": "not good very bad", "y": "not bad very good", "z": "very bad not good"}
    single, pairs = HashedBag(texts, width=256, longest=1), HashedBag(texts, width=256)
    assert read(pairs, "x").shape == (256,)
    assert not pairs.is_sequence
    assert torch.allclose(read(single, "x"), read(single, "y"))
    assert cosine(read(pairs, "x"), read(pairs, "z")) > cosine(read(pairs, "x"), read(pairs, "y"))


def test_a_text_without_words_is_there_and_a_clip_without_text_is_not():
    for reader in (HashedText(TEXTS), HashedBag(TEXTS)):
        assert reader.has(clip("empty"))
        assert read(reader, "empty").shape == reader.blank().shape
        assert not reader.has(clip("other"))
        assert read(reader, "other") is None
        assert reader.blank().abs().sum() == 0


def batch_of(reader):
    return collate(
        [
            {"text": read(reader, name), "label": 0, "index": row, "present": {"text": True}}
            | ({"length": {"text": len(read(reader, name))}} if reader.is_sequence else {})
            for row, name in enumerate(TEXTS)
        ]
    )


@pytest.mark.parametrize("encoder", [GRUEncoder, TransformerEncoder])
def test_sequences_go_through_the_encoders_of_sequences(encoder):
    batch = batch_of(HashedText(TEXTS, width=32))
    assert batch["length"]["text"].tolist() == [3, 5, 2, 1]
    network = encoder(32, width=16).eval()
    together = network(batch["text"], batch["length"]["text"]).embedding
    alone = network(read(HashedText(TEXTS, width=32), "c")[None]).embedding
    assert torch.allclose(together[2], alone[0], atol=1e-6)


def test_bags_go_through_an_mlp():
    assert MLP(64, width=8)(batch_of(HashedBag(TEXTS, width=64))["text"]).embedding.shape == (4, 8)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HashedText({}, width=0), "HashedText.width"),
        (lambda: HashedText({}, shortest=4, longest=3), "HashedText.shortest, longest"),
        (lambda: HashedBag({}, width=0), "HashedBag.width"),
        (lambda: HashedBag({}, longest=0), "HashedBag.longest"),
    ],
)
def test_numbers_out_of_range_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_texts_are_read_once_and_not_before_they_are_asked_for():
    calls = []

    def load():
        calls.append(1)
        return TEXTS

    reader = HashedText(LazyTexts(load))
    assert not calls
    assert reader.has(clip("a"))
    assert read(reader, "b") is not None
    assert len(LazyTexts(load)) == len(list(LazyTexts(load))) == 4
    assert len(calls) == 3


GLOVE = "the 9 9\nexcuse 1 2\nme 3 4\n. 5 6\ndo 2 0\nn't 0 4\n. . . 7 8\nexcuse 8 8\n"


def write(path, text):
    path.write_bytes(text.encode())
    return str(path)


@pytest.mark.parametrize("change", [str, lambda text: text.replace("\n", "\r\n")])
@pytest.mark.parametrize("header", ["", "8 2\n"])
def test_word_vectors_are_those_of_the_file(tmp_path, header, change):
    file = write(tmp_path / "glove.txt", change(header + GLOVE))
    reader = WordVectors({"a": "Excuse me.", "b": "Don't shout"}, file)
    assert reader.has(clip("a"))
    assert read(reader, "a").tolist() == [[1, 2], [3, 4], [5, 6]]
    assert read(reader, "b").tolist() == [[1, 2], [0, 0]]
    assert reader.blank().tolist() == [[0, 0]]


def test_words_that_the_file_lacks_are_counted_in_the_log(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr("datamodules.text_vectors.rank_zero_info", lines.append)
    reader = WordVectors({"a": "Excuse them."}, write(tmp_path / "glove.txt", GLOVE))
    read(reader, "a")
    read(reader, "a")
    assert len(lines) == 1
    assert "1 of 3 different words" in lines[0]
    assert "them" in lines[0]


@pytest.mark.parametrize("bad", ["me 3", "me 3 4 5", "me 3 x", "me", "me 3 nan"])
def test_a_bad_line_is_named_with_its_number(tmp_path, bad):
    file = write(tmp_path / "glove.txt", f"excuse 1 2\n{bad}\n")
    with pytest.raises(ValueError, match=r"glove.txt, line 2: expected 'me' and 2 numbers"):
        read(WordVectors(TEXTS, file), "a")


def test_word_vectors_of_another_language_and_a_file_that_is_not_there_are_reported(tmp_path):
    with pytest.raises(ValueError, match="none of the 2 different words"):
        read(WordVectors({"a": "bonjour monde"}, write(tmp_path / "glove.txt", GLOVE)), "a")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(WordVectors(TEXTS, str(tmp_path / "nowhere.txt")), "a")


@pytest.mark.parametrize("kind", [WordVectors, StoredText])
def test_a_file_of_vectors_is_not_opened_before_a_text_is_asked_for(kind):
    reader = kind(TEXTS, "nowhere")
    assert reader.timeline(clip("a")) is None
    with pytest.raises(FileNotFoundError, match="nowhere"):
        reader.has(clip("a"))


def test_stored_sequences_are_found_by_the_clips_name(tmp_path):
    arrays = {"a": np.ones((3, 4), np.float16), "Ses01_ü": np.zeros((1, 4))}
    np.savez(tmp_path / "bert.npz", **arrays)
    reader = StoredText({}, str(tmp_path / "bert.npz"))
    assert reader.is_sequence
    assert reader.has(clip("Ses01_ü"))
    assert not reader.has(clip("b"))
    assert read(reader, "b") is None
    assert torch.equal(read(reader, "a"), torch.ones(3, 4))
    assert reader.blank().shape == (1, 4)


def test_stored_files_that_cannot_be_read_are_named(tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([{}]))
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "widths.npz", a=np.ones((3, 4)), b=np.ones((3, 5)))
    for name, message in [
        ("objects", "array of a cannot be read.*nothing is unpickled"),
        ("text", "text.npz: not an .npz archive"),
        ("widths", "widths.npz"),
    ]:
        with pytest.raises(ValueError, match=message):
            StoredText({}, str(tmp_path / f"{name}.npz")).has(clip("a"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        StoredText({}, str(tmp_path / "nowhere.npz")).has(clip("a"))
