"""What a student says of a source is what evaluation computes for it."""

import numpy as np
import pytest
import torch

from cmkd import load_student
from cmkd.student import Failure
from datamodules import Quickstart
from tests.cmkd.student.small_runs import clip_arguments, evaluated, feature_arguments, fit
from tests.datamodules.feature_files import ACTORS, actor_arrays


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    arguments = clip_arguments(folder)
    return arguments, fit(arguments, folder / "run")


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    arguments = feature_arguments(folder)
    return arguments, fit(arguments, folder / "run")


def test_a_clip_is_predicted_as_in_evaluation_with_and_without_its_sound(clips):
    arguments, checkpoint = clips
    dataset, means = evaluated(arguments, checkpoint)
    student = load_student(checkpoint)
    assert student.modalities == ("video", "audio")
    table = dataset.reader.table
    windows, silent = 0, 0
    for number, mean in means.items():
        path = table[number].sources["video"].path
        source = student.preprocess(path)
        windows += len(source["video"])
        silent += "audio" not in source
        prediction = student.predict(path)
        assert torch.allclose(prediction.probabilities, mean["prediction"], atol=1e-6)
        assert torch.allclose(prediction.embedding, mean["embedding"], atol=1e-5)
    assert windows > len(table)
    assert 0 < silent < len(table)


def test_a_rendered_clip_gives_the_samples_of_the_test_set(tmp_path):
    data = Quickstart(str(tmp_path), groups=3, test_groups=1, clips_per_group=1)
    data.prepare_data()
    dataset, preprocessing = data.dataset("test"), data.preprocessing()
    for row in range(len(dataset)):
        clip = data._clips.clips("test")[row]
        windows = preprocessing.windows({"video": clip.sources["video"].path})
        assert torch.equal(windows["video"][0], dataset[row]["video"])


def test_features_are_predicted_as_in_evaluation(features):
    arguments, checkpoint = features
    _, means = evaluated(arguments, checkpoint)
    student = load_student(checkpoint)
    arrays = actor_arrays()
    tested = np.flatnonzero(np.isin(arrays["actor"], ACTORS[:2]))
    assert len(tested) == len(means)
    sources = [{"face": arrays["face_au"][row], "speech": arrays["speech"][row]} for row in tested]
    predictions = list(student.predict_many(sources, batch_size=5))
    for number, prediction in enumerate(predictions):
        assert torch.allclose(prediction.probabilities, means[number]["prediction"], atol=1e-5)
        assert torch.allclose(prediction.embedding, means[number]["embedding"], atol=1e-4)


def test_many_clips_are_predicted_in_order_whatever_the_batch_and_the_broken_ones_reported(
    clips, tmp_path
):
    _, checkpoint = clips
    student = load_student(checkpoint)
    root = checkpoint.parents[2] / "clips"
    paths = sorted(root.rglob("*g01*.mp4"))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    paths = [paths[0], tmp_path / "broken.mp4", *paths[1:], tmp_path / "nowhere.mp4"]
    by_size = [list(student.predict_many(paths, size)) for size in (1, 3, 100)]
    for results in by_size:
        assert [result.source for result in results] == [str(path) for path in paths]
        assert isinstance(results[1], Failure)
        assert "broken.mp4" in results[1].reason
        assert "nowhere.mp4" in results[-1].reason
        for result, first in zip(results, by_size[0], strict=True):
            if not isinstance(result, Failure):
                assert torch.allclose(result.probabilities, first.probabilities, atol=1e-6)
                assert result.top(2)[0][1] >= result.top(2)[1][1]
                assert result.top(9)[0][0] in student.class_names
    with pytest.raises(ValueError, match="batch_size"):
        student.predict_many(paths, 0)


def test_tensors_and_paths_may_stand_beside_each_other(clips):
    _, checkpoint = clips
    student = load_student(checkpoint)
    path = next((checkpoint.parents[2] / "clips" / "Archery").glob("*.mp4"))
    windows = student.preprocess(path)
    whole = student.predict(path).probabilities
    assert torch.allclose(student.predict(windows).probabilities, whole, atol=1e-6)
    mixed = {"video": path, "audio": windows["audio"]}
    assert torch.allclose(student.predict(mixed).probabilities, whole, atol=1e-6)
    with pytest.raises(ValueError, match="flow"):
        student.predict({"flow": path})
    with pytest.raises(ValueError, match=r"'video'.*\(3, 4, 32, 32\)"):
        student.predict({"video": torch.zeros(3, 4, 16, 16)})
