from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import clips as clips_module
from datamodules.clip_transforms import center_crop, normalize, random_crop
from datamodules.clips import Clip, ClipFormat, Clips
from datamodules.media import MediaError
from tests.datamodules.media_files import write_clip
from tests.real_data import DATA, needs_real_data

SMALL = ClipFormat(frames=4, resize=(24, 32), size=16, sample_rate=8_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "loud.mp4")
    write_clip(folder / "silent.avi", tone=None)
    write_clip(folder / "short.mp4", frames=2)
    write_clip(folder / "fast.mp4", frame_rate=30)
    return folder


def dataset(folder, *names, modalities=("video", "audio"), form=SMALL, seed=0):
    return Clips([Clip(folder / name, 0) for name in names], modalities, form, seed)


def test_a_sample_holds_frames_and_the_sound_of_their_time(folder):
    sample = dataset(folder, "loud.mp4")[0]
    assert sample["video"].shape == (3, 4, 16, 16)
    assert sample["audio"].shape == (1, round(4 / 25 * 8_000))
    assert sample["video"].dtype == sample["audio"].dtype == torch.float32
    assert sample["present"] == {"video": True, "audio": True}
    assert (sample["label"], sample["index"]) == (0, 0)


def test_a_clip_without_audio_track_is_zeros_and_marked_absent(folder):
    data = dataset(folder, "loud.mp4", "silent.avi")
    sample = data[1]
    assert sample["present"] == {"video": True, "audio": False}
    assert sample["audio"].shape == data[0]["audio"].shape
    assert sample["audio"].abs().max() == 0
    assert data.count_without_audio() == 1


def test_evaluation_takes_the_middle_of_the_clip_and_of_the_frame(folder):
    form = ClipFormat(frames=3, resize=(24, 32), size=16, mean=(0, 0, 0), std=(1, 1, 1))
    video = dataset(folder, "loud.mp4", form=form)[0]["video"]
    # 20 frames, so the middle window of 3 begins at frame 8; the ramp is 30 + 7 n.
    assert (video.mean((0, 2, 3)) * 255).tolist() == pytest.approx([86, 93, 100], abs=3)


def test_training_windows_vary_with_epoch_index_and_seed_and_repeat(folder):
    data = dataset(folder, "loud.mp4", "loud.mp4")
    windows = [data[index, epoch]["video"] for index in (0, 1) for epoch in range(6)]
    assert len({window.mean().item() for window in windows}) > 4
    again = [data[index, epoch]["video"] for index in (0, 1) for epoch in range(6)]
    assert all(map(torch.equal, windows, again))
    other = dataset(folder, "loud.mp4", "loud.mp4", seed=1)
    assert any(not torch.equal(other[0, epoch]["video"], windows[epoch]) for epoch in range(6))


def test_the_audio_follows_the_random_window_whether_or_not_the_video_is_read(tmp_path):
    # A tone that grows louder tells the time, and the grey ramp tells it too.
    path = write_clip(tmp_path / "a.mp4", tone=lambda t: t * np.sin(2 * np.pi * 1_000 * t))
    form = ClipFormat(frames=6, resize=(24, 32), size=16, mean=(0, 0, 0), std=(1, 1, 1))
    both = Clips([Clip(path, 0)], ["video", "audio"], form)
    alone = Clips([Clip(path, 0)], ["audio"], form)
    for epoch in range(8):
        sample = both[0, epoch]
        frame = (sample["video"].mean() * 255 - 30) / 7 + 0.5  # the window's middle, in frames
        loudness = sample["audio"].pow(2).mean().mul(2).sqrt()
        assert loudness * 25 == pytest.approx(frame.item(), abs=0.8)
        assert torch.equal(alone[0, epoch]["audio"], sample["audio"])
        assert "video" not in alone[0, epoch]


