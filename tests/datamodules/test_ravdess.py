"""RAVDESS in its layout, with real encoded media."""

import numpy as np
import pytest
import torch

from cmkd.cli import run
from datamodules.media import MediaError
from datamodules.ravdess import RAVDESS
from datamodules.ravdess_files import SONG, SPEECH, find_recordings, official_names
from tests.datamodules.digit_files import write_wav
from tests.datamodules.ravdess_files import write_actors, write_recording
from tests.test_experiments import EXPERIMENTS

SMALL = {"frames": 4, "resize": (24, 32), "size": 16, "sample_rate": 8_000, "batch_size": 4}
ACTORS = (1, 4, 5, 8, 9, 13, 24)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_actors(tmp_path_factory.mktemp("ravdess"), ACTORS)


def ravdess(root, student=("video",), auxiliary=("audio",), **arguments):
    return RAVDESS(str(root), list(student), list(auxiliary), **(SMALL | arguments))


def actors(data, split):
    return {int(clip.group.removeprefix("actor ")) for clip in data.clips(split)}


def touch(folder, *names):
    """Make files that are listed, but never opened."""
    for name in names:
        path = folder / f"Actor_{name.partition('.')[0][-2:]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.mark.parametrize("fold", range(6))
def test_no_actor_stands_in_two_parts_and_four_neighbours_are_tested(tmp_path, fold):
    touch(tmp_path, *(f"02-{name}.mp4" for name in official_names(SPEECH)))
    data = ravdess(tmp_path, auxiliary=[], fold=fold, val_fraction=0.2)
    train, val, test = (actors(data, split) for split in ("train", "val", "test"))
    assert test == set(range(4 * fold + 1, 4 * fold + 5))
    assert len(val) == 4
    assert not train & val
    assert train | val | test == set(range(1, 25))
    assert sum(len(data.clips(split)) for split in ("train", "val", "test")) == 1440


def test_batches_hold_what_is_seen_and_heard(root):
    data = ravdess(root, ["video", "image"], ["audio"], image_size=16)
    batch = next(iter(data.train_dataloader()))
    assert batch["video"].shape == (4, 3, 4, 16, 16)
    assert batch["image"].shape == (4, 3, 16, 16)
    assert batch["audio"].shape == (4, 1, round(4 / 25 * 8_000))
    assert all(there.all() for there in batch["present"].values())
    spectrum = np.abs(np.fft.rfft(batch["audio"][:, 0].numpy() * np.hanning(1280)))
    np.testing.assert_allclose(spectrum.argmax(axis=1) * 8_000 / 1280, 880, atol=10)


def test_names_say_the_emotion(root):
    data = ravdess(root)
    assert data.class_names[0] == "neutral"
    assert data.num_classes == 8
    labels = {clip.name[3:5]: data.class_names[clip.label] for clip in data.clips("train")}
    assert labels == {"01": "neutral", "05": "angry"}


def test_the_wav_file_is_heard_before_the_full_one_and_the_silent_video_seen(tmp_path):
    write_recording(tmp_path, "01-03-01-01-01-02", ["01", "02", "03"])
    write_recording(tmp_path, "01-03-01-01-01-07", ["01"])
    write_recording(tmp_path, "01-03-01-01-02-07", ["03"])
    both, full, heard = (
        {name: source.path.name[:2] for name, source in clip.sources.items()}
        for data in [ravdess(tmp_path)]
        for clip in (*data.listed("test"), *data.listed("train"))
    )
    assert both == {"video": "02", "image": "02", "audio": "03"}
    assert full == {"video": "01", "image": "01", "audio": "01"}
    assert heard == {"audio": "03"}


def test_a_recording_without_a_file_for_a_modality_is_kept_with_it_absent(tmp_path):
    write_actors(tmp_path, (1, 5, 9, 13))
    (tmp_path / "Actor_01" / "03-01-05-01-01-01-01.wav").unlink()
    data = ravdess(tmp_path, auxiliary_at_test=True)
    batch = next(iter(data.test_dataloader()))
    there = dict(zip(batch["label"].tolist(), batch["present"]["audio"].tolist(), strict=True))
    assert there == {0: True, 4: False}


