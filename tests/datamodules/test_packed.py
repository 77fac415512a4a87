"""The files of the training cache against what decoding the media files gives."""

import av
import numpy as np
import pytest
import torch

from datamodules.decode import read_audio, read_video
from datamodules.media import MediaError, probe
from datamodules.packed_frames import encode_frames, read_packed, write_packed
from datamodules.packed_sound import decode_sound, read_sound, write_sound
from tests.datamodules.media_files import moving_picture, write_clip
from tests.datamodules.media_files import write_sound as write_media_sound
from tests.real_data import DATA, needs_real_data

RATE = 16_000


def ramp(count=20, size=(47, 63)):
    """Smooth frames that JPEG keeps well, each of its own brightness."""
    down, right = np.mgrid[: size[0], : size[1]]
    image = np.stack([down * 2, right * 2, down + right], -1)
    return torch.from_numpy(np.stack([image + 3 * n for n in range(count)]).astype(np.uint8))


def unpack(path, start, frames, stride=1, size=None):
    """(T, H, W, 3) in [0, 255]."""
    return read_packed(path, start, frames, stride, size).permute(1, 2, 3, 0)


def pack(path, frames):
    write_packed(path, encode_frames(frames), tuple(frames.shape[1:3]))
    return path


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (1, 1), (16, 64), (65, 16)])
def test_frames_come_back_in_their_order_and_size_nearly_as_they_were(tmp_path, size):
    frames = ramp(size=size)
    packed = unpack(pack(tmp_path / "a", frames), 0, 20)
    assert packed.shape == frames.shape
    assert packed.dtype == torch.float32
    assert (packed - frames.float()).abs().mean() < 2.5


@pytest.mark.parametrize(
    ("start", "frames", "stride"),
    [(0, 4, 1), (3, 5, 2), (16, 4, 1), (18, 4, 1), (19, 3, 5), (30, 2, 1)],
)
def test_a_window_is_a_slice_and_repeats_the_last_frame_past_the_end(
    tmp_path, start, frames, stride
):
    path = pack(tmp_path / "a", ramp())
    everything = unpack(path, 0, 20)
    numbers = [min(start + stride * number, 19) for number in range(frames)]
    assert torch.equal(unpack(path, start, frames, stride), everything[numbers])


def test_frames_of_another_size_are_scaled_like_those_of_the_media_file(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", size=(96, 128))
    packed = pack(tmp_path / "a", read_video(clip, 0, 20))
    assert torch.equal(unpack(packed, 2, 3, size=(96, 128)), unpack(packed, 2, 3, size=None))
    scaled = unpack(packed, 2, 3, size=(48, 60))
    expected = read_video(clip, 2, 3, size=(48, 60))
    assert scaled.shape == expected.shape
    assert (scaled - expected.float()).abs().mean() < 2


@pytest.mark.parametrize("size", [(47, 63), (40, 44)])
def test_a_part_is_cut_from_the_scaled_frame_and_mirrored(tmp_path, size):
    path = pack(tmp_path / "a", ramp())
    whole = read_packed(path, 4, 6, size=size)
    part = read_packed(path, 4, 6, 1, size, slice(3, 20), slice(30, 9, -1))
    assert torch.equal(part, whole[:, :, 3:20, 10:31].flip(3))
    part = read_packed(path, 4, 6, 1, size, slice(0, 8), slice(7, None, -1))
    assert torch.equal(part, whole[:, :, :8, :8].flip(3))


def test_players_can_show_the_file(tmp_path):
    path = pack(tmp_path / "a.mjpeg", ramp())
    with av.open(str(path), format="mjpeg") as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


@pytest.mark.parametrize("left", [0, 5, 100, -1, -200])
def test_a_file_that_is_not_whole_is_named(tmp_path, left):
    path = pack(tmp_path / "half.mjpeg", ramp())
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(MediaError, match=r"half.mjpeg: this file of the cache is damaged"):
        read_packed(path, 0, 4)


def test_finer_quantisers_are_closer_and_larger():
    frames = torch.from_numpy(np.stack([moving_picture(number) for number in range(4)]))
    sizes = [sum(map(len, encode_frames(frames, quantiser))) for quantiser in (1, 3, 8)]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050])
def test_any_window_of_the_sound_is_what_the_media_file_gives_number_by_number(
    tmp_path, suffix, rate
):
    clip = write_clip(tmp_path / f"a{suffix}", frames=40, tone=lambda t: t * np.sin(2_000 * t))
    begin, samples = decode_sound(clip, rate)
    path = tmp_path / "sound"
    assert write_sound(path, begin, samples, rate) == path.stat().st_size
    for start in (-3.0, -0.2, 0.0, 0.333, 0.7771, 1.55, 1.7, 9.0):
        expected = read_audio(clip, start, 4_000, rate)
        assert torch.equal(read_sound(path, start, 4_000, rate), expected), start


def test_many_channels_and_silence_are_kept(tmp_path):
    wave = np.zeros((6, RATE))
    wave[:, : RATE // 2] = np.random.default_rng(0).uniform(-0.5, 0.5, (6, RATE // 2))
    media = write_media_sound(tmp_path / "a.wav", wave, layout="5.1")
    begin, samples = decode_sound(media, RATE)
    assert RATE // 2 - 100 < len(samples) < RATE // 2 + 100
    write_sound(tmp_path / "sound", begin, samples, RATE)
    expected = read_audio(media, 0.25, RATE, RATE)
    assert torch.equal(read_sound(tmp_path / "sound", 0.25, RATE, RATE), expected)


def test_a_track_of_silence_is_silence(tmp_path):
    media = write_media_sound(tmp_path / "a.wav", np.zeros((1, RATE)))
    write_sound(tmp_path / "sound", *decode_sound(media, RATE), RATE)
    assert torch.equal(read_sound(tmp_path / "sound", 0.0, 100, RATE), torch.zeros(1, 100))


@pytest.mark.parametrize("left", [0, 10, -1, -400])
def test_sound_that_is_not_whole_or_of_another_rate_is_named(tmp_path, left):
    path = tmp_path / "half.f32"
    write_sound(path, 0.0, torch.ones(200), RATE)
    with pytest.raises(MediaError, match=r"half.f32: .*8000 samples a second"):
        read_sound(path, 0.0, 200, 8_000)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(MediaError, match=r"half.f32: this file of the cache is damaged"):
        read_sound(path, 0.0, 200, RATE)


def test_sound_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MediaError, match=r"silent.mp4: there is no audio track"):
        decode_sound(write_clip(tmp_path / "silent.mp4", tone=None), RATE)


@needs_real_data
def test_the_sound_of_real_clips_is_kept_number_by_number(tmp_path):
    files = [
        file for file in sorted((DATA / "ucf101_clips").rglob("*.avi")) if probe(file).has_audio
    ]
    for file in [*files[::6], *sorted(DATA.rglob("*.mpg"))[:2]]:
        write_sound(tmp_path / "sound", *decode_sound(file, RATE), RATE)
        info = probe(file)
        for frame in (0, info.frames // 2, info.frames - 8):
            start = info.time_of(frame)
            expected = read_audio(file, start, 10_240, RATE)
            assert torch.equal(read_sound(tmp_path / "sound", start, 10_240, RATE), expected), file
