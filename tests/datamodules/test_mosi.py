import pickle
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch

from datamodules.mosi import CONVERT, MOSI
from datamodules.targets import PolarityTarget, RealTarget, RoundedTarget
from tests.datamodules.feature_files import save
from tests.real_data import DATA, needs_real_data

PARTS = {"train": ["_dI--eQ6q_1", "b", "c", "d"], "valid": ["e_2"], "test": ["f", "g"]}
SEGMENTS = 6


def aligned(name="{}$_${}"):
    """The dictionaries of aligned_50.pkl with few numbers: padded sequences and labels."""
    rng = np.random.default_rng(0)
    data = {}
    for part, videos in PARTS.items():
        ids = [name.format(video, segment) for video in videos for segment in range(SEGMENTS)]
        arrays = {
            "raw_text": [f"this is {i}" for i in ids],
            "id": ids,
            "annotations": ["Neutral"] * len(ids),
            "regression_labels": np.linspace(-3, 3, len(ids)).round(1),
        }
        for modality, width in (("text", 8), ("audio", 4), ("vision", 3)):
            values = rng.normal(size=(len(ids), 5, width)).astype(np.float32)
            values[::2, 3:] = 0
            arrays[modality] = values
        data[part] = arrays
    return data


def flat(data):
    return {f"{k}_{part}": np.array(v) for part, arrays in data.items() for k, v in arrays.items()}


def mosi(file, **changes):
    arguments = {"student_modalities": ["audio"], "auxiliary_modalities": ["text", "video"]}
    return MOSI(file, **{**arguments, "batch_size": 4, **changes})


def videos(data, part):
    part = getattr(data.parts, part)
    return {re.split(r"\$_\$|\[", i)[0] for i in data.file.read("id" + part.suffix)[part.rows]}


@pytest.fixture
def file(tmp_path):
    return save(tmp_path / "aligned_50.npz", **flat(aligned()))


def test_a_pickle_is_refused_with_the_line_that_converts_it(tmp_path):
    path = tmp_path / "aligned_50.pkl"
    with path.open("wb") as pickled:
        pickle.dump(aligned(), pickled)
    with pytest.raises(ValueError, match="a pickle, which could run code") as told:
        mosi(str(path))
    line = str(told.value).splitlines()[-1]
    assert line == CONVERT
    command = [sys.executable, *shlex.split(line)[1:]]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    data = mosi(str(tmp_path / "aligned_50.npz"))
    assert len(data.dataset("train")) == 4 * SEGMENTS


def test_the_parts_of_the_file_are_taken_as_they_are(file):
    data = mosi(file)
    sizes = {part: len(data.dataset(part)) for part in ("train", "val", "test")}
    assert sizes == {"train": 24, "val": 6, "test": 12}
    assert data.class_names == ["negative", "non-negative"]
    batch = next(iter(data.train_dataloader()))
    assert [batch[name].shape[2] for name in ("audio", "text", "video")] == [4, 8, 3]
    assert set(batch["length"]["audio"].tolist()) <= {3, 5}


@pytest.mark.parametrize("name", ["{}$_${}", "{}_{}", "{}[{}]"])
def test_without_a_validation_part_whole_videos_are_cut(tmp_path, name):
    arrays = flat(aligned(name))
    video = {name.format(v, s): v for v in PARTS["train"] for s in range(SEGMENTS)}
    path = save(tmp_path / "m.npz", **{k: v for k, v in arrays.items() if "valid" not in k})
    for seed in range(4):
        data = mosi(path, seed=seed, val_fraction=0.25)
        segments = [
            data.file.read("id_train")[part.rows] for part in (data.parts.train, data.parts.val)
        ]
        owners = [{video[segment] for segment in some} for some in segments]
        assert [len(some) for some in segments] == [3 * SEGMENTS, SEGMENTS]
        assert not owners[0] & owners[1]


def test_no_video_stands_in_two_parts(file):
    data = mosi(file)
    train, val, test = (videos(data, part) for part in ("train", "val", "test"))
    assert (train, val, test) == tuple(set(names) for names in PARTS.values())
    straddling = aligned()
    straddling["valid"]["id"][2] = "c$_$9"
    path = save(data.file.path, **flat(straddling))
    with pytest.raises(ValueError, match=r"'id_valid' has groups in the training and .* part: c\."):
        mosi(path)


