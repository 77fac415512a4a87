"""Spoken digits, far and close."""

import numpy as np
import pytest
import torch

from cmkd.cli import run
from cmkd.networks import LogMel
from datamodules.incomplete import IncompleteTraining
from datamodules.spoken_digits import SpokenDigits
from tests.datamodules.digit_files import SPEAKERS, write_recordings, write_wav
from tests.real_data import DATA, needs_real_data
from tests.test_experiments import EXPERIMENTS

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("spoken"))


def spoken(folder, student=("far",), auxiliary=("close",), **arguments):
    small = {"seconds": 0.15, "batch_size": 8}  # recordings of 0.1 s
    return SpokenDigits(str(folder), list(student), list(auxiliary), **(small | arguments))


def batch_of(data, split):
    return data.dataset(split).__getitems__(range(len(data.dataset(split))))


def test_a_batch_holds_both_sides_of_one_take(folder):
    data = spoken(folder, snr_db=60.0, direct_db=60.0)
    batch = next(iter(data.train_dataloader()))
    assert batch["far"].shape == batch["close"].shape == (8, 1, 1200)
    torch.testing.assert_close(batch["far"], batch["close"], atol=5e-3, rtol=0)
    hertz = np.abs(np.fft.rfft(batch["close"][:, 0, 200:1000])).argmax(axis=1) * 10
    assert ((hertz - 300) // 200).tolist() == batch["label"].tolist()


def test_a_front_end_is_applied_once_to_every_recording(folder):
    front_end = LogMel(8000, n_mels=16, hop_ms=20)
    plain, heard = spoken(folder), spoken(folder, front_end=front_end)
    for split in SPLITS:
        waves, batch = batch_of(plain, split), batch_of(heard, split)
        assert batch.keys() == waves.keys()
        torch.testing.assert_close(batch["far"], front_end(waves["far"]))
    assert "close" not in batch


@pytest.mark.parametrize(("level_db", "loudness"), [(-26.0, -26.0), (-10.0, -10.0), (None, -9.03)])
def test_recordings_are_as_loud_as_asked_for(folder, level_db, loudness):
    close = batch_of(spoken(folder, ["close"], [], level_db=level_db), "test")["close"]
    power = close[..., 200:1000].square().mean(dim=2)
    torch.testing.assert_close(
        10 * power.log10(), torch.full_like(power, loudness), atol=5e-2, rtol=0
    )


@pytest.mark.parametrize("fold", range(4))
def test_no_speaker_stands_in_two_parts_and_no_recording_is_left_out(folder, fold):
    data = spoken(folder, fold=fold)
    speakers = {split: set(data.spoken.speaker[data.rows(split)]) for split in SPLITS}
    assert speakers["test"] == {fold}
    assert speakers["val"] == {(fold + 1) % 4}
    assert speakers["train"] == set(range(4)) - speakers["test"] - speakers["val"]
    rows = np.concatenate([data.rows(split) for split in SPLITS])
    assert sorted(rows) == list(range(10 * len(SPEAKERS) * 2))


def test_noise_and_room_are_fixed_by_recording_and_seed(folder):
    whole, other_fold, other_seed = (
        spoken(folder, fold=fold, seed=seed, auxiliary_at_test=True)
        for fold, seed in ((0, 0), (3, 0), (0, 1))
    )
    tested = batch_of(whole, "test")["far"]
    # Speaker 0 validates in fold 3.
    torch.testing.assert_close(batch_of(other_fold, "val")["far"], tested, rtol=0, atol=0)
    assert not torch.equal(batch_of(other_seed, "test")["far"], tested)
    torch.testing.assert_close(
        batch_of(other_seed, "test")["close"], batch_of(whole, "test")["close"], rtol=0, atol=0
    )


def test_the_noise_is_as_loud_as_asked_for_over_the_sound_in_the_room(folder):
    quiet, loud = (
        batch_of(spoken(folder, ["close"], ["far"], snr_db=snr), "train")["far"]
        for snr in (200.0, -5.0)
    )
    noise = loud - quiet
    assert noise.square().mean() > 2 * quiet.square().mean()
    middle = slice(200, 1000)  # where the recordings are
    ratio = quiet[..., middle].square().mean(dim=2) / noise.square().mean(dim=2)
    torch.testing.assert_close(10 * ratio.log10(), torch.full_like(ratio, -5.0), atol=1e-2, rtol=0)


def test_the_student_is_tested_without_the_clean_take(folder):
    batch = next(iter(spoken(folder).test_dataloader()))
    assert "close" not in batch
    assert list(batch["present"]) == ["far"]


def test_the_gallery_is_the_training_and_validation_samples(folder):
    data = spoken(folder, gallery=True)
    gallery, train, val = (batch_of(data, split)["far"] for split in ("gallery", "train", "val"))
    torch.testing.assert_close(gallery, torch.cat([train, val]))


def test_incomplete_training_leaves_clean_takes_out(folder):
    data = spoken(folder, incomplete=IncompleteTraining({"close": 0.5}, none_left=True))
    batch = batch_of(data, "train")
    there = batch["present"]["close"]
    assert 0.2 < there.float().mean() < 0.8
    assert not batch["close"][~there].any()
    assert batch["far"].abs().amax(dim=2).min() > 0


def test_what_there_is_is_told(folder):
    assert spoken(folder, fold=2).describe() == [
        "train: 40 samples",
        "val: 20 samples",
        "test: 20 samples",
        "10 classes",
        "train: recordings by ann, bob",
        "val: recordings by dan",
        "test: recordings by cy_x",
    ]


def test_a_digit_that_no_training_speaker_says_is_named(tmp_path):
    write_recordings(tmp_path, speakers=["ann", "bob", "cy"])
    for path in tmp_path.glob("7_cy_*"):
        path.unlink()
    with pytest.raises(ValueError, match="no training speaker says 7"):
        spoken(tmp_path).setup("fit")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    write_recordings(tmp_path)
    write_wav(tmp_path / "3_ann_9.wav", np.zeros(0))
    with pytest.raises(ValueError, match=r"cannot read .*3_ann_9\.wav: it holds 0 of 0 samples"):
        spoken(tmp_path).setup("fit")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fold": 4}, "SpokenDigits.fold: 4 is not there; 4 speakers make the folds 0 to 3"),
        ({"rt60": (0.5, 0.1)}, "rt60: give the shortest and the longest time in seconds"),
        ({"student": ["audio"]}, "there is no modality 'audio'; this data has far, close"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        spoken(folder, **arguments)


def test_a_missing_folder_is_named():
    with pytest.raises(FileNotFoundError, match=r"SpokenDigits\.root: no wav file is in nowhere"):
        spoken("nowhere")


def test_the_experiment_fits_and_tests(folder, tmp_path):
    common = [
        "--config", str(EXPERIMENTS / "spoken_digits" / "base.yaml"),
        "--data.init_args.root", str(folder),
        "--data.init_args.seconds", "0.15",
        "--model.teacher_epochs", "1",
        "--trainer.max_epochs", "2",
        "--trainer.enable_progress_bar", "false",
        "--run.dir", str(tmp_path),
    ]  # fmt: skip
    fitted = run(["fit", *common])
    assert fitted.trainer.current_epoch == 2
    best = fitted.trainer.checkpoint_callback.best_model_path
    tested = run(["test", *common, "--ckpt_path", best])
    assert 0 <= float(tested.trainer.callback_metrics["test/student_accuracy"]) <= 1


@needs_real_data
def test_the_real_recordings_are_read():
    data = SpokenDigits(str(DATA / "fsdd"), ["far"], ["close"])
    assert data.spoken.speakers == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert [len(data.rows(split)) for split in SPLITS] == [2000, 500, 500]
    assert np.bincount(data.spoken.digit).tolist() == [300] * 10
    assert (data.spoken.read(8000, 0.8).waves != 0).any(axis=1).all()
