import av
import numpy as np
import pytest
import torch

import datamodules.audio_window as audio_window
from datamodules.decode import read_audio
from datamodules.media import MediaError, probe
from tests.datamodules.media_files import write_clip, write_sound
from tests.real_data import DATA, needs_real_data

SECONDS = 6


def noise(channels, rate, seconds=SECONDS):
    return np.random.default_rng(0).uniform(-0.5, 0.5, (channels, round(seconds * rate)))


FILES = {
    "WAV": (".wav", "pcm_s16le", 44_100, "stereo"),
    "24 bits, 5.1": (".wav", "pcm_s24le", 48_000, "5.1"),
    "8 bits, 8 kHz": (".wav", "pcm_u8", 8_000, "mono"),
    "float": (".wav", "pcm_f32le", 22_050, "mono"),
    "FLAC": (".flac", "flac", 44_100, "stereo"),
    "FLAC in MP4": (".mp4", "flac", 44_100, "mono"),
    "samples in AVI": (".avi", "pcm_s16le", 44_100, "stereo"),
    "samples in MOV": (".mov", "pcm_s16le", 16_000, "mono"),
    "samples in MKV, timed in milliseconds": (".mkv", "pcm_s16le", 44_100, "mono"),
    "MP3": (".mp3", "libmp3lame", 44_100, "stereo"),
    "AAC": (".m4a", "aac", 48_000, "stereo"),
    "Opus": (".ogg", "libopus", 48_000, "mono"),
}
SEEKABLE = [
    "WAV", "24 bits, 5.1", "8 bits, 8 kHz", "float", "FLAC", "FLAC in MP4", "samples in AVI",
    "samples in MOV",
]  # fmt: skip


def write(folder, kind):
    suffix, codec, rate, layout = FILES[kind]
    channels = av.AudioLayout(layout).nb_channels
    return write_sound(folder / f"a{suffix}", noise(channels, rate), rate, codec, layout)


@pytest.mark.parametrize("kind", FILES)
def test_a_window_is_a_slice_of_the_whole_track_to_the_last_bit(tmp_path, kind):
    path, rate = write(tmp_path, kind), FILES[kind][2]
    for sample_rate in {16_000, 11_025, rate}:
        begin = probe(path).start
        everything = read_audio(path, begin, 2 * SECONDS * sample_rate, sample_rate)
        assert everything.abs().max() > 0.1
        for seconds in (0.0, 1.01, 2.345678, 4.9, SECONDS - 0.01, SECONDS + 1.0):
            offset = round(seconds * sample_rate)
            window = read_audio(path, begin + offset / sample_rate, 3_000, sample_rate)
            assert torch.equal(window, everything[:, offset : offset + 3_000]), (
                sample_rate,
                offset,
            )


@pytest.mark.parametrize("kind", FILES)
def test_only_a_track_of_plain_samples_is_read_from_near_the_window(tmp_path, kind, monkeypatch):
    decoded = []
    collect = audio_window._collect

    def count(path, frames, plan, position):
        result = collect(path, frames, plan, position)
        decoded.append(result[1] - position)
        return result

    monkeypatch.setattr(audio_window, "_collect", count)
    path, rate = write(tmp_path, kind), FILES[kind][2]
    read_audio(path, 5.0, 1_600, 16_000)
    assert (decoded[0] < rate) == (kind in SEEKABLE)


def test_the_mean_of_the_channels_is_taken_and_a_tone_survives_resampling(tmp_path):
    times = np.arange(48_000 * 2) / 48_000
    waves = np.stack([np.sin(2 * np.pi * 440 * times) * share for share in (0, 0, 0.3, 0, 0.6, 0)])
    path = write_sound(tmp_path / "a.wav", waves, 48_000, layout="5.1")
    window = read_audio(path, 1.0, 1_600, 8_000)[0]
    expected = 0.15 * torch.sin(2 * torch.pi * 440 * (1 + torch.arange(1_600) / 8_000))
    assert (window - expected).abs().max() < 0.01


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_track_that_ends_before_its_header_says_is_named_where_a_window_needs_the_rest(
    tmp_path, suffix
):
    codec = {".wav": "pcm_s16le", ".flac": "flac"}[suffix]
    path = write_sound(tmp_path / f"a{suffix}", noise(1, 16_000), codec=codec)
    intact = read_audio(path, 1.5, 1_600, 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert torch.equal(read_audio(path, 1.5, 1_600, 16_000), intact)
    for start in (2.5, 4.5):
        with pytest.raises(MediaError, match=rf"a{suffix}: .*intact copy"):
            read_audio(path, start, 16_000, 16_000)


def test_audio_that_is_shorter_than_the_video_is_followed_by_silence(tmp_path):
    path = write_clip(tmp_path / "a.mp4", frames=50, tone=lambda t: 0.5 * (t[:8_000] * 0 + 1))
    window = read_audio(path, 0.2, 32_000, 16_000)[0]
    assert window[:4_000].abs().min() > 0.1
    assert window[6_000:].abs().max() < 0.01


def test_an_empty_window_is_refused(tmp_path):
    with pytest.raises(ValueError, match="samples"):
        read_audio(tmp_path / "a.wav", 0.0, 0, 16_000)


@needs_real_data
def test_windows_of_real_tracks_are_slices_of_them():
    clips = sorted(DATA.glob("ucf101_clips/*/*.avi"))[::9]
    for path in [
        *clips,
        *sorted(DATA.glob("grid/*.mpg"))[:2],
        *sorted(DATA.glob("fsdd/*.wav"))[:5],
    ]:
        everything = read_audio(path, 0.0, 20 * 16_000, 16_000)
        if everything is None:
            continue
        for offset in (0, 3_333, 20_000):
            window = read_audio(path, offset / 16_000, 10_240, 16_000)
            assert torch.equal(window, everything[:, offset : offset + 10_240]), path
