"""Noise and rooms over recordings."""

import numpy as np
import pytest

from datamodules.digit_recordings import DigitRecordings
from datamodules.noise import PinkNoise, RecordedNoise, add_noise, choose_noise, recording_rng
from datamodules.room import Room
from tests.datamodules.digit_files import RATE, write_recordings, write_wav


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
    folder = write_recordings(tmp_path_factory.mktemp("digits"), seconds=0.1)
    return DigitRecordings(folder, "owner").read(RATE, 0.2)


def power(values):
    return np.square(values, dtype=np.float64).mean()


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_the_noise_has_the_power_asked_for(takes, snr_db):
    noise = add_noise(takes, PinkNoise(), snr_db, seed=0) - takes.waves
    for wave, spoken, added in zip(takes.waves, takes.spoken, noise, strict=True):
        assert 10 * np.log10(power(wave[spoken]) / power(added)) == pytest.approx(snr_db, abs=1e-3)


def test_noise_is_everywhere_and_differs_by_recording_and_seed(takes):
    first, again = (add_noise(takes, PinkNoise(), 0.0, seed=0) for _ in range(2))
    assert (first == again).all()
    noise = first - takes.waves
    assert (np.abs(noise[:, :200]).max(axis=1) > 0).all()
    assert len(np.unique(noise[:, 100])) == len(noise)
    assert not (add_noise(takes, PinkNoise(), 0.0, seed=1) == first).any()


def test_the_noise_of_a_recording_does_not_depend_on_the_others(takes, tmp_path):
    name = takes.recordings.paths[37].name
    write_wav(tmp_path / name, takes.waves[37][takes.spoken[37]])
    alone = DigitRecordings(tmp_path, "owner").read(RATE, 0.2)
    alone_in_room = Room().reverberate(alone, RATE, seed=0)
    among_others = Room().reverberate(takes, RATE, seed=0)
    np.testing.assert_allclose(alone_in_room.waves[0], among_others.waves[37], atol=1e-4)
    np.testing.assert_allclose(
        add_noise(alone, PinkNoise(), 0.0, seed=0)[0],
        add_noise(takes, PinkNoise(), 0.0, seed=0)[37],
        atol=1e-3,
    )


def test_pink_noise_has_equal_power_in_every_octave():
    rng = np.random.default_rng(0)
    spectrum = np.mean(
        [np.abs(np.fft.rfft(PinkNoise().draw(rng, 4096, 0, 3))) ** 2 for _ in range(50)], axis=0
    )
    octaves = [spectrum[2**k : 2 ** (k + 1)].sum() for k in range(3, 11)]
    assert max(octaves) / min(octaves) < 1.3


def test_no_recording_of_noise_is_heard_over_two_speakers(tmp_path):
    for number in range(7):
        tone = np.sin(np.arange(4000) * (number + 1) / 50)
        write_wav(tmp_path / f"fold{number % 2}" / f"{number}.wav", 0.5 * tone)
    noise = RecordedNoise(tmp_path, RATE, "owner")
    rng = np.random.default_rng(0)
    heard = [
        {_dominant(noise.draw(rng, 2000, speaker, 3)) for _ in range(30)} for speaker in range(3)
    ]
    assert [len(one) for one in heard] == [3, 2, 2]
    assert not heard[0] & heard[1]
    assert not (heard[0] | heard[1]) & heard[2]


def _dominant(wave):
    return int(np.abs(np.fft.rfft(wave)).argmax())


def test_recorded_noise_skips_silence_repeats_what_is_short_and_has_unit_power(tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(4000))
    write_wav(tmp_path / "b.wav", 0.3 * np.sin(np.arange(300)))
    for seed in range(5):
        drawn = RecordedNoise(tmp_path, RATE, "owner").draw(np.random.default_rng(seed), 1000, 0, 1)
        assert drawn.shape == (1000,)
        assert power(drawn) == pytest.approx(1, abs=1e-4)


def test_too_few_recordings_of_noise_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"AVMNIST\.noise_folder: no wav file is under"):
        choose_noise(str(tmp_path), RATE, "AVMNIST")
    write_wav(tmp_path / "a.wav", np.zeros(4000))
    noise = choose_noise(str(tmp_path), RATE, "AVMNIST")
    for speaker in (0, 1):
        with pytest.raises(ValueError, match=rf"no sound for speaker {speaker} of 6"):
            noise.draw(np.random.default_rng(0), 100, speaker, 6)


@pytest.mark.parametrize("rt60", [0.2, 0.6])
def test_the_tail_of_a_room_falls_by_60_db_in_its_time(rt60):
    room, rng = Room(rt60=(rt60, rt60)), np.random.default_rng(0)
    responses = np.stack([room.response(rng, RATE, RATE) for _ in range(200)])
    early, late = (power(responses[:, at - 80 : at + 80]) for at in (160, 160 + round(rt60 * RATE)))
    assert 10 * np.log10(early / late) == pytest.approx(60, abs=0.5)


@pytest.mark.parametrize("direct_db", [-6.0, 0.0, 10.0])
def test_direct_sound_and_tail_have_the_energies_asked_for(direct_db):
    response = Room(direct_db=direct_db).response(np.random.default_rng(0), RATE, RATE)
    assert np.square(response).sum() == pytest.approx(1, abs=1e-4)
    ratio = response[0] ** 2 / np.square(response[1:]).sum()
    assert 10 * np.log10(ratio) == pytest.approx(direct_db, abs=1e-3)


def test_a_recording_is_heard_as_its_convolution_with_its_room(takes):
    heard = Room().reverberate(takes, RATE, seed=3)
    row, samples = 5, takes.waves.shape[1]
    rng = recording_rng(takes.recordings.paths[row], 3, purpose=1)
    expected = np.convolve(takes.waves[row], Room().response(rng, samples, RATE))[:samples]
    np.testing.assert_allclose(heard.waves[row], expected, atol=1e-4)
    assert heard.spoken is takes.spoken
    assert not np.allclose(heard.waves, Room().reverberate(takes, RATE, seed=4).waves)


@pytest.mark.parametrize("rt60", [(0.0, 0.5), (0.8, 0.2), (-1.0, 1.0)])
def test_times_that_are_no_range_are_refused(rt60):
    with pytest.raises(ValueError, match="rt60: give the shortest and the longest time"):
        Room(rt60=rt60)
