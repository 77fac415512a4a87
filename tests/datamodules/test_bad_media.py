"""Unusual and damaged files: each is read rightly or named in an error."""

import os

import av
import numpy as np
import pytest
import torch

from datamodules.decode import read_audio, read_video
from datamodules.media import MediaError, probe
from tests.datamodules.media_files import (
    SAMPLE_RATE,
    grey_ramp,
    write_clip,
    write_sound,
    write_video,
)

SUFFIXES = [".mp4", ".avi"]


def sine(seconds=1.0, rate=SAMPLE_RATE, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave, (channels, 1))


def decode_all(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames))


def try_to_read(path, start, frames):
    """The window, or None after an error that names the file and the remedy."""
    try:
        return read_video(path, start, frames)
    except MediaError as error:
        message = str(error)
    assert str(path) in message
    assert "intact copy" in message
    return None


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.95])
def test_a_truncated_file_gives_its_intact_windows_and_is_named_for_the_others(
    tmp_path, suffix, share
):
    whole = write_clip(
        tmp_path / f"whole{suffix}",
        frames=75,
        colour=lambda number: tuple(np.random.default_rng(number).integers(0, 255, 3)),
        tone=None,
        options={"movflags": "faststart"},
    )
    everything = decode_all(whole)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    read = {start: try_to_read(path, start, 8) for start in range(0, 75, 15)}
    for start, window in read.items():
        assert window is None or torch.equal(window, everything[start : start + 8]), start
    assert (read[30] is None) == (share < 0.9)
    assert try_to_read(path, 70, 8) is None


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".wav", ".mkv"])
def test_an_empty_file_is_named_by_every_reader(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.touch()
    for read in (
        lambda: probe(path),
        lambda: read_video(path, 0, 4),
        lambda: read_audio(path, 0.0, 4, SAMPLE_RATE),
    ):
        with pytest.raises(MediaError, match=rf"a{suffix}: it is empty \(0 bytes\); .*intact copy"):
            read()


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".wav", "pcm_s16le"),
        (".flac", "flac"),
        (".mp3", "libmp3lame"),
        (".ogg", "libopus"),
        (".m4a", "aac"),
    ],
)
def test_an_audio_only_file_has_a_duration_and_a_rate_and_no_frames(tmp_path, suffix, codec):
    path = write_sound(tmp_path / f"a{suffix}", sine(2.0, 48_000), 48_000, codec)
    info = probe(path)
    assert (info.frames, info.frame_rate, info.has_video, info.has_audio) == (0, 0.0, False, True)
    assert info.audio_rate == 48_000
    assert info.duration == info.audio_seconds == pytest.approx(2.0, abs=0.1)
    assert read_audio(path, info.start + 0.5, 800, 16_000).abs().max() > 0.4
    with pytest.raises(MediaError, match=rf"a{suffix}: there is no video track; .*intact copy"):
        read_video(path, 0, 4)
    with pytest.raises(ValueError, match="no frames"):
        info.time_of(3)


def test_the_cover_of_a_song_is_no_video(tmp_path):
    song = write_sound(tmp_path / "song.mp3", sine(), codec="libmp3lame")
    path = tmp_path / "cover.mp3"
    with av.open(str(song)) as source, av.open(str(path), "w") as target:
        audio = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("png", rate=1)
        cover.height, cover.width, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        target.mux(cover.encode(frame))
        target.mux(cover.encode())
        for packet in source.demux():
            if packet.size:
                packet.stream = audio
                target.mux(packet)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    assert not probe(path).has_video


def test_a_video_only_file_has_no_audio(tmp_path):
    info = probe(write_clip(tmp_path / "a.mp4", tone=None))
    assert (info.has_video, info.has_audio, info.audio_seconds, info.audio_rate) == (
        True,
        False,
        0.0,
        0,
    )


