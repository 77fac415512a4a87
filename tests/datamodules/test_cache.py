import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import UCF101, cache_writer
from datamodules.cache import CACHE_NAME, CacheNames
from datamodules.clip_transforms import crop, normalize
from datamodules.media import MediaError
from datamodules.media_index import INDEX_NAME
from datamodules.packed_frames import read_packed
from datamodules.views import Timeline, middle_view, random_view
from tests.datamodules.media_files import write_clip, write_ucf_layout
from tests.real_data import DATA, needs_real_data

SMALL = {"frames": 4, "resize": (24, 32), "size": 16, "sample_rate": 8_000, "batch_size": 4}
PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_ucf_layout(
        tmp_path_factory.mktemp("ucf"), ["Archery", "Bowling"], silent=["Bowling"]
    )


@pytest.fixture
def layout(pristine, tmp_path):
    return shutil.copytree(pristine[0], tmp_path / "clips"), pristine[1]


def ucf(layout, student=("video",), auxiliary=("audio",), **arguments):
    root, lists = layout
    return UCF101(str(root), str(lists), list(student), list(auxiliary), **(SMALL | arguments))


def made(layout, folder, short_side=24, **arguments):
    """Write index and cache and return a datamodule that reads them."""
    ucf(layout, index=False, auxiliary_at_test=True).write_index()
    ucf(layout, **arguments).cache_writer(folder, short_side).write()
    return ucf(layout, cache=str(folder), **arguments)


def assert_same_views(one, two, tolerance):
    """The same labels, sound and stills; frames that differ by no more than JPEG costs."""
    assert len(one) == len(two)
    for key in [*range(len(one)), *((row, epoch) for row in range(len(one)) for epoch in (0, 1))]:
        a, b = one[key], two[key]
        assert a["label"] == b["label"]
        assert a["index"] == b["index"]
        assert a["present"] == b["present"]
        for modality in a["present"]:
            if modality == "video":
                assert (a["video"] - b["video"]).abs().mean() < tolerance
            else:
                assert torch.equal(a[modality], b[modality])


def test_samples_with_and_without_the_cache_are_the_same_views(layout, tmp_path):
    cached = made(layout, tmp_path / "cache", auxiliary=("audio", "image"), eval_stride=6)
    plain = ucf(layout, auxiliary=("audio", "image"), eval_stride=6)
    for split in PARTS:
        # The ramp rises by 7 of 255 a frame, 0.12 of its deviation: a frame off would show.
        assert_same_views(plain.dataset(split), cached.dataset(split), 0.03)


@pytest.mark.parametrize("resize", [(24, 32), (20, 20)])
def test_crop_mirror_and_standardisation_are_those_of_the_media_files(layout, tmp_path, resize):
    cached = made(layout, tmp_path / "cache", resize=resize, frames=6, frame_stride=4)
    data = cached.dataset("train")
    reader, form = data.reader.readers["video"], data.reader.form
    rng = np.random.default_rng(0)
    for row in range(len(data)):
        clip = data.reader.table[row]
        for view in (
            middle_view(Timeline(20, 25.0), form),
            random_view(Timeline(20, 25.0), form, rng),
        ):
            path = tmp_path / "cache" / clip.sources["video"].path.relative_to(layout[0])
            frames = read_packed(f"{path}.mjpeg", view.frame, 6, 4, resize).permute(1, 2, 3, 0)
            square = crop(frames, form.size, view.crop, view.flip)
            assert torch.equal(reader.read(clip, view), normalize(square, form.mean, form.std))


def test_the_media_files_are_not_opened_for_frames_and_sound(layout, tmp_path):
    cached = made(layout, tmp_path / "cache")
    expected = [batch["video"] for batch in cached.val_dataloader()]
    for file in layout[0].rglob("*.mp4"):
        file.write_bytes(bytes(file.stat().st_size))
    again = ucf(layout, cache=str(tmp_path / "cache"))
    list(again.train_dataloader())
    found = [batch["video"] for batch in again.val_dataloader()]
    assert all(map(torch.equal, found, expected))
    with pytest.raises(MediaError):
        list(ucf(layout).val_dataloader())


