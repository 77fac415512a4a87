"""Clips of one's own, a folder a class."""

import numpy as np
import pytest
import torch

from cmkd.prepare import main as prepare
from datamodules import ClipFolders
from tests.datamodules.digit_files import write_wav
from tests.datamodules.media_files import write_clip

SMALL = {"frames": 4, "resize": (24, 32), "size": 16, "sample_rate": 8_000, "batch_size": 4}
CLASSES = ("clap", "wave")


def touch(folder, *names):
    """Make files that are listed, but never opened."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def many(folder, groups=10, clips=3, classes=CLASSES, suffix=".mp4"):
    return touch(
        folder,
        *(
            f"{one}/scene{group}_{clip}{suffix}"
            for one in classes
            for group in range(groups)
            for clip in range(clips)
        ),
    )


def data_of(root, student=("video",), auxiliary=("audio",), **arguments):
    return ClipFolders(str(root), list(student), list(auxiliary), **(SMALL | arguments))


def names(data, split):
    return [clip.name for clip in data.clips(split)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two classes of four videos with sound, divided into train and test."""
    root = tmp_path_factory.mktemp("clips")
    for part, count in (("train", 3), ("test", 1)):
        for name in CLASSES:
            for number in range(count):
                write_clip(root / part / name / f"{part}_{number}.mp4", size=(32, 48))
    return root


def test_a_batch_holds_what_is_seen_and_heard(clips):
    data = data_of(clips, ["video", "image"], image_size=16, val_fraction=0.3)
    batch = next(iter(data.train_dataloader()))
    assert batch["video"].shape == (4, 3, 4, 16, 16)
    assert batch["image"].shape == (4, 3, 16, 16)
    assert batch["audio"].shape == (4, 1, round(4 / 25 * 8_000))
    assert all(there.all() for there in batch["present"].values())
    assert data.class_names == list(CLASSES)


def test_the_given_parts_stay_apart_and_validation_is_cut_from_training(clips):
    data = data_of(clips, val_fraction=0.3)
    assert names(data, "test") == ["test/clap/test_0", "test/wave/test_0"]
    train, val = names(data, "train"), names(data, "val")
    assert len(train) == 4
    assert len(val) == 2
    assert all(name.startswith("train/") for name in train + val)
    assert not set(train) & set(val)


def test_a_folder_that_is_not_divided_is_divided_by_whole_groups(tmp_path):
    data = data_of(many(tmp_path), group=r"(.+)_\d+", test_fraction=0.3, val_fraction=0.2)
    groups = {
        split: {clip.group for clip in data.clips(split)} for split in ("train", "val", "test")
    }
    assert groups["train"] | groups["val"] | groups["test"] == {f"scene{n}" for n in range(10)}
    assert sum(len(one) for one in groups.values()) == 10
    assert len(groups["test"]) == 3
    assert len(names(data, "test")) == 18


def test_the_test_part_depends_on_its_own_seed_alone(tmp_path):
    many(tmp_path)
    first = names(data_of(tmp_path, group=r"(.+)_\d+"), "test")
    assert names(data_of(tmp_path, group=r"(.+)_\d+", seed=7), "test") == first
    assert names(data_of(tmp_path, group=r"(.+)_\d+", split_seed=1), "test") != first


def test_without_groups_every_clip_is_its_own(tmp_path):
    data = data_of(many(tmp_path, groups=4))
    assert len({clip.group for clip in data.listed("train")}) == len(list(data.listed("train")))


def test_folders_named_train_and_test_may_be_classes(tmp_path):
    data = data_of(many(tmp_path, classes=("test", "train")))
    assert data.class_names == ["test", "train"]
    assert {clip.label for clip in data.listed("test")} == {0, 1}


def test_another_microphone_is_heard_instead_of_the_clips_own_sound(clips, tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 1_500 * np.arange(16_000) / 16_000)
    write_wav(tmp_path / "train" / "clap" / "train_0.wav", tone, rate=16_000)
    data = data_of(clips, folders={"audio": str(tmp_path)}, val_fraction=0.3)
    table = {clip.name for clip in data.listed("train") if "audio" in clip.sources}
    assert table == {"train/clap/train_0"}
    everything = [
        (data.clips(split)[row].name, data.dataset(split)[row])
        for split in ("train", "val")
        for row in range(len(data.clips(split)))
    ]
    heard = {name: sample for name, sample in everything if sample["present"]["audio"]}
    assert set(heard) == {"train/clap/train_0"}
    wave = heard["train/clap/train_0"]["audio"][0].numpy()
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    assert spectrum.argmax() * 8_000 / len(wave) == pytest.approx(1_500, abs=10)