def test_a_file_with_both_tells_the_audios_rate_and_the_videos_duration(tmp_path):
    info = probe(write_clip(tmp_path / "a.mp4", frames=25))
    assert (info.audio_rate, info.duration) == (SAMPLE_RATE, 1.0)
    assert info.audio_seconds == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("size", [(2, 64), (64, 2), (16, 64), (64, 16), (50, 66)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_narrow_frames_decode_and_scale(tmp_path, suffix, size):
    path = write_clip(tmp_path / f"a{suffix}", frames=6, size=size)
    assert torch.equal(read_video(path, 2, 3), decode_all(path)[2:5])
    scaled = read_video(path, 2, 3, size=(24, 32))
    levels = torch.tensor([grey_ramp(frame)[0] for frame in (2, 3, 4)])
    assert (scaled.float().mean((1, 2, 3)) - levels).abs().max() < 5


@pytest.mark.parametrize("size", [(1, 64), (64, 1), (1, 1), (7, 5), (33, 131)])
def test_odd_sizes_decode_and_scale_to_odd_sizes(tmp_path, size):
    path = write_video(tmp_path / "a.mov", "png", 4, size=size, pix_fmt="rgb24")
    window = read_video(path, 1, 2)
    assert window.shape == (2, *size, 3)
    assert torch.equal(window, decode_all(path)[1:3])
    for target in ((1, 1), (31, 45), (112, 112)):
        scaled = read_video(path, 1, 2, size=target)
        assert scaled.shape == (2, *target, 3)
        difference = scaled.float().mean((0, 1, 2)) - window.float().mean((0, 1, 2))
        assert difference.abs().max() < 60


def test_scaling_keeps_colours_in_place_up_to_the_last_column(tmp_path):
    halves = np.zeros((48, 64, 3), np.uint8)
    halves[:, :32], halves[:, 32:] = (200, 30, 30), (30, 30, 200)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(halves, format="rgb24")))
        container.mux(stream.encode())
    for size in ((24, 31), (25, 32), (96, 129), (112, 171)):
        image = read_video(path, 0, 1, size=size)[0].int()
        left, right = image[:, : size[1] // 3], image[:, -(size[1] // 3) :]
        assert (left - torch.tensor([200, 30, 30])).abs().max() < 8, size
        assert (right - torch.tensor([30, 30, 200])).abs().max() < 8, size


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_clip_of_one_frame_is_that_frame_again_and_again(tmp_path, suffix):
    path = write_clip(tmp_path / f"a{suffix}", frames=1, tone=None)
    assert probe(path).frames == 1
    for start in (0, 3):
        assert torch.equal(read_video(path, start, 5, 2), decode_all(path).expand(5, -1, -1, -1))


def test_a_variable_frame_rate_has_its_average_and_all_frames(tmp_path):
    times = [0, 10, 20, 30, 400, 410, 1_000, 1_010, 1_500, 1_900]
    path = write_video(tmp_path / "a.mp4", "libx264", 10, options={"bf": "0"}, times=times)
    info = probe(path)
    assert info.frames == 10
    assert info.frame_rate == pytest.approx(5, abs=0.5)
    assert torch.equal(read_video(path, 3, 5), decode_all(path)[3:8])


@pytest.mark.parametrize(
    ("rate", "layout", "channels"), [(8_000, "mono", 1), (48_000, "stereo", 2), (48_000, "5.1", 6)]
)
@pytest.mark.parametrize("suffix", [".wav", ".m4a"])
def test_any_rate_and_layout_becomes_the_mean_at_the_rate_asked_for(
    tmp_path, suffix, rate, layout, channels
):
    codec = {".wav": "pcm_s16le", ".m4a": "aac"}[suffix]
    path = write_sound(tmp_path / f"a{suffix}", sine(1.0, rate, channels), rate, codec, layout)
    window = read_audio(path, 0.25, 8_000, SAMPLE_RATE)[0].numpy()
    spectrum = np.abs(np.fft.rfft(window))
    assert spectrum.argmax() == 220  # half a second of 440 Hz
    assert np.sqrt((window**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.2)


NAMES = ["with space.mp4", "übung 漢字.mp4", "a'b\"c%d.mp4", "-dash.mp4", "100%.mp4"]


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_is_read(tmp_path, name):
    path = write_clip(tmp_path / "a.mp4").rename(tmp_path / name)
    assert probe(path).frames == 20
    assert read_video(path, 4, 2).shape == (2, 48, 64, 3)
    assert read_audio(path, 0.1, 100, SAMPLE_RATE).abs().max() > 0


def test_a_relative_name_with_a_colon_is_a_file(tmp_path, monkeypatch):
    write_clip(tmp_path / "a.mp4").rename(tmp_path / "clip:1.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe("clip:1.mp4").frames == 20
    assert len(read_video("clip:1.mp4", 0, 2)) == 2


def test_a_link_is_followed_and_one_that_leads_nowhere_is_named(tmp_path):
    target = write_clip(tmp_path / "a.mp4")
    link = tmp_path / "link.mp4"
    link.symlink_to(target)
    assert torch.equal(read_video(link, 3, 4), read_video(target, 3, 4))
    target.unlink()
    for read in (probe, lambda path: read_video(path, 0, 4)):
        with pytest.raises(MediaError, match=r"link.mp4: No such file"):
            read(link)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(MediaError, match=rf"{tmp_path.name}: "):
        probe(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    path.chmod(0)
    with pytest.raises(MediaError, match=r"a.mp4: Permission denied"):
        read_video(path, 0, 4)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damage_in_the_middle_never_moves_a_frame(tmp_path, suffix):
    path = write_clip(tmp_path / f"a{suffix}", frames=60, tone=None)
    everything = decode_all(path)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    begin = data.index(b"mdat" if suffix == ".mp4" else b"movi") + 2_000
    for place in rng.integers(begin, begin + 400, 40):
        data[place] ^= 0xFF
    path.write_bytes(data)
    window = try_to_read(path, 0, 2)
    assert window is None or (window.int() - everything[:2].int()).abs().max() < 10