def test_workers_read_the_cache_too(layout, tmp_path):
    cached = made(layout, tmp_path / "cache")
    alone = [batch["video"] for batch in cached.val_dataloader()]
    workers = ucf(layout, cache=str(tmp_path / "cache"), num_workers=1)
    assert all(map(torch.equal, (batch["video"] for batch in workers.val_dataloader()), alone))


def test_a_cache_without_index_is_read_as_well(layout, tmp_path):
    ucf(layout, index=False, auxiliary_at_test=True).cache_writer(tmp_path / "cache", 24).write()
    cached = ucf(layout, cache=str(tmp_path / "cache"))
    assert_same_views(ucf(layout).dataset("val"), cached.dataset("val"), 0.03)


def test_the_estimate_is_near_and_counts_what_is_left(layout, tmp_path):
    folder = tmp_path / "cache"
    ucf(layout, index=False, auxiliary_at_test=True).write_index()
    writer = ucf(layout, auxiliary_at_test=True).cache_writer(folder, 24)
    estimate = writer.estimate()
    assert (estimate.files, estimate.done) == (30, 0)
    assert [file.name for file in folder.iterdir()] == []
    writer.write()
    size = sum(file.stat().st_size for file in folder.rglob("*.*") if file.suffix != ".csv")
    assert estimate.bytes == pytest.approx(size, rel=0.1)
    assert estimate.free > 0
    again = ucf(layout, auxiliary_at_test=True).cache_writer(folder, 24).estimate()
    assert (again.files, again.done, again.bytes) == (0, 30, 0)


def test_files_smaller_than_the_short_side_keep_their_size(layout, tmp_path):
    made(layout, tmp_path / "cache", short_side=4_000)
    path = next((tmp_path / "cache").rglob("*.mjpeg"))
    assert read_packed(path, 0, 1).shape == (3, 1, 48, 64)


def interrupt_after(monkeypatch, count):
    """Make the writer stop inside a file, as at Ctrl-C."""
    written = []
    write_packed = cache_writer.write_packed

    def write(path, images, size):
        if len(written) == count:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path)
        return write_packed(path, images, size)

    monkeypatch.setattr(cache_writer, "write_packed", write)
    return written


def test_an_interrupted_cache_is_not_read_and_goes_on_where_it_stopped(
    layout, tmp_path, monkeypatch
):
    folder = tmp_path / "cache"
    ucf(layout, index=False, auxiliary_at_test=True).write_index()
    with monkeypatch.context() as patch:
        first = interrupt_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            ucf(layout).cache_writer(folder, 24).write(threads=1)
    with pytest.raises(FileNotFoundError, match=r"holds no cache that is whole.*prepare"):
        ucf(layout, cache=str(folder)).setup("fit")
    with monkeypatch.context() as patch:
        second = interrupt_after(patch, 100)
        writer = ucf(layout).cache_writer(folder, 24)
        assert writer.estimate().done == 5
        writer.write(threads=1)
    assert not {path.name for path in first} & {path.name for path in second}
    assert len(first) + len(second) == 20
    assert not list(folder.rglob("*unfinished*"))
    ucf(layout, cache=str(folder)).setup("fit")


@pytest.mark.slow
def test_a_killed_writer_leaves_no_half_file_under_a_whole_ones_name(layout, tmp_path):
    folder = tmp_path / "cache"
    ucf(layout, index=False, auxiliary_at_test=True).write_index()
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from datamodules import UCF101, cache_writer\n"
        "encode = cache_writer.encode_frames\n"
        "cache_writer.encode_frames = lambda *one: (time.sleep(0.1), encode(*one))[1]\n"
        f"data = UCF101({str(layout[0])!r}, {str(layout[1])!r}, ['video'], ['audio'], "
        "sample_rate=8000)\n"
        f"data.cache_writer(Path({str(folder)!r}), 24).write(threads=2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 120
    while len(list(folder.rglob("*.mjpeg"))) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / CACHE_NAME).exists()
    ucf(layout).cache_writer(folder, 24).write()
    cached = ucf(layout, cache=str(folder))
    assert_same_views(ucf(layout).dataset("train"), cached.dataset("train"), 0.03)


