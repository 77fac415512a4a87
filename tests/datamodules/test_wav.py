"""Reading wav files."""

import numpy as np
import pytest

from datamodules.wav import read_wav
from tests.datamodules.digit_files import RATE, write_wav


def tone(seconds, rate, frequency=440):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def test_samples_come_back_within_one_step(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(0.1, RATE))
    read = read_wav(path, RATE)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, tone(0.1, RATE), atol=2**-15)


def test_channels_are_averaged(tmp_path):
    both = np.stack([tone(0.1, RATE), np.zeros(800)], axis=1).ravel()
    path = write_wav(tmp_path / "a.wav", both, channels=2)
    np.testing.assert_allclose(read_wav(path, RATE), tone(0.1, RATE) / 2, atol=2**-15)


def test_another_rate_is_resampled(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(0.5, 44_100), rate=44_100)
    read = read_wav(path, RATE)
    assert len(read) == 4_000
    np.testing.assert_allclose(read[400:-400], tone(0.5, RATE)[400:-400], atol=5e-3)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "it holds 790 of 800 samples"),
        (emptied, "it ends within its header"),
        (lambda path: path.write_bytes(b"ID3" + bytes(100)), "RIFF"),
        (lambda path: write_wav(path, np.zeros(0)), "it holds 0 of 0 samples"),
        (lambda path: write_wav(path, np.zeros(8), width=3), "its samples have 24 bits"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path, damage, message):
    path = write_wav(tmp_path / "a.wav", tone(0.1, RATE))
    damage(path)
    with pytest.raises(ValueError, match=rf"cannot read .*a\.wav: .*{message}.*16-bit PCM"):
        read_wav(path, RATE)
