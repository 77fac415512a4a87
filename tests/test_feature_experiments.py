"""The experiments on feature files fit and test on small files of the real layouts."""

from pathlib import Path

import numpy as np
import pytest

from cmkd.cli import run

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
RETRIEVAL = "retrieval"


def fit_and_test(tmp_path, file, configs, *more):
    arguments = [a for name in configs for a in ("--config", str(EXPERIMENTS / f"{name}.yaml"))]
    arguments += ["--data.init_args.file", str(file), "--trainer.accelerator", "cpu", *more]
    arguments += ["--trainer.enable_progress_bar", "false"]
    run(["fit", *arguments, "--run.dir", str(tmp_path / "run"), "--trainer.max_epochs", "2"])
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    tested = run(["test", *arguments, "--ckpt_path", str(best)])
    scores = tested.trainer.callback_metrics
    return {name.split("/")[1]: value.item() for name, value in scores.items()}


def sentiment_file(path, widths, **changes):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, videos in {"train": "abcd", "valid": "ef", "test": "gh"}.items():
        n = 8 * len(videos)
        arrays[f"id_{part}"] = np.array([f"{v}$_${s}" for v in videos for s in range(8)])
        for name, shape in widths.items():
            arrays[f"{name}_{part}"] = rng.normal(size=(n, *shape)).astype(np.float32)
        arrays[f"regression_labels_{part}"] = rng.permutation(np.linspace(-3, 3, n)).round(1)
    np.savez(path, **arrays)
    return path


ALIGNED = {"text": (6, 768), "audio": (6, 74), "vision": (6, 35)}


def test_the_aligned_sequences_give_a_regression(tmp_path):
    file = sentiment_file(tmp_path / "aligned_50.npz", ALIGNED)
    scores = fit_and_test(tmp_path, file, ["mosi/aligned"], "--model.teacher_epochs", "1")
    assert {"student_mae", "student_pearson", "student_accuracy_7"} <= scores.keys()
    assert np.isfinite(scores["student_mae"])


@pytest.mark.parametrize(("target", "classes"), [("PolarityTarget", 2), ("RoundedTarget", 7)])
def test_the_aligned_sequences_give_classes(tmp_path, target, classes):
    file = sentiment_file(tmp_path / "aligned_50.npz", ALIGNED)
    scores = fit_and_test(
        tmp_path,
        file,
        ["mosi/aligned"],
        *("--model.task", "cmkd.tasks.Classification", "--model.teacher_epochs", "1"),
        *("--data.init_args.target", f"datamodules.targets.{target}"),
    )
    assert ("student_top5_accuracy" in scores) == (classes > 5)


@pytest.mark.parametrize("method", ["none", "kd"])
def test_segment_vectors_give_the_polarity(tmp_path, method):
    file = sentiment_file(tmp_path / "mosi.npz", {"text": (100,), "audio": (73,)})
    configs = ["mosi/base", f"methods/{method}"]
    scores = fit_and_test(tmp_path, file, configs, "--model.teacher_epochs", "1")
    assert 0 <= scores["student_accuracy"] <= 1


def sound_file(path):
    rng = np.random.default_rng(0)
    group, label = (x.ravel() for x in np.meshgrid(np.arange(1, 26), np.arange(4)))
    centre = rng.normal(size=(4, 512))
    sound = (centre[label] + rng.normal(size=(100, 512))).astype(np.float32)
    np.savez(path, group=group, label=label, audio_cnn14=sound)
    return path


@pytest.mark.parametrize("overlay", [[], [RETRIEVAL]])
def test_one_modality_alone_is_recognised_and_retrieved(tmp_path, overlay):
    file = sound_file(tmp_path / "ucf51_audio.npz")
    scores = fit_and_test(tmp_path, file, ["ucf51/audio_features", *overlay])
    assert scores["student_accuracy"] > 0.5
    assert ("student_recall_at_1" in scores) == bool(overlay)
    if overlay:
        assert scores["student_recall_at_1"] > 0.5


def test_a_csv_with_npy_files_takes_the_place_of_the_npz(tmp_path):
    arrays = np.load(sound_file(tmp_path / "a.npz"))
    np.save(tmp_path / "audio.npy", arrays["audio_cnn14"])
    rows = zip(arrays["group"], arrays["label"], strict=True)
    text = "group,label\r\n" + "".join(f"{group},{label}\r\n" for group, label in rows)
    file = tmp_path / "clips.csv"
    file.write_text(text)
    more = ("--data.init_args.arrays", "{audio: audio.npy}")
    scores = fit_and_test(tmp_path, file, ["ucf51/audio_features"], *more)
    assert scores["student_accuracy"] > 0.5
