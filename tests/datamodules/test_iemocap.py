import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from cmkd.cli import run
from datamodules import CrossModalDataModule
from datamodules.text import HashedBag
from tests.datamodules.iemocap_files import SMALL, TURN, iemocap, remove, write_iemocap

pytestmark = pytest.mark.filterwarnings("ignore:IEMOCAP. the turns under .* are not those of")

BASE = Path(__file__).parents[2] / "experiments" / "iemocap" / "base.yaml"
SESSIONS = [f"Ses0{number}" for number in range(1, 6)]
SPEAKERS = [session + sex for session in SESSIONS for sex in "FM"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_iemocap(tmp_path_factory.mktemp("Größe 5") / "IEMOCAP ünï")


@pytest.fixture
def copy(root, tmp_path):
    """A tree of its own to break."""
    return Path(shutil.copytree(root, tmp_path / "IEMOCAP"))


def speaker_of(name):
    return name[:5] + name.rpartition("_")[2][0]


def speakers(data):
    return {
        split: {speaker_of(clip.name) for clip in data.clips(split)}
        for split in ("train", "val", "test")
    }


@pytest.mark.parametrize("held_out", SESSIONS)
def test_no_speaker_and_no_dialog_of_a_session_is_on_two_sides(root, held_out):
    data = iemocap(root, held_out=held_out)
    sides = speakers(data)
    assert sides["test"] == {f"{held_out}F", f"{held_out}M"}
    assert len(sides["val"]) == 2
    assert sides["train"] | sides["val"] | sides["test"] == set(SPEAKERS)
    dialogs = [
        {clip.name.rpartition("_")[0] for clip in data.clips(split)}
        for split in ("train", "val", "test")
    ]
    assert sum(map(len, dialogs)) == len(set.union(*dialogs)) == 10


@pytest.mark.parametrize("held_out", SPEAKERS)
def test_no_speaker_is_on_two_sides_and_the_partner_of_one_left_out_stays(root, held_out):
    sides = speakers(iemocap(root, held_out=held_out))
    assert sides["test"] == {held_out}
    assert len(sides["val"]) == 1
    assert sum(map(len, sides.values())) == len(set.union(*sides.values())) == 10


def test_every_turn_of_a_class_is_in_one_part_and_the_others_are_counted(root, monkeypatch):
    lines = []
    monkeypatch.setattr("datamodules.iemocap.rank_zero_info", lines.append)
    for classes, used, unused in (
        (4, 50, "10 fru, 10 xxx, 5 oth, 5 sur"),
        (6, 60, "10 xxx, 5 oth"),
    ):
        data = iemocap(root, classes=classes)
        assert sum(len(data.clips(split)) for split in ("train", "val", "test")) == used
        assert f"{80 - used} of 80 evaluated turns" in lines[-1]
        assert unused in lines[-1]
    assert len(lines) == 2


def test_classes_are_made_of_emotions(root):
    four, six = iemocap(root), iemocap(root, classes=6)
    assert four.class_names == ["angry", "happy", "neutral", "sad"]
    assert six.class_names == ["angry", "excited", "frustrated", "happy", "neutral", "sad"]
    labels = {clip.name: clip.label for clip in four.clips("test")}
    assert labels["Ses05F_impro01_F000"] == 0
    assert labels["Ses05F_impro01_F001"] == labels["Ses05F_impro01_F002"] == 1
    labels = {clip.name: clip.label for clip in six.clips("test")}
    assert labels["Ses05F_impro01_F001"] == 3
    assert labels["Ses05F_impro01_F002"] == 1


def test_turns_that_are_not_those_of_the_distribution_are_warned_of_once(root):
    data = iemocap(root)
    with pytest.warns(UserWarning, match=r"Ses01 ang: 2 turns instead of 229; .*Ses05 sad: 2"):
        data.setup("fit")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.setup("test")
    lines = "\n".join(data.describe())
    assert "happy: 20 turns, 1636 in the distribution" in lines
    assert "30 of 80 evaluated turns are of none of the 4 classes" in lines
    assert "Ses03 exc: 2 turns instead of 151" in lines


def test_some_of_the_sessions_are_enough_and_not_warned_of(tmp_path):
    root = write_iemocap(tmp_path, sessions=[1, 2, 4])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = iemocap(root, held_out="Ses04")
        assert len(data.clips("test")) == 10
    with pytest.raises(ValueError, match=r"held_out: 'Ses05' .*Ses01, Ses02, Ses04"):
        iemocap(root)


def test_turns_that_dialoguernn_has_as_happy_are_happy_if_asked_for(copy):
    path = copy / "Session5" / "dialog" / "EmoEvaluation" / "Ses05F_impro01.txt"
    path.rename(path.with_name("Ses05F_impro07.txt"))
    path = path.with_name("Ses05F_impro07.txt")
    text = path.read_text().replace("impro01", "impro07").replace("_F003\txxx", "_M010\txxx")
    path.write_text(text)
    assert len(iemocap(copy, classes=6, missing_clips="skip").turns) == 60
    data = iemocap(copy, classes=6, dialogue_rnn_labels=True, missing_clips="skip")
    assert len(data.turns) == 61
    assert next(t.emotion for t in data.turns if t.name == "Ses05F_impro07_M010") == "hap"


def test_windows_line_ends_change_nothing(root, tmp_path):
    other = iemocap(write_iemocap(tmp_path, end="\r\n"))
    expected = iemocap(root)
    for split in ("train", "val", "test"):
        one, two = expected.clips(split), other.clips(split)
        assert [(c.name, c.label, c.group) for c in one] == [
            (c.name, c.label, c.group) for c in two
        ]
    for clip in other.clips("train"):
        assert other.readers()["text"].has(clip)


def test_a_sample_is_the_turns_own_sound_picture_and_words(root):
    data = iemocap(root, ["audio", "text", "video"], [])
    dataset = data.dataset("test")
    for row, clip in enumerate(data.clips("test")):
        sample = dataset[row]
        # The tree gives turn n of a dialog its own level of sound, and its own grey.
        number = round(clip.sources["video"].begin * 25) // TURN
        assert sample["audio"].mean().item() == pytest.approx(0.1 * (number + 1), abs=0.01)
        grey = sample["video"][0] * 0.22803 + 0.43216
        assert grey.mean().item() * 255 == pytest.approx(20 + 25 * number, abs=4)
    names = [clip.name for clip in data.clips("test")]
    text = dataset[names.index("Ses05F_impro01_M001")]["text"]
    spoken = data.readers()["text"].embed(["ça", "va", "—", "[breathing]", "naïve", "café", "."])
    assert torch.equal(text, spoken)


def test_batches_hold_padded_words_with_their_lengths(root):
    data = iemocap(root, text=HashedBag)
    assert next(iter(data.train_dataloader()))["text"].shape == (8, 1024)
    batch = next(iter(iemocap(root).train_dataloader()))
    longest = int(batch["length"]["text"].max())
    assert batch["text"].shape == (8, longest, 128)
    assert batch["audio"].shape == (8, 1, 800)
    assert batch["video"].shape == (8, 3, 4, 16, 16)
    row = int(batch["length"]["text"].argmin())
    assert batch["text"][row, batch["length"]["text"][row] :].abs().sum() == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonargparse renamed the method
def test_a_turn_without_stored_vectors_is_named_with_their_file(copy, tmp_path):
    data = iemocap(copy)
    names = [clip.name for split in ("train", "val") for clip in data.clips(split)]
    arrays = {name: np.ones((2, 3), np.float32) for name in names}
    np.savez(tmp_path / "bert.npz", **arrays)
    remove(copy, "dialog/transcriptions")
    text = {"class_path": "datamodules.text_vectors.StoredText"}
    text["init_args"] = {"file": str(tmp_path / "bert.npz")}
    data = built_from_yaml(copy, text=text)
    assert next(iter(data.train_dataloader()))["text"].shape[1:] == (2, 3)
    np.savez(tmp_path / "bert.npz", **{name: arrays[name] for name in names[1:]})
    with pytest.raises(FileNotFoundError, match=rf"1 of .* no text.*{names[0]}.*bert.npz"):
        built_from_yaml(copy, text=text).setup("fit")


def built_from_yaml(root, **arguments):
    parser = ArgumentParser()
    parser.add_subclass_arguments(CrossModalDataModule, "data")
    given = {
        "root": str(root),
        "student_modalities": ["audio"],
        "auxiliary_modalities": ["text"],
        **SMALL,
        "resize": [16, 16],
        **arguments,
    }
    config = parser.parse_object(
        {"data": {"class_path": "datamodules.iemocap.IEMOCAP", "init_args": given}}
    )
    return parser.instantiate_classes(config).data


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonargparse renamed the method
def test_it_is_built_from_yaml(root):
    text = {"class_path": "datamodules.text.HashedText", "init_args": {"width": 32}}
    data = built_from_yaml(root, classes=6, held_out="Ses02M", text=text)
    assert data.num_classes == 6
    assert next(iter(data.val_dataloader()))["text"].shape[2] == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"held_out": "Session5"}, r"held_out: 'Session5' is neither a session"),
        ({"classes": 5}, r"classes: must be 4 or 6, got 5"),
        ({"held_out": "Ses05X"}, r"held_out: 'Ses05X'"),
        ({"held_out": "Ses06"}, r"held_out: 'Ses06'.*Ses01, Ses02"),
        ({"student": ["flow"]}, "there is no modality 'flow'; this data has video, audio, text"),
    ],
)
def test_bad_arguments_are_named(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        iemocap(root, **arguments)


def test_a_root_without_sessions_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no Session1 to Session5 in .*IEMOCAP_full_release"
    ):
        iemocap(tmp_path)


