"""AV-MNIST on small files in MNIST's and FSDD's formats, and on the real ones."""

import shutil

import numpy as np
import pytest
import torch

from cmkd.cli import run
from cmkd.networks import LogMel
from datamodules.avmnist import AVMNIST
from datamodules.incomplete import IncompleteTraining
from tests.datamodules.digit_files import (
    RATE,
    SIDE,
    SPEAKERS,
    write_images,
    write_recordings,
    write_wav,
)
from tests.real_data import DATA, needs_real_data
from tests.test_experiments import EXPERIMENTS

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("avmnist")
    write_images(folder / "mnist", "train", each=12)
    write_images(folder / "mnist", "t10k", each=3, seed=9, suffix=".gz")
    return folder / "mnist", write_recordings(folder / "spoken")


def avmnist(folders, student=("image",), auxiliary=("audio",), **arguments):
    images, recordings = folders
    small = {"speakers": 4, "test_set": None, "seconds": 0.1, "batch_size": 8}
    return AVMNIST(
        str(images), str(recordings), list(student), list(auxiliary), **(small | arguments)
    )


def batch_of(data, split):
    return data.dataset(split).__getitems__(range(len(data.dataset(split))))


def test_a_batch_holds_images_and_waveforms_of_one_digit(folders):
    data = avmnist(folders, snr_db=None)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (8, 1, SIDE, SIDE)
    assert batch["audio"].shape == (8, 1, 800)
    assert batch["image"].dtype == batch["audio"].dtype == torch.float32
    hertz = np.abs(np.fft.rfft(batch["audio"][:, 0])).argmax(axis=1) * 10
    assert ((hertz - 300) // 200).tolist() == batch["label"].tolist()
    assert data.class_names[0] == "zero"
    assert data.num_classes == 10


@pytest.mark.parametrize("fold", range(4))
@pytest.mark.parametrize("test_set", [None, "t10k"])
def test_no_speaker_and_no_image_stands_in_two_parts(folders, fold, test_set):
    data = avmnist(folders, fold=fold, test_set=test_set)
    images = {
        split: {(data.images.source(split), row) for row in data.images.rows(split)}
        for split in SPLITS
    }
    assert not images["train"] & images["val"]
    assert not (images["train"] | images["val"]) & images["test"]
    everything = 120 if test_set is None else 120 + 30
    assert sum(map(len, images.values())) == everything
    speakers = {
        split: {SPEAKERS[s] for s in data.spoken.speaker[data.pairs(split)]} for split in SPLITS
    }
    assert speakers["test"] == {SPEAKERS[fold]}
    assert speakers["val"] == {SPEAKERS[(fold + 1) % 4]}
    assert speakers["train"] == set(SPEAKERS) - speakers["test"] - speakers["val"]


def test_every_image_is_tested_in_one_fold_and_every_part_has_all_digits(folders):
    tested = []
    for fold in range(4):
        data = avmnist(folders, fold=fold)
        tested += data.images.rows("test").tolist()
        for split in SPLITS:
            count = np.bincount(data.images.digits(split), minlength=10)
            assert count.min() == count.max() > 0
    assert sorted(tested) == list(range(120))


def test_the_images_are_those_of_the_file(folders, tmp_path):
    grey = write_images(tmp_path / "mnist", "train", each=12)
    data = avmnist((tmp_path / "mnist", folders[1]), energy_removed=0.0)
    train = grey[data.images.rows("train")] / 255
    expected = (grey[data.images.rows("test")] / 255 - train.mean()) / train.std()
    shown = batch_of(data, "test")["image"][:, 0]
    np.testing.assert_allclose(shown, expected, atol=1e-4)


def test_a_front_end_is_applied_to_the_sound_alone(folders):
    front_end = LogMel(8000, n_mels=16, hop_ms=20)
    waves, heard = (
        batch_of(avmnist(folders, front_end=given), "train") for given in (None, front_end)
    )
    torch.testing.assert_close(heard["audio"], front_end(waves["audio"]))
    torch.testing.assert_close(heard["image"], waves["image"])


def test_pairs_follow_from_the_seed_and_stay(folders):
    first, again, other = (
        avmnist(folders, seed=seed, auxiliary_at_test=True) for seed in (3, 3, 4)
    )
    for split in SPLITS:
        one, same = batch_of(first, split), batch_of(again, split)
        torch.testing.assert_close(one["audio"], same["audio"], rtol=0, atol=0)
        assert (first.pairs(split) != other.pairs(split)).any()
    assert (first.images.rows("train") == other.images.rows("train")).all()
    train = first.dataset("train")
    torch.testing.assert_close(train[(5, 0)]["audio"], train[(5, 9)]["audio"])


def test_recordings_go_round_equally_often(folders):
    data = avmnist(folders)
    counts = np.bincount(data.pairs("train"))
    assert set(counts[data.spoken.of(data.fold.of("train"))]) == {1, 2}


def test_the_gallery_is_the_training_and_validation_samples(folders):
    data = avmnist(folders, gallery=True, auxiliary_at_test=True)
    gallery, train, val = (batch_of(data, split) for split in ("gallery", "train", "val"))
    for name in ("image", "audio", "label"):
        torch.testing.assert_close(gallery[name], torch.cat([train[name], val[name]]))
    assert list(data.test_dataloader()) == ["test", "gallery"]


def test_energy_is_removed_by_components_of_the_training_images(folders):
    plain, degraded = avmnist(folders, energy_removed=0.0), avmnist(folders)
    assert plain.images.look.components is None
    components = degraded.images.look.components
    assert components is not None
    assert components.kept >= 0.25
    train = batch_of(degraded, "train")["image"].flatten(1)
    rank = torch.linalg.matrix_rank(train - train.mean(dim=0), rtol=1e-3)
    assert rank == components.directions.shape[1] < 10
    assert train.mean().abs() < 1e-3
    assert train.std() == pytest.approx(1, abs=1e-2)


def test_images_that_do_not_train_change_nothing_about_how_all_are_shown(folders, tmp_path):
    before = avmnist(folders)
    copy = shutil.copytree(folders[0], tmp_path / "mnist")
    path = copy / "train-images-idx3-ubyte"
    raw = bytearray(path.read_bytes())
    for row in before.images.rows("test"):
        raw[16 + SIDE**2 * row : 16 + SIDE**2 * (row + 1)] = bytes(SIDE**2)
    path.write_bytes(bytes(raw))
    after = avmnist((copy, folders[1]))
    for split in ("train", "val"):
        torch.testing.assert_close(
            batch_of(before, split)["image"], batch_of(after, split)["image"], rtol=0, atol=0
        )
    assert (batch_of(before, "test")["image"] != batch_of(after, "test")["image"]).any()


def test_noise_is_added_to_the_sound_unless_it_is_none(folders, tmp_path):
    clean, noisy = avmnist(folders, snr_db=None), avmnist(folders, snr_db=-5.0)
    sounds = [batch_of(data, "val")["audio"] for data in (clean, noisy)]
    ratio = sounds[0].square().mean(dim=2) / (sounds[1] - sounds[0]).square().mean(dim=2)
    torch.testing.assert_close(10 * ratio.log10(), torch.full_like(ratio, -5.0), atol=1e-2, rtol=0)
    for number in range(4):
        write_wav(tmp_path / f"{number}.wav", 0.1 * np.sin(0.1 * np.arange(RATE)))
    recorded = batch_of(avmnist(folders, noise_folder=str(tmp_path)), "val")["audio"] - sounds[0]
    assert (np.abs(np.fft.rfft(recorded[:, 0])).argmax(axis=1) == 13).all()  # 0.1 / (2 pi) * 800


@pytest.mark.parametrize(("student", "auxiliary"), [("image", "audio"), ("audio", "image")])
def test_the_student_is_tested_without_the_files_of_the_other(
    folders, tmp_path, student, auxiliary
):
    full = avmnist(folders, [student], [auxiliary])
    images = shutil.copytree(folders[0], tmp_path / "mnist")
    recordings = shutil.copytree(folders[1], tmp_path / "spoken")
    if student == "image":
        shutil.rmtree(recordings)
    else:
        for path in images.glob("*images*"):
            path.unlink()
    alone = avmnist((images, recordings), [student], [auxiliary])
    alone.setup("test")
    one, other = batch_of(full, "test"), batch_of(alone, "test")
    assert auxiliary not in one
    torch.testing.assert_close(one[student], other[student], rtol=0, atol=0)
    assert (one["label"] == other["label"]).all()
    with pytest.raises(FileNotFoundError):
        alone.setup("fit")


def test_incomplete_training_leaves_sounds_out(folders):
    data = avmnist(folders, incomplete=IncompleteTraining({"audio": 0.5}, none_left=True))
    there = batch_of(data, "train")["present"]["audio"]
    assert 0.2 < there.float().mean() < 0.8
    assert batch_of(data, "val")["present"]["audio"].all()


def test_what_there_is_is_told(folders):
    lines = avmnist(folders, fold=1).describe()
    assert lines[:3] == ["train: 60 samples", "val: 30 samples", "test: 30 samples"]
    assert "val: 20 of 20 recordings by cy_x" in lines
    assert lines[-1].startswith("image: ")


def test_a_digit_nobody_says_is_named(folders, tmp_path):
    recordings = shutil.copytree(folders[1], tmp_path / "spoken")
    for path in recordings.glob("7_bob_*"):
        path.unlink()
    data = avmnist((folders[0], recordings))
    data.dataset("train")
    with pytest.raises(ValueError, match="has no 7 by bob, but the val part has images of it"):
        data.dataset("val")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"energy_removed": 1.0}, "energy_removed: must be at least 0 and below 1, got 1.0"),
        ({"test_set": "train"}, "test_set: train trains already; null lets blocks of it test"),
        ({"fold": 4}, "AVMNIST.fold: 4 is not there"),
        ({"speakers": 2}, "it takes three at least"),
        ({"student": ["face"]}, "there is no modality 'face'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(folders, arguments, message):
    with pytest.raises(ValueError, match=message):
        avmnist(folders, **arguments)


def test_another_number_of_speakers_is_refused(folders):
    data = avmnist(folders, speakers=6)
    with pytest.raises(ValueError, match=r"AVMNIST\.speakers: 6 .*: ann, bob, cy_x, dan"):
        data.setup("fit")


def test_a_missing_folder_is_named(folders):
    with pytest.raises(FileNotFoundError, match=r"AVMNIST\.images: there is no folder"):
        avmnist(("nowhere", folders[1]))


def test_the_experiment_fits_and_tests(folders, tmp_path):
    images, recordings = map(str, folders)
    common = [
        "--config", str(EXPERIMENTS / "avmnist" / "base.yaml"),
        "--data.init_args.images", images,
        "--data.init_args.recordings", recordings,
        "--data.init_args.speakers", "4",
        "--data.init_args.train_set", "train",
        "--model.encoders.image.init_args.in_features", str(SIDE**2),
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
def test_the_real_digits_make_the_parts_the_experiment_says():
    data = AVMNIST(
        str(DATA / "mnist"), str(DATA / "fsdd"), ["image"], ["audio"],
        train_set="t10k", test_set=None,
    )  # fmt: skip
    assert data.describe() == [
        "train: 6658 samples",
        "val: 1670 samples",
        "test: 1672 samples",
        "10 classes",
        "train: 2000 of 2000 recordings by lucas, nicolas, theo, yweweler",
        "val: 500 of 500 recordings by jackson",
        "test: 500 of 500 recordings by george",
        "image: 4 principal components, 29.1% of the energy",
    ]