def test_a_file_that_changed_asks_to_finish_the_cache_and_is_made_again(layout, tmp_path):
    folder = tmp_path / "cache"
    made(layout, folder)
    changed = sorted(layout[0].rglob("*g03_c01.mp4"))[0]
    write_clip(changed, frames=30)
    ucf(layout, index=False, auxiliary_at_test=True).write_index()
    with pytest.raises(ValueError, match=rf"frames of 1 files.*{changed.name}.*prepare"):
        ucf(layout, cache=str(folder), val_fraction=0.3).setup("fit")
    assert ucf(layout).cache_writer(folder, 24).estimate().files == 2
    ucf(layout).cache_writer(folder, 24).write()
    ucf(layout, cache=str(folder)).setup("fit")


def test_a_file_of_the_cache_that_is_gone_is_made_again(layout, tmp_path):
    folder = tmp_path / "cache"
    made(layout, folder)
    next(folder.rglob("*.f32")).unlink()
    next(folder.rglob("*.mjpeg")).write_bytes(b"short")
    assert ucf(layout).cache_writer(folder, 24).estimate().files == 2


def test_settings_that_do_not_fit_the_samples_are_named(layout, tmp_path):
    folder = tmp_path / "cache"
    made(layout, folder)
    with pytest.raises(ValueError, match=r"short side of 24, less than resize \(48, 64\)"):
        ucf(layout, cache=str(folder), resize=(48, 64), size=32).setup("fit")
    with pytest.raises(ValueError, match=r"8000 samples a second, sample_rate is 16000"):
        ucf(layout, cache=str(folder), sample_rate=16_000).setup("fit")
    with pytest.raises(ValueError, match=r"made with 24 .* not 32; give another folder"):
        ucf(layout).cache_writer(folder, 32)
    with pytest.raises(ValueError, match="short_side: must be at least 1"):
        ucf(layout).cache_writer(folder, 0)


def test_a_file_that_turns_out_not_to_decode_is_reported_and_goes_into_the_index(
    layout, tmp_path, monkeypatch
):
    ucf(layout, index=False, auxiliary_at_test=True).write_index()
    bad = "v_Archery_g03_c01.mp4"
    read_video = cache_writer.read_video

    def read(path, *arguments, **options):
        if path.name == bad:
            raise MediaError(f"cannot decode {path}: frame 7 is damaged; replace it")
        return read_video(path, *arguments, **options)

    monkeypatch.setattr(cache_writer, "read_video", read)
    broken = ucf(layout).cache_writer(tmp_path / "cache", 24).write()
    assert [path.name for path in broken] == [bad]
    assert "frame 7 is damaged" in (layout[0] / INDEX_NAME).read_text()
    with pytest.raises(MediaError, match=rf"{bad}.*frame 7 is damaged"):
        ucf(layout, cache=str(tmp_path / "cache")).setup("fit")
    data = ucf(layout, cache=str(tmp_path / "cache"), on_corrupt="skip")
    with pytest.warns(UserWarning, match="left out"):
        data.setup("fit")


def test_files_outside_the_root_get_names_inside_the_cache():
    names = CacheNames(Path("cache"), Path("/data/clips"))
    assert names.name(Path("/data/clips/A/ä 1.avi"), "frames") == "A/ä 1.avi.mjpeg"
    for path in ("/data/other/b.wav", "../b.wav"):
        name = Path(names.name(Path(path), "sound"))
        assert not name.is_absolute()
        assert ".." not in name.parts


@needs_real_data
@pytest.mark.filterwarnings("ignore:UCF101. .* listed clips are not under")
def test_real_clips_keep_their_views(tmp_path):
    def data(**arguments):
        return UCF101(
            str(DATA / "ucf101_clips"),
            str(DATA / "ucfTrainTestlist"),
            ["video"],
            ["audio"],
            classes=["Archery", "PlayingDaf", "PlayingDhol", "Rowing", "Surfing"],
            missing_clips="skip",
            val_fraction=0.3,
            index=False,
            **arguments,
        )

    data().cache_writer(tmp_path, 128).write()
    assert_same_views(data().dataset("train"), data(cache=str(tmp_path)).dataset("train"), 0.12)