def test_transcriptions_are_not_among_the_media_files(root):
    files = iemocap(root).media_files()
    assert len(files) == 50 + 10
    assert {file.suffix for file in files} == {".wav", ".avi"}


@pytest.mark.slow
def test_the_experiment_trains_and_is_tested_without_the_auxiliary_files(copy, tmp_path):
    arguments = [
        "--config", str(BASE),
        "--data.init_args.root", str(copy),
        "--data.init_args.frames", "4",
        "--data.init_args.frame_stride", "1",
        "--data.init_args.resize", "[36, 36]",
        "--data.init_args.size", "32",
        "--data.init_args.audio_seconds", "0.2",
        "--data.init_args.eval_stride", "4",
        "--data.init_args.batch_size", "16",
        "--data.init_args.num_workers", "0",
        "--model.encoders.audio.init_args.width", "8",
        "--model.encoders.audio.init_args.time_mask", "4",
        "--model.encoders.video.init_args.width", "8",
        "--model.teacher_epochs", "1",
        "--trainer.max_epochs", "2",
        "--trainer.accelerator", "cpu",
        "--trainer.enable_progress_bar", "false",
        "--run.dir", str(tmp_path / "run"),
    ]  # fmt: skip
    fitted = run(["fit", *arguments])
    assert fitted.model.stage.name == "student"
    checkpoint = str(tmp_path / "run" / "checkpoints" / "last.ckpt")
    before = run(["test", *arguments, "--ckpt_path", checkpoint]).trainer.callback_metrics
    remove(copy, "dialog/avi", "dialog/transcriptions")
    after = run(["test", *arguments, "--ckpt_path", checkpoint]).trainer.callback_metrics
    assert 0 <= after["test/student_unweighted_accuracy"] <= 1
    assert after == before