def test_the_student_is_tested_without_the_files_of_the_others(root, tmp_path):
    write_actors(tmp_path, (1, 5, 9, 13))
    data = ravdess(tmp_path)
    before = next(iter(data.test_dataloader()))
    for path in tmp_path.rglob("*.wav"):
        path.write_bytes(b"gone")
    after = next(iter(ravdess(tmp_path).test_dataloader()))
    torch.testing.assert_close(before["video"], after["video"], rtol=0, atol=0)
    assert "audio" not in after
    with pytest.raises(MediaError, match=r"03-.*\.wav"):
        next(iter(ravdess(tmp_path).val_dataloader()))


def test_sound_alone_is_enough(tmp_path):
    write_actors(tmp_path, (1, 5, 9, 13), kinds=["03"])
    data = ravdess(tmp_path, ["audio"], [])
    batch = next(iter(data.train_dataloader()))
    assert batch["present"]["audio"].all()
    assert batch["audio"].abs().amax() > 0.3


def test_archives_may_be_unpacked_side_by_side(tmp_path):
    write_actors(tmp_path / "Video_Speech_Actor_01", [1], kinds=["02"])
    write_actors(tmp_path / "Audio_Speech_Actors_01-24", [1, 2], kinds=["03"])
    recordings = find_recordings(tmp_path)
    assert [(one.actor, one.video is not None) for one in recordings] == [
        (1, True),
        (2, False),
        (1, True),
        (2, False),
    ]
    assert all(recording.audio is not None for recording in recordings)


def test_copies_count_once_and_differing_ones_are_refused(tmp_path):
    touch(tmp_path, "03-01-01-01-01-01-01.wav")
    touch(tmp_path / "audio_speech_actors_01-24", "03-01-01-01-01-01-01.wav")
    (recording,) = find_recordings(tmp_path)
    assert recording.audio == tmp_path / "Actor_01" / "03-01-01-01-01-01-01.wav"
    recording.audio.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"03-01-01-01-01-01-01\.wav have one name, but differ"):
        find_recordings(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "happy-01.wav",
        "04-01-01-01-01-01-01.mp4",
        "02-03-01-01-01-01-01.mp4",
        "02-01-09-01-01-01-01.mp4",
        "02-01-00-01-01-01-01.mp4",
        "02-01-01-03-01-01-01.mp4",
        "02-01-01-01-01-01-25.mp4",
        "02-01-01-01-01-01.mp4",
        "02-01-01-01-01-01-01-01.mp4",
        "03-01-01-01-01-01-01.mp4",
        "02-01-01-01-01-01-01.wav",
    ],
)
def test_a_malformed_name_is_an_error_that_names_the_file(tmp_path, name):
    (tmp_path / "Actor_01").mkdir()
    (tmp_path / "Actor_01" / name).touch()
    with pytest.raises(ValueError, match=rf"{name}: the name is not RAVDESS's.*rename the file"):
        find_recordings(tmp_path)


def test_a_file_in_another_actors_folder_is_an_error(tmp_path):
    (tmp_path / "Actor_01").mkdir()
    (tmp_path / "Actor_01" / "02-01-01-01-01-01-12.mp4").touch()
    with pytest.raises(ValueError, match="of actor 12, but lies in Actor_01; put it"):
        find_recordings(tmp_path)


def test_hidden_and_other_files_are_passed_over(tmp_path):
    touch(tmp_path, "02-01-01-01-01-01-01.mp4")
    for name in ("._02-01-01-01-01-01-01.mp4", ".DS_Store", "notes.txt"):
        (tmp_path / "Actor_01" / name).touch()
    assert len(find_recordings(tmp_path)) == 1


def test_a_folder_without_actors_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no Actor_NN folder"):
        ravdess(tmp_path).setup("fit")