def test_clips_shorter_than_the_window_and_of_another_frame_rate_fit_into_one_batch(folder):
    data = dataset(folder, "loud.mp4", "short.mp4", "fast.mp4")
    samples = [data[index, 0] for index in range(3)]
    assert len({sample["video"].shape for sample in samples}) == 1
    assert len({sample["audio"].shape for sample in samples}) == 1
    assert torch.equal(samples[1]["video"][:, 2], samples[1]["video"][:, 3])


def test_a_modality_that_is_not_asked_for_is_not_decoded(folder, monkeypatch):
    def refuse(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(clips_module, "read_audio", refuse)
    assert list(dataset(folder, "loud.mp4", modalities=["video"])[0]["present"]) == ["video"]
    monkeypatch.undo()
    monkeypatch.setattr(clips_module, "read_video", refuse)
    assert list(dataset(folder, "loud.mp4", modalities=["audio"])[0]["present"]) == ["audio"]


def test_the_audio_can_be_longer_than_the_window_around_the_same_middle(folder):
    form = ClipFormat(frames=4, resize=(24, 32), size=16, audio_seconds=0.4)
    long = dataset(folder, "loud.mp4", form=form)[0]["audio"]
    short = dataset(
        folder, "loud.mp4", form=ClipFormat(frames=4, resize=(24, 32), size=16, audio_seconds=0.2)
    )[0]["audio"]
    assert long.shape == (1, 6_400)
    assert torch.equal(long[:, 1_600:-1_600], short)


def test_a_damaged_clip_is_named(folder, tmp_path):
    (tmp_path / "empty.avi").touch()
    with pytest.raises(MediaError, match=r"empty.avi: it is empty"):
        dataset(tmp_path, "empty.avi")[0]
    with pytest.raises(MediaError, match=r"empty.avi: it is empty"):
        dataset(tmp_path, "empty.avi").count_without_audio()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames"),
        ({"frame_stride": 0}, "frame_stride"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"size": 200}, r"size: the crop of 200 .* resize \(128, 171\)"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"mean": (0.0,)}, "mean"),
        ({"audio_seconds": 0.0}, "audio_seconds"),
    ],
)
def test_a_format_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClipFormat(**arguments)


def test_crops_are_the_same_square_in_all_frames_and_flips_mirror_it():
    frames = torch.arange(5 * 7).reshape(1, 5, 7, 1).expand(2, 5, 7, 3)
    assert center_crop(frames, 3)[0, :, :, 0].tolist() == [[9, 10, 11], [16, 17, 18], [23, 24, 25]]
    crops = [random_crop(frames, 3, np.random.default_rng(seed)) for seed in range(60)]
    assert all(torch.equal(crop[0], crop[1]) for crop in crops)
    steps = [int(crop[0, 0, 1, 0] - crop[0, 0, 0, 0]) for crop in crops]
    assert 15 < steps.count(-1) < 45
    assert len({int(crop.amin()) for crop in crops}) == 3 * 5


def test_normalising_moves_channels_first_and_standardises():
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 4, 4, 3)
    video = normalize(frames, mean=(0.0, 0.2, 0.5), std=(1.0, 1.0, 0.25))
    assert video.shape == (3, 2, 4, 4)
    assert video.is_contiguous()
    assert video[:, 0, 0, 0].tolist() == pytest.approx([0.0, 0.0, 2.0], abs=1e-6)


@needs_real_data
def test_every_real_clip_gives_a_sample_and_60_of_110_have_audio():
    paths = sorted(Path(DATA / "ucf101_clips").rglob("*.avi"))
    data = Clips([Clip(path, 0) for path in paths], ["video", "audio"], ClipFormat())
    assert data.count_without_audio() == 50
    present, heard = 0, 0
    for index in range(len(data)):
        sample = data[index, 0]
        assert sample["video"].shape == (3, 16, 112, 112)
        assert sample["audio"].shape == (1, 10_240)
        assert sample["video"].isfinite().all()
        present += sample["present"]["audio"]
        heard += bool(sample["audio"].any())
    # The tracks of v_BrushingTeeth_g20_c03 and v_WallPushups_g01_c04 hold nothing but zeros.
    assert (len(data), present, heard) == (110, 60, 58)
