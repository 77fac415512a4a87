"""What a datamodule gives out makes of a file what the datamodule made of it."""

import numpy as np
import pytest
import torch

from cmkd.networks import LogMel
from cmkd.preprocessing import ReadyTensors
from datamodules import LatentWorld, SpokenDigits
from datamodules.clip_preprocessing import ClipPreprocessing
from datamodules.feature_arrays import Reading
from tests.datamodules.digit_files import write_recordings
from tests.datamodules.feature_files import actor_arrays, feature_folds, save
from tests.datamodules.media_files import write_clip


def spoken_digits(folder, **changes):
    write_recordings(folder)
    return SpokenDigits(str(folder), ["close"], ["far"], **changes)


@pytest.mark.parametrize(
    "front_end", [None, LogMel(8_000, n_mels=8, hop_ms=20)], ids=["waveform", "log-mel"]
)
@pytest.mark.parametrize("level_db", [None, -26.0])
def test_a_recording_gives_the_sample_of_the_test_set(tmp_path, front_end, level_db):
    data = spoken_digits(tmp_path, front_end=front_end, level_db=level_db)
    preprocessing, dataset = data.preprocessing(), data.dataset("test")
    paths = [data.spoken.paths[row] for row in data.rows("test")]
    for row in (0, len(paths) - 1):
        found = preprocessing.windows({"close": paths[row]})["close"][0]
        assert found.shape == preprocessing.shapes["close"]
        assert torch.allclose(found, dataset[row]["close"], atol=1e-5)


def test_a_front_end_of_ones_own_leaves_the_tensors_to_be_given(tmp_path):
    class Doubled(torch.nn.Identity):
        pass

    data = spoken_digits(tmp_path, front_end=Doubled())
    assert isinstance(data.preprocessing(), ReadyTensors)


def test_data_without_files_takes_tensors_as_its_batches_hold_them():
    data = LatentWorld(["first"], ["second"], features=7, train=20, val=5, test=5)
    preprocessing = data.preprocessing()
    assert preprocessing.shapes == {"first": (7,)}
    sample = data.dataset("test")[0]["first"]
    assert torch.equal(preprocessing.windows({"first": sample})["first"], sample[None])


def test_features_that_say_what_is_missing_are_read_as_in_the_file(tmp_path):
    arrays = actor_arrays()
    speech = np.roll(arrays["speech"], 2, axis=1)
    speech[:, :2], speech[0], speech[3, 4, 0] = 0, 0, np.inf
    speech[1:, 4] = 1 + np.arange(3)
    file = save(tmp_path / "actors.npz", **(arrays | {"speech": speech}))
    reading = Reading(zero_rows_are_absent=True, infinity_is_zero=True, front_padded=True)
    data = feature_folds(file, student_modalities=["speech"], auxiliary_modalities=[],
                         reading=reading)  # fmt: skip
    preprocessing, dataset = data.preprocessing(), data.dataset("test")
    rows = data.parts.test.rows
    assert 0 in rows
    for place, row in enumerate(rows):
        sample = dataset[place]
        if not sample["present"]["speech"]:
            with pytest.raises(ValueError, match="no speech"):
                preprocessing.windows({"speech": speech[row]})
            continue
        assert torch.equal(
            preprocessing.windows({"speech": speech[row]})["speech"][0], sample["speech"]
        )


def test_features_without_standardising_are_those_of_the_file(tmp_path):
    arrays = actor_arrays()
    data = feature_folds(save(tmp_path / "actors.npz", **arrays), standardise=False)
    found = data.preprocessing().windows({"face": arrays["face_au"][0]})["face"]
    assert torch.equal(found, torch.from_numpy(arrays["face_au"][:1]))
    with pytest.raises(ValueError, match=r"'face': expected the features \(4\) of one sample"):
        data.preprocessing().windows({"face": arrays["face_au"]})


def test_a_clip_without_any_of_the_modalities_and_one_that_is_not_there_are_errors(tmp_path):
    silent = write_clip(tmp_path / "silent.mp4", tone=None)
    preprocessing = ClipPreprocessing({"audio": "audio"})
    with pytest.raises(ValueError, match=r"silent\.mp4: there is no audio in it"):
        preprocessing.windows({"audio": silent})
    with pytest.raises(FileNotFoundError, match=r"'audio': there is no file .*gone\.mp4"):
        preprocessing.windows({"audio": tmp_path / "gone.mp4"})


def test_tensors_that_belong_to_a_clip_go_with_each_of_its_windows(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    preprocessing = ClipPreprocessing(
        {"video": "video"}, {"text": [None, 3]}, eval_stride=4, frames=4, resize=(32, 40), size=32
    )
    text = torch.arange(6.0).view(2, 3)
    windows = preprocessing.windows({"video": clip, "text": text})
    assert len(windows["video"]) > 1
    assert len(windows["text"]) == len(windows["video"])
    assert all(torch.equal(one, text) for one in windows["text"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": {"video": "smell"}}, "unknown smell"),
        ({"kinds": {"video": "video"}, "eval_stride": 0}, "eval_stride"),
        ({"kinds": {"video": "video"}, "size": 500}, "does not fit"),
    ],
)
def test_arguments_that_do_not_fit_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClipPreprocessing(**arguments)
