import io

import av
import numpy as np
import pytest

from datamodules.encoding import encode_mp4

RATE = 8000


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Half a second of a square that grows brighter."""
    frames = np.full((5, 32, 48, 3), 40, dtype=np.uint8)
    for number in range(5):
        frames[number, 8:24, 8:24] = 60 + 40 * number
    return frames


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    t = np.arange(RATE // 2) / RATE
    return (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


def test_the_file_holds_h264_and_aac_of_the_given_rates(frames, samples):
    content = encode_mp4(frames, 10, samples, RATE)
    with av.open(io.BytesIO(content)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert "mp4" in container.format.name
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.average_rate, audio.rate) == (10, RATE)
        assert (video.height, video.width, audio.channels) == (32, 48, 1)


def test_a_clip_without_samples_has_no_audio_track(frames):
    with av.open(io.BytesIO(encode_mp4(frames, 10))) as container:
        assert not container.streams.audio
        assert len(list(container.decode(video=0))) == len(frames)


def test_frames_come_back_in_order_and_nearly_unchanged(frames, samples):
    with av.open(io.BytesIO(encode_mp4(frames, 10, samples, RATE))) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    error = np.abs(np.stack(decoded).astype(float) - frames)
    assert error.mean() < 4


def test_a_lower_crf_keeps_more(frames):
    noise = np.random.default_rng(0).integers(0, 40, frames.shape, dtype=np.uint8)
    assert len(encode_mp4(frames + noise, 10, crf=10)) > len(encode_mp4(frames + noise, 10, crf=40))


def test_sound_comes_back_at_the_same_time(frames, samples):
    late = np.zeros(RATE, dtype=np.float32)
    late[RATE // 2 :] = samples
    with av.open(io.BytesIO(encode_mp4(frames, 5, late, RATE))) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    start = np.flatnonzero(np.abs(sound) > 0.25)[0] / RATE
    assert start == pytest.approx(0.5, abs=0.03)


def test_the_same_clip_gives_the_same_bytes(frames, samples):
    assert encode_mp4(frames, 10, samples, RATE) == encode_mp4(frames, 10, samples, RATE)