def test_a_second_camera_and_stored_features_are_modalities_of_their_own(clips, tmp_path):
    for number in range(3):
        for name in CLASSES:
            write_clip(
                tmp_path / "depth" / "train" / name / f"train_{number}.mp4",
                colour=lambda _: (250, 250, 250),
                tone=None,
                size=(32, 48),
            )
            path = tmp_path / "text" / "train" / name / f"train_{number}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.full(5, number, np.float32))
    folders = {"depth": str(tmp_path / "depth"), "text": str(tmp_path / "text")}
    data = data_of(clips, ["video"], ["depth", "text"], folders=folders, val_fraction=0.3)
    batch = next(iter(data.train_dataloader()))
    assert batch["depth"].shape == batch["video"].shape
    assert batch["depth"].min() > batch["video"].max() - 0.5  # white beside a grey ramp
    assert batch["text"].shape == (4, 5)
    assert torch.equal(batch["text"], batch["text"][:, :1].expand(4, 5))
    assert set(next(iter(data.test_dataloader()))) >= {"video", "label"}
    assert "depth" not in next(iter(data.test_dataloader()))


def test_sound_files_alone_are_heard(tmp_path):
    for name in CLASSES:
        for number in range(4):
            tone = np.sin(2 * np.pi * 500 * np.arange(8_000) / 8_000)
            write_wav(tmp_path / name / f"{number}.wav", 0.5 * tone, rate=8_000)
    data = data_of(tmp_path, ["audio"], [], test_fraction=0.25, val_fraction=0.4)
    assert list(data.offered_modalities) == ["audio"]
    assert next(iter(data.train_dataloader()))["audio"].shape == (4, 1, 1_280)


def test_the_description_counts_groups_and_files_that_fit_no_clip(clips, tmp_path):
    touch(tmp_path, "train/clap/train_0.wav", "train/clap/trian_1.wav")
    data = data_of(clips, folders={"audio": str(tmp_path)}, auxiliary=[], val_fraction=0.3)
    lines = "\n".join(data.describe())
    assert "clap, wave: 8 clips in 8 groups" in lines
    assert "audio: 1 of 8 clips have it; 1 files are of no clip: train/clap/trian_1" in lines


def test_it_is_prepared_by_its_name(clips, tmp_path, capsys):
    out = str(tmp_path / "index.csv")
    prepare(["clip_folders", "--root", str(clips), "--val_fraction", "0.3", "--out", out])
    assert "8 of 8 files are whole" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ([], {}, "holds no clips in a folder a class"),
        (["a.mp4", "notes.txt"], {}, "holds no clips in a folder a class"),
        (["train/a/1.mp4"], {}, "no other part; add test"),
        (["train/a/1.mp4", "test/a/2.mp4", "val/a/3.mp4"], {}, r"holds val; .* val_fraction"),
        (["train/a/1.mp4", "test/b/2.mp4"], {}, "b has test clips, but none in"),
        (["a/1.mp4", "a/2.wav"], {}, "files of different kinds"),
        (["a/1.mp4", "a/1.avi"], {}, "have one name"),
        (["a/1.npy"], {}, "holds features, not clips"),
        (["a/1.mp4"], {"test_fraction": 1.5}, "test_fraction: must lie between 0 and 1"),
        (["a/1.mp4"], {"group": "("}, "is no regular expression"),
        (["a/1.mp4"], {"group": "scene"}, "has no group"),
    ],
)
def test_what_does_not_fit_is_named_with_the_remedy(tmp_path, files, arguments, message):
    root = touch(tmp_path / "clips", *files)
    root.mkdir(exist_ok=True)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        data_of(root, auxiliary=[], **arguments)


def test_a_second_folder_cannot_take_the_place_of_what_roots_clips_show(tmp_path):
    root = many(tmp_path, clips=1)
    with pytest.raises(ValueError, match=r"folders.video: 'video' is read from root's clips"):
        data_of(root, folders={"video": str(root)})


def test_a_name_without_a_group_is_named(tmp_path):
    touch(many(tmp_path), "wave/odd.mp4")
    with pytest.raises(ValueError, match=r"group: .* finds nothing in 'odd'"):
        list(data_of(tmp_path, group=r"(.+)_\d+").listed("train"))


def test_a_single_group_cannot_be_divided(tmp_path):
    touch(tmp_path, "clap/one_1.mp4", "wave/one_2.mp4")
    with pytest.raises(ValueError, match=r"no test part can be cut .* train and test folders"):
        list(data_of(tmp_path, group=r"(.+)_\d+").listed("test"))


def test_a_student_is_tested_without_the_folder_of_what_it_does_not_see(clips):
    data = data_of(clips, ["video"], ["depth"], folders={"depth": "nowhere"}, val_fraction=0.3)
    assert "depth" not in next(iter(data.test_dataloader()))
    with pytest.raises(FileNotFoundError, match=r"folders.depth: there is no folder nowhere"):
        data.setup("fit")


def test_a_folder_of_other_names_is_named_with_an_example_of_both(tmp_path):
    many(tmp_path / "clips")
    many(tmp_path / "sounds", classes=("Clap", "Wave"), suffix=".wav")
    data = data_of(tmp_path / "clips", folders={"audio": str(tmp_path / "sounds")})
    with pytest.raises(ValueError, match=r"there is Clap/scene0_0, and under .* clap/scene0_0"):
        list(data.listed("train"))
