from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import readers as readers_module
from datamodules.clip_format import ClipFormat
from datamodules.clip_table import Clip, ClipTable, Source
from datamodules.clip_transforms import crop, normalize
from datamodules.clips import ClipReader, Clips, ClipWindows
from datamodules.corrupt import CorruptClips
from datamodules.encoding import encode_mp4
from datamodules.media import MediaError
from datamodules.readers import AudioReader, ImageReader, VideoReader
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


READERS = {"video": VideoReader, "audio": AudioReader, "image": ImageReader}


def clip_of(path, number, begin=0.0, end=None):
    return Clip(
        f"{number} {path.name}", 0, str(number), dict.fromkeys(READERS, Source(path, begin, end))
    )


def reader_of(paths, modalities=("video", "audio"), form=SMALL, begin=0.0, end=None):
    table = ClipTable(clip_of(path, number, begin, end) for number, path in enumerate(paths))
    return ClipReader(table, {name: READERS[name](form) for name in modalities}, form)


def dataset(folder, *names, seed=0, policy="error", most=0, **arguments):
    reader = reader_of([folder / name for name in names], **arguments)
    return Clips(reader, CorruptClips(policy, most), seed)


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
    assert [data.reader.readers["audio"].has(clip) for clip in data.reader.table] == [True, False]


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
    both = dataset(tmp_path, path.name, form=form)
    alone = dataset(tmp_path, path.name, modalities=["audio"], form=form)
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

    monkeypatch.setattr(readers_module, "read_audio", refuse)
    assert list(dataset(folder, "loud.mp4", modalities=["video"])[0]["present"]) == ["video"]
    monkeypatch.undo()
    monkeypatch.setattr(readers_module, "read_video", refuse)
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
        dataset(tmp_path, "empty.avi").reader.timelines()


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
    middle = crop(frames, 3, place=None, flip=False)
    assert middle[0, :, :, 0].tolist() == [[9, 10, 11], [16, 17, 18], [23, 24, 25]]
    assert crop(frames, 3, None, flip=True)[1, 0, :, 0].tolist() == [11, 10, 9]
    rng = np.random.default_rng(0)
    crops = [crop(frames, 3, (rng.random(), rng.random()), flip=False) for _ in range(200)]
    assert all(torch.equal(one[0], one[1]) for one in crops)
    assert len({int(one.amin()) for one in crops}) == 3 * 5


def test_normalising_moves_channels_first_and_standardises():
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 4, 4, 3)
    video = normalize(frames, mean=(0.0, 0.2, 0.5), std=(1.0, 1.0, 0.25))
    assert video.shape == (3, 2, 4, 4)
    assert video.is_contiguous()
    assert video[:, 0, 0, 0].tolist() == pytest.approx([0.0, 0.0, 2.0], abs=1e-6)


def test_an_image_is_one_frame_and_training_draws_it_from_the_whole_clip(folder):
    form = ClipFormat(frames=3, resize=(24, 32), size=16, image_size=32)
    data = dataset(folder, "loud.mp4", modalities=["image"], form=form)
    assert data[0]["image"].shape == (3, 32, 32)
    levels = {round(data[0, epoch]["image"][1].mean().item(), 2) for epoch in range(80)}
    assert len(levels) > 15


def test_all_modalities_of_a_training_sample_are_cropped_and_flipped_alike(tmp_path):
    # Grey from left to right: the mean tells where the crop is, the slope which way it looks.
    ramp = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.uint8)[:, None], (8, 48, 64, 3))
    path = tmp_path / "ramp.mp4"
    path.write_bytes(encode_mp4(np.ascontiguousarray(ramp), frame_rate=25, crf=4))
    form = ClipFormat(frames=2, resize=(24, 32), size=16, image_size=16)
    data = dataset(tmp_path, path.name, modalities=["video", "image"], form=form)
    slopes = set()
    for epoch in range(12):
        sample = data[0, epoch]
        video, still = (
            sample["video"][1, 0] * 0.22145 + 0.394666,
            sample["image"][1] * 0.224 + 0.456,
        )
        assert torch.allclose(video, still, atol=0.02)
        slopes.add(bool(still[0, -1] > still[0, 0]))
    assert slopes == {True, False}


