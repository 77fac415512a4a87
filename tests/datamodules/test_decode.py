import av
import numpy as np
import pytest
import torch

from datamodules.decode import read_audio, read_video
from datamodules.media import MediaError, probe
from tests.datamodules.media_files import SAMPLE_RATE, grey_ramp, write_clip
from tests.real_data import DATA, needs_real_data


def decode_all(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames))


def loud(frequency, wave):
    """Whether most of a wave's energy is within 100 Hz of a frequency."""
    energy = np.abs(np.fft.rfft(wave)) ** 2
    near = np.abs(np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE) - frequency) < 100
    return energy[near].sum() > 0.5 * energy.sum()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
@pytest.mark.parametrize(("start", "stride"), [(0, 1), (7, 1), (3, 4)])
def test_a_window_is_a_slice_of_all_frames(tmp_path, suffix, start, stride):
    path = write_clip(tmp_path / f"a{suffix}")
    window = read_video(path, start, 4, stride)
    assert window.dtype == torch.uint8
    assert torch.equal(window, decode_all(path)[start::stride][:4])


def test_frames_come_in_the_order_of_display(tmp_path):
    levels = read_video(write_clip(tmp_path / "a.mp4"), 5, 10)[:, 24, 32, 0].int()
    assert (levels - torch.tensor([grey_ramp(5 + step)[0] for step in range(10)])).abs().max() < 4


def test_frames_are_scaled_to_the_size_asked_for(tmp_path):
    path = write_clip(tmp_path / "a.mp4", colour=lambda _: (200, 40, 90))
    window = read_video(path, 0, 2, size=(30, 40))
    assert window.shape == (2, 30, 40, 3)
    assert (window.float().mean((0, 1, 2)) - torch.tensor([200.0, 40, 90])).abs().max() < 4


@pytest.mark.parametrize("frames", [1, 5])
def test_the_last_frame_is_repeated_where_the_video_is_shorter_than_the_window(tmp_path, frames):
    path = write_clip(tmp_path / "a.mp4", frames=frames)
    window = read_video(path, 0, 8, stride=3)
    everything = decode_all(path)
    places = [min(3 * step, frames - 1) for step in range(8)]
    assert torch.equal(window, everything[places])


def test_nothing_is_decoded_past_the_windows_end(tmp_path):
    path = write_clip(
        tmp_path / "a.mp4",
        frames=50,
        colour=lambda n: tuple(np.random.default_rng(n).integers(0, 255, 3)),
        tone=None,
        options={"movflags": "faststart"},
    )
    intact = read_video(path, 0, 8)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.9)])
    assert torch.equal(read_video(path, 0, 8), intact)
    with pytest.raises(MediaError, match=r"cannot decode .*a.mp4"):
        read_video(path, 42, 8)


def test_a_header_without_frames_behind_it_is_named(tmp_path):
    path = write_clip(tmp_path / "a.mp4", tone=None, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes().partition(b"mdat")[0] + b"mdat")
    with pytest.raises(MediaError, match=r"a.mp4: .*intact copy"):
        read_video(path, 0, 4)


def test_audio_has_the_number_of_samples_asked_for_and_the_tone_of_the_file(tmp_path):
    path = write_clip(tmp_path / "a.mp4", frames=20)
    window = read_audio(path, 0.2, 6_000, SAMPLE_RATE)
    assert window.shape == (1, 6_000)
    assert window.dtype == torch.float32
    assert loud(440, window[0].numpy())
    assert window.abs().max() == pytest.approx(0.5, abs=0.05)


def test_audio_is_resampled(tmp_path):
    path = write_clip(tmp_path / "a.mp4", frames=20)
    full, half = read_audio(path, 0.2, 6_400, 16_000)[0], read_audio(path, 0.2, 3_200, 8_000)[0]
    assert torch.corrcoef(torch.stack([full[::2], half]))[0, 1] > 0.99


def test_silence_fills_the_window_beyond_the_tracks_ends(tmp_path):
    path = write_clip(tmp_path / "a.mp4", frames=10, tone=lambda t: 0.5 * np.ones_like(t))
    before = read_audio(path, -0.1, 3_200, SAMPLE_RATE)[0]
    assert before[:1_600].abs().max() == 0
    assert before[2_000:].abs().min() > 0.1
    after = read_audio(path, 0.3, 3_200, SAMPLE_RATE)[0]
    assert after[:1_000].abs().min() > 0.1
    assert after[-500:].abs().max() < 0.1
    assert read_audio(path, 5.0, 100, SAMPLE_RATE).abs().max() == 0
    assert read_audio(path, -5.0, 100, SAMPLE_RATE).abs().max() == 0


def test_channels_are_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE)
        stream.layout = "stereo"
        both = np.tile(np.array([16_384, 8_192], np.int16), 1_600)[None]
        frame = av.AudioFrame.from_ndarray(both, "s16", "stereo")
        frame.rate, frame.pts = SAMPLE_RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    window = read_audio(path, 0.02, 100, SAMPLE_RATE)
    assert window.numpy() == pytest.approx(np.full((1, 100), 0.375), abs=1e-3)


def test_a_file_without_audio_track_gives_none(tmp_path):
    assert read_audio(write_clip(tmp_path / "a.mp4", tone=None), 0.0, 100, SAMPLE_RATE) is None


@pytest.mark.parametrize("start", [2, 8, 10, 16])
def test_sound_and_picture_of_a_window_belong_to_the_same_time(tmp_path, start):
    # At frame 13 the colour turns from red to blue and the tone from 440 to 1760 Hz.
    turn = 13
    path = write_clip(
        tmp_path / "a.mp4",
        frames=26,
        colour=lambda n: (255, 0, 0) if n < turn else (0, 0, 255),
        tone=lambda t: np.sin(2 * np.pi * np.where(t < turn / 25, 440, 1760) * t) / 2,
    )
    frames = 8
    video = read_video(path, start, frames)[:, 24, 32]
    begin = probe(path).time_of(start)
    audio = read_audio(path, begin, frames * 640, SAMPLE_RATE)[0].numpy().reshape(frames, 640)
    for step in range(frames):
        blue = start + step >= turn
        assert bool(video[step, 2] > video[step, 0]) == blue
        assert loud(1760 if blue else 440, audio[step])


@needs_real_data
@pytest.mark.parametrize(
    "name",
    [
        "v_ApplyLipstick_g14_c03.avi",  # B-frames, whose time stamps are out of order
        "v_BoxingSpeedBag_g09_c01.avi",  # B-frames and a second key frame
        "v_Basketball_g18_c04.avi",  # one frame fewer than the header says
        "v_BandMarching_g11_c05.avi",
    ],
)
def test_windows_of_real_clips_are_slices_of_all_their_frames(name):
    path = next((DATA / "ucf101_clips").rglob(name))
    frames = probe(path).frames
    everything = decode_all(path)
    for start in (0, frames // 2 - 8, frames - 16):
        places = torch.arange(start, start + 16).clamp(max=len(everything) - 1)
        assert torch.equal(read_video(path, start, 16), everything[places])


@needs_real_data
def test_mpeg_program_streams_without_a_frame_count_are_read_to_their_end():
    for path in sorted((DATA / "grid").glob("*.mpg"))[:3]:
        info = probe(path)
        assert abs(info.frames - 75) <= 1
        places = torch.arange(64, 80).clamp(max=74)
        assert torch.equal(read_video(path, 64, 16), decode_all(path)[places])
        assert read_audio(path, info.time_of(20), 8_000, SAMPLE_RATE).abs().max() > 0
