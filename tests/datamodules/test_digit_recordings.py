"""Recordings of spoken digits, and the folds of their speakers."""

import numpy as np
import pytest

from datamodules.digit_recordings import DigitRecordings
from datamodules.speaker_fold import PARTS, SpeakerFold, parts_of
from tests.datamodules.digit_files import RATE, SPEAKERS, write_recordings, write_wav


@pytest.mark.parametrize("speakers", [3, 6])
def test_each_speaker_is_in_one_part_and_is_tested_once(speakers):
    tested = []
    for number in range(speakers):
        fold = SpeakerFold(speakers, number, "owner")
        members = [speaker for part in PARTS for speaker in fold.of(part)]
        assert sorted(members) == list(range(speakers))
        assert len(fold.of("val")) == len(fold.of("test")) == 1
        tested += fold.of("test")
    assert tested == list(range(speakers))


def test_the_gallery_is_training_and_validation():
    assert parts_of("gallery") == ["train", "val"]
    assert parts_of("test") == ["test"]


@pytest.mark.parametrize(
    ("speakers", "fold", "message"),
    [(2, 0, "takes three at least"), (6, 6, r"owner\.fold: 6 .* folds 0 to 5"), (6, -1, "-1 is")],
)
def test_folds_that_cannot_be_are_refused(speakers, fold, message):
    with pytest.raises(ValueError, match=message):
        SpeakerFold(speakers, fold, "owner")


def test_names_say_digit_and_speaker(tmp_path):
    recordings = DigitRecordings(write_recordings(tmp_path), "owner")
    assert recordings.speakers == list(SPEAKERS)
    for path, digit, speaker in zip(
        recordings.paths, recordings.digit, recordings.speaker, strict=True
    ):
        assert path.name.startswith(f"{digit}_{SPEAKERS[speaker]}_")
    assert {recordings.paths[row].name.split("_")[1] for row in recordings.of([1, 3])} == {
        "bob",
        "dan",
    }


def test_short_recordings_stand_in_the_middle_and_long_ones_keep_theirs(tmp_path):
    ramp = np.linspace(0.1, 0.9, 800)
    write_wav(tmp_path / "0_ann_0.wav", ramp)
    recordings = DigitRecordings(tmp_path, "owner")
    long = recordings.read(RATE, 0.2)
    assert long.waves.shape == (1, 1600)
    assert not long.waves[0, :400].any()
    assert not long.waves[0, 1200:].any()
    np.testing.assert_allclose(long.waves[0, 400:1200], ramp, atol=2**-15)
    assert np.flatnonzero(long.spoken[0]).tolist() == list(range(400, 1200))
    short = recordings.read(RATE, 0.05)
    np.testing.assert_allclose(short.waves[0], ramp[200:600], atol=2**-15)
    assert short.spoken.all()


def test_all_are_brought_to_one_level_and_silence_stays(tmp_path):
    ramp = np.linspace(0.1, 0.9, 800)
    for number, gain in enumerate((1.0, 0.01, 0.0)):
        write_wav(tmp_path / f"0_ann_{number}.wav", gain * ramp)
    takes = DigitRecordings(tmp_path, "owner").read(RATE, 0.2)
    leveled = takes.at_level(-20.0)
    np.testing.assert_allclose(10 * np.log10(leveled.power()[:2]), -20.0, atol=1e-3)
    assert not leveled.waves[2].any()
    assert leveled.waves.dtype == np.float32
    assert takes.power()[0] == pytest.approx(np.square(ramp).mean(), rel=1e-3)


def test_a_length_below_a_sample_is_refused(tmp_path):
    recordings = DigitRecordings(write_recordings(tmp_path), "SpokenDigits")
    with pytest.raises(ValueError, match=r"SpokenDigits\.seconds.*less than a sample"):
        recordings.read(RATE, 0.0)


def test_a_name_of_another_kind_is_refused(tmp_path):
    write_recordings(tmp_path)
    write_wav(tmp_path / "three_ann_0.wav", np.zeros(8))
    with pytest.raises(ValueError, match=r"three_ann_0\.wav: the name is not <digit>_<speaker>"):
        DigitRecordings(tmp_path, "owner")


def test_hidden_files_are_none_of_them(tmp_path):
    write_recordings(tmp_path)
    (tmp_path / "._0_ann_0.wav").write_bytes(b"resource fork")
    assert len(DigitRecordings(tmp_path, "owner").paths) == 80


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"SpokenDigits\.root: no wav file is in"):
        DigitRecordings(tmp_path / "nothing", "SpokenDigits.root")