def test_a_segment_shows_and_sounds_nothing_beyond_its_ends(tmp_path):
    path = write_clip(tmp_path / "long.mp4", frames=50)  # two seconds
    form = ClipFormat(
        frames=4, resize=(24, 32), size=16, audio_seconds=1.0, mean=(0, 0, 0), std=(1, 1, 1)
    )
    data = Clips(reader_of([path], form=form, begin=0.4, end=0.8), CorruptClips("error", 0))
    for epoch in range(20):
        sample = data[0, epoch]
        numbers = ((sample["video"].mean((0, 2, 3)) * 255 - 30) / 7).round()
        assert numbers.min() >= 10
        assert numbers.max() <= 19
        assert 0.3 < (sample["audio"].abs() > 0.01).float().mean() < 0.42
    with pytest.raises(
        MediaError, match=r"long.mp4: the clip from 3 s lies past its end at 2.00 s"
    ):
        reader_of([path], begin=3.0, end=4.0).timeline(0)
    # A segment that ends past the file's end ends with it.
    assert reader_of([path], begin=1.0, end=9.0).timeline(0).frames == 25


def test_evaluation_windows_cover_the_clip_at_their_stride(tmp_path):
    path = write_clip(tmp_path / "a.mp4", frames=30)
    short = write_clip(tmp_path / "b.mp4", frames=3)
    form = ClipFormat(frames=8, resize=(24, 32), size=16, mean=(0, 0, 0), std=(1, 1, 1))
    windows = ClipWindows(reader_of([path, short], form=form), stride=8)
    samples = [windows[place] for place in range(len(windows))]
    assert [(s["index"], s["window"]) for s in samples] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    first = [round((s["video"][:, 0].mean().item() * 255 - 30) / 7) for s in samples]
    assert first == [0, 8, 16, 0]
    fewer = ClipWindows(reader_of([path, short], form=form), stride=1, max_windows=3)
    assert [sample["window"] for sample in (fewer[place] for place in range(len(fewer)))] == [
        0, 1, 2, 0
    ]  # fmt: skip
    middle = ClipWindows(reader_of([path], form=form))
    assert torch.equal(middle[0]["video"], dataset(tmp_path, "a.mp4", form=form)[0]["video"])


def test_a_corrupt_clip_is_replaced_counted_and_reported_or_an_error(folder, tmp_path, caplog):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        write_clip(tmp_path / name)
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    names = ["a.mp4", "bad.mp4", "b.mp4", "c.mp4"]
    with pytest.raises(MediaError, match=r"bad\.mp4"):
        dataset(tmp_path, *names)[1, 0]
    data = dataset(tmp_path, *names, policy="skip", most=3)
    fresh = data[1, 0]
    assert fresh["index"] != 1
    assert data[1, 0]["index"] == fresh["index"]
    data.end_epoch()
    assert "2 clips of this epoch could not be decoded" in caplog.text
    assert "bad.mp4" in caplog.text
    caplog.clear()
    data.end_epoch()
    assert not caplog.text
    with pytest.raises(MediaError, match=r"more than max_corrupt_share allows \(3\)"):
        [data[1, epoch] for epoch in range(4)]


def test_what_a_sample_does_not_keep_is_not_read(folder, monkeypatch):
    data = dataset(folder, "loud.mp4", "fast.mp4")
    data.keep_only({"audio": np.array([True, False])})
    assert data[0, 0]["present"] == {"video": True, "audio": True}
    monkeypatch.setattr(readers_module, "read_audio", None)
    sample = data[1, 0]
    assert sample["present"] == {"video": True, "audio": False}
    assert not sample["audio"].any()


@needs_real_data
def test_every_real_clip_gives_a_sample_and_60_of_110_have_audio():
    paths = sorted(Path(DATA / "ucf101_clips").rglob("*.avi"))
    data = Clips(reader_of(paths, form=ClipFormat()), CorruptClips("error", 0))
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