def test_one_label_gives_polarity_seven_classes_and_a_value(file):
    stored = flat(aligned())["regression_labels_test"]
    for target, wanted in (
        (None, stored >= 0),
        (RoundedTarget(), np.round(stored) + 3),
        (RealTarget(), stored),
        (PolarityTarget(without_zeros=True), stored[stored != 0] > 0),
    ):
        label = mosi(file, target=target).dataset("test").label
        np.testing.assert_allclose(label, wanted.astype(np.float32), rtol=1e-6)


def test_labels_and_names_of_the_older_layout_are_understood(tmp_path):
    arrays = flat(aligned())
    for part in PARTS:
        arrays[f"labels_{part}"] = arrays.pop(f"regression_labels_{part}")[:, None, None]
        video = [name.partition("$")[0] for name in arrays[f"id_{part}"]]
        arrays[f"id_{part}"] = np.array([[name, "0.5", "2.5"] for name in video])
    data = mosi(save(tmp_path / "mosei_senti_data.npz", **arrays), target=RealTarget())
    assert data.label == "labels"
    assert len(data.dataset("train").label) == 24


def test_frames_of_zeros_before_a_sequence_are_removed(tmp_path):
    arrays = flat(aligned())
    stored = arrays["audio_train"]
    behind = mosi(save(tmp_path / "behind.npz", **arrays)).dataset("train")
    arrays["audio_train"] = np.concatenate([stored[:, 3:], stored[:, :3]], axis=1)
    arrays["audio_train"][1::2] = stored[1::2]
    before = mosi(save(tmp_path / "before.npz", **arrays)).dataset("train")
    torch.testing.assert_close(before.values["audio"], behind.values["audio"])
    assert before.length["audio"].tolist() == [3, 5] * 12


def test_lengths_are_used_where_the_file_has_them(tmp_path):
    arrays = flat(aligned())
    for part, names in PARTS.items():
        arrays[f"audio_lengths_{part}"] = np.full(len(names) * SEGMENTS, 2)
    data = mosi(save(tmp_path / "unaligned_50.npz", **arrays))
    assert data.dataset("train").length["audio"].tolist() == [2] * 24


def test_a_segment_of_zeros_lacks_the_modality_and_infinity_counts_as_zero(tmp_path, caplog):
    arrays = flat(aligned())
    arrays["vision_train"][3] = 0
    arrays["audio_train"][4, 1, 2] = -np.inf
    with caplog.at_level("INFO", logger="lightning.pytorch.utilities.rank_zero"):
        train = mosi(save(tmp_path / "m.npz", **arrays)).dataset("train")
    assert torch.nonzero(~train.present["video"]).flatten().tolist() == [3]
    assert train.present["audio"].all()
    assert torch.isfinite(train.values["audio"]).all()
    assert "array 'vision_train' is absent in 1 of 24 rows" in caplog.text
    assert "array 'audio_train' has 1 infinite numbers, read as 0" in caplog.text


def test_a_file_without_labels_is_answered_with_what_it_has(tmp_path):
    arrays = {k: v for k, v in flat(aligned()).items() if not k.startswith("regression")}
    with pytest.raises(ValueError, match=r"m\.npz: none of the labels .* the array in `label`"):
        mosi(save(tmp_path / "m.npz", **arrays))


@needs_real_data
def test_the_real_file_keeps_the_authors_split_and_validates_on_whole_videos():
    data = mosi(f"{DATA}/features/mosi_text_audio_video.npz", auxiliary_at_test=True)
    data.setup("fit")
    data.setup("test")
    assert len(data.dataset("train")) + len(data.dataset("val")) == 1447
    assert len(data.dataset("test")) == 752
    owners = [
        {name.rpartition("_")[0] for name in data.file.read("id" + part.suffix)[part.rows]}
        for part in (data.parts.train, data.parts.val, data.parts.test)
    ]
    assert [len(some) for some in owners] == [53, 9, 31]
    assert len(set.union(*owners)) == 93
    positive = data.dataset("test").label.float().mean().item()
    assert positive == pytest.approx(0.621, abs=1e-3)