def test_official_counts_are_those_of_the_paper():
    speech, song = list(official_names(SPEECH)), list(official_names(SONG))
    assert (len(speech), len(song)) == (1440, 1012)
    assert np.bincount([int(name[3:5]) for name in speech])[1:].tolist() == [96] + [192] * 7
    assert np.bincount([int(name[3:5]) for name in song])[1:].tolist() == [92] + [184] * 5
    assert len({name[-2:] for name in speech}) == 24


def test_a_difference_to_the_official_recordings_is_told_by_name(tmp_path):
    names = [f"02-{name}.mp4" for name in official_names(SPEECH)]
    touch(tmp_path, *names)
    complete = ravdess(tmp_path, auxiliary=[]).describe()
    assert "1440 recordings of 24 actors; RAVDESS has 1440" in complete
    assert complete[-1].startswith("96 neutral, 192 calm, 192 happy")
    (tmp_path / "Actor_03" / "02-01-04-02-01-02-03.mp4").unlink()
    touch(tmp_path, "02-01-01-02-01-01-03.mp4")
    *_, counts, missing, surplus = ravdess(tmp_path, auxiliary=[]).describe()
    assert counts.startswith("97 neutral, 192 calm, 192 happy, 191 sad")
    assert missing == "1 missing: 01-04-02-01-02-03"
    assert surplus == "1 not RAVDESS's: 01-01-02-01-01-03"


@pytest.mark.parametrize(
    ("channel", "clips", "classes"), [("speech", 1440, 8), ("song", 1012, 6), ("both", 2452, 8)]
)
def test_songs_are_taken_when_asked_for(tmp_path, channel, clips, classes):
    for number in (SPEECH, SONG):
        touch(tmp_path, *(f"02-{name}.mp4" for name in official_names(number)))
    data = ravdess(tmp_path, auxiliary=[], channel=channel)
    assert sum(len(data.clips(split)) for split in ("gallery", "test")) == clips
    assert data.num_classes == classes


def test_a_modality_of_which_there_is_no_file_is_refused(tmp_path):
    write_actors(tmp_path, (1, 5, 9), kinds=["03"])
    with pytest.raises(ValueError, match=r"\(speech\) under .* has a file for 'video'; unpack"):
        ravdess(tmp_path).setup("fit")


@pytest.mark.parametrize("fold", [-1, 6])
def test_a_fold_that_is_not_there_is_refused(root, fold):
    with pytest.raises(ValueError, match=f"fold: must be from 0 to 5, got {fold}"):
        ravdess(root, fold=fold)


def test_the_experiment_fits_and_tests(root, tmp_path):
    common = [
        "--config", str(EXPERIMENTS / "ravdess" / "raw.yaml"),
        "--data.init_args.root", str(root),
        "--data.init_args.frames", "4",
        "--data.init_args.frame_stride", "1",
        "--data.init_args.resize", "[24, 32]",
        "--data.init_args.size", "16",
        "--data.init_args.eval_stride", "8",
        "--data.init_args.batch_size", "4",
        "--data.init_args.num_workers", "0",
        "--model.teacher_epochs", "1",
        "--trainer.max_epochs", "2",
        "--trainer.accelerator", "cpu",
        "--trainer.enable_progress_bar", "false",
        "--run.dir", str(tmp_path),
    ]  # fmt: skip
    fitted = run(["fit", *common])
    assert fitted.trainer.current_epoch == 2
    best = fitted.trainer.checkpoint_callback.best_model_path
    tested = run(["test", *common, "--ckpt_path", best])
    assert 0 <= float(tested.trainer.callback_metrics["test/student_accuracy"]) <= 1


def test_a_truncated_wav_is_named(tmp_path):
    write_actors(tmp_path, (1, 5, 9), kinds=["03"])
    for path in tmp_path.rglob("*.wav"):
        write_wav(path, np.zeros(0), rate=16_000)
    with pytest.raises(MediaError, match=r"03-.*\.wav"):
        next(iter(ravdess(tmp_path, ["audio"], []).test_dataloader()))
