import os
import shutil
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from datamodules import UCF101, index_writer
from datamodules import clip_datamodule as clip_datamodule_module
from datamodules.index_writer import write_index
from datamodules.media import MediaError, probe
from datamodules.media_check import check_media
from datamodules.media_index import INDEX_NAME, MediaIndex, StaleIndexError
from tests.datamodules.media_files import write_clip, write_sound, write_ucf_layout, write_video
from tests.real_data import DATA, needs_real_data

SMALL = {"frames": 4, "resize": (24, 32), "size": 16, "sample_rate": 8_000, "batch_size": 4}
BROKEN = "Archery/v_Archery_g03_c01.mp4"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_ucf_layout(tmp_path_factory.mktemp("ucf"), silent=["Bowling"])


@pytest.fixture
def layout(pristine, tmp_path):
    return shutil.copytree(pristine[0], tmp_path / "clips"), pristine[1]


def ucf(layout, student=("video",), auxiliary=("audio",), **arguments):
    root, lists = layout
    return UCF101(str(root), str(lists), list(student), list(auxiliary), **(SMALL | arguments))


def refuse(*_):
    raise AssertionError("a file was opened")


def test_every_header_is_looked_up_as_probing_would_give_it(layout):
    data = ucf(layout, index=False)
    report = data.write_index()
    assert (report.path, report.files, report.broken) == (layout[0] / INDEX_NAME, 30, {})
    index = MediaIndex(report.path, layout[0])
    for file in data.media_files():
        assert index.probe(file) == probe(file)
        assert type(index.probe(file).has_audio) is bool


def test_a_file_of_sound_alone_is_in_the_index_too(tmp_path):
    sound = write_sound(tmp_path / "a.wav", np.zeros((1, 8_000)))
    write_index([sound], tmp_path, tmp_path)
    index = MediaIndex(tmp_path / INDEX_NAME, tmp_path)
    assert index.probe(sound) == probe(sound)
    assert index.error(sound, "audio") is None


def test_the_datamodule_opens_no_file_where_there_is_an_index(layout, monkeypatch):
    expected = [batch["label"].tolist() for batch in ucf(layout, eval_stride=4).val_dataloader()]
    ucf(layout, index=False).write_index()
    monkeypatch.setattr(clip_datamodule_module, "probe_once", refuse)
    data = ucf(layout, eval_stride=4)
    data.setup("fit")
    data.setup("test")
    assert [batch["label"].tolist() for batch in data.val_dataloader()] == expected
    with pytest.raises(AssertionError, match="was opened"):
        ucf(layout, index=False, eval_stride=4).setup("fit")


def test_the_index_can_lie_elsewhere_and_the_data_be_moved(layout, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    report = ucf(layout, index=False).write_index(elsewhere)
    assert report.path == elsewhere / INDEX_NAME
    assert not (layout[0] / INDEX_NAME).exists()
    moved = shutil.move(layout[0], tmp_path / "moved")
    monkeypatch.setattr(clip_datamodule_module, "probe_once", refuse)
    for index in (elsewhere, report.path):
        ucf((moved, layout[1]), index=str(index)).setup("fit")


def test_an_index_that_is_asked_for_and_not_there_is_named(layout, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.csv; make it with `cmkd prepare`"):
        ucf(layout, index=str(tmp_path / "nowhere.csv")).setup("fit")


def test_a_file_that_changed_or_came_after_the_index_asks_to_prepare_again(layout):
    ucf(layout, index=False).write_index()
    changed = layout[0] / BROKEN
    write_clip(changed, frames=30)
    with pytest.raises(StaleIndexError, match=rf"{BROKEN} has \d+ bytes.*`cmkd prepare` again"):
        ucf(layout).setup("fit")
    index = MediaIndex(layout[0] / INDEX_NAME, layout[0])
    with pytest.raises(StaleIndexError, match=r"new.mp4 is not in the media index"):
        index.probe(write_clip(layout[0] / "new.mp4"))
    ucf(layout, index=False).write_index()
    ucf(layout).setup("fit")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b""), r"it is empty \(0 bytes\)"),
        (lambda path: path.write_bytes(b"nothing"), "Invalid data"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "Invalid data"),
    ],
)
def test_broken_files_stop_the_setup_or_are_left_out_of_every_part_with_one_warning(
    layout, damage, reason
):
    test_clip = "Diving/v_Diving_g01_c01.mp4"
    for name in (BROKEN, test_clip):
        damage(layout[0] / name)
    report = ucf(layout, index=False).write_index()
    assert [str(path.relative_to(layout[0])) for path in report.broken] == [BROKEN, test_clip]
    with pytest.raises(
        MediaError, match=rf"train part: 1 of 24 clips.*{BROKEN} \({reason}"
    ) as error:
        ucf(layout).setup("fit")
    assert "on_corrupt: skip" in str(error.value)
    data = ucf(layout, on_corrupt="skip")
    with pytest.warns(UserWarning, match=rf"train part: 1 of 24 .*{BROKEN}.*left out") as warned:
        data.setup("fit")
    assert len([one for one in warned if "left out" in str(one.message)]) == 1
    with pytest.warns(UserWarning, match=r"test part: 1 of 6 "):
        data.setup("test")
    names = [clip.name for split in ("train", "val", "test") for clip in data.clips(split)]
    assert len(names) == 28
    assert not {"v_Archery_g03_c01", "v_Diving_g01_c01"} & set(names)
    rows = {row for batch in data.train_dataloader() for row in batch["index"].tolist()}
    assert rows == set(range(len(data.clips("train"))))


def test_a_broken_sound_track_counts_where_sound_is_read_and_nowhere_else(layout):
    ucf(layout, index=False).write_index()
    path = layout[0] / INDEX_NAME
    lines = path.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(BROKEN))
    lines[place] = lines[place].removesuffix(",") + ",no sound decodes"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(MediaError, match="no sound decodes"):
        ucf(layout).setup("fit")
    ucf(layout, auxiliary=[]).setup("fit")
    ucf(layout, gallery=True).setup("test")


def test_an_interrupted_index_goes_on_with_the_files_that_are_missing(layout, monkeypatch):
    files = ucf(layout, index=False).media_files()
    checked = []

    def check(path, decode):
        if len(checked) == 10:
            raise KeyboardInterrupt
        checked.append(path)
        return check_media(path, decode)

    monkeypatch.setattr(index_writer, "check_media", check)
    with pytest.raises(KeyboardInterrupt):
        write_index(files, layout[0], layout[0], threads=1)
    assert not (layout[0] / INDEX_NAME).exists()
    monkeypatch.setattr(
        index_writer, "check_media", lambda *one: checked.append(one[0]) or check_media(*one)
    )
    report = write_index(files, layout[0], layout[0], threads=1)
    assert sorted(checked) == files
    assert report.files == 30
    assert not list(layout[0].glob("*journal*"))


def test_a_killed_index_goes_on_where_it_was(layout):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from datamodules import index_writer as w\n"
        "check = w.check_media\n"
        "w.check_media = lambda *one: (time.sleep(0.1), check(*one))[1]\n"
        "root = Path(sys.argv[1])\n"
        "w.write_index(sorted(root.rglob('*.mp4')), root, root, threads=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(layout[0])])
    journal = layout[0] / f"{INDEX_NAME}.journal"
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_text().count("\n") < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (layout[0] / INDEX_NAME).exists()
    kept = journal.read_text().rpartition("\n")[0].splitlines()[1:]
    ucf(layout, index=False).write_index()
    lines = (layout[0] / INDEX_NAME).read_text().splitlines()
    assert len(lines) == 31
    assert set(kept) <= set(lines)


def test_only_what_changed_and_what_was_broken_is_checked_again(layout, monkeypatch):
    (layout[0] / BROKEN).write_bytes(b"")
    data = ucf(layout, index=False)
    data.write_index()
    changed = layout[0] / "Diving" / "v_Diving_g03_c01.mp4"
    os.utime(changed, ns=(1, 1))
    checked = []
    monkeypatch.setattr(
        index_writer, "check_media", lambda *one: checked.append(one[0]) or check_media(*one)
    )
    data.write_index()
    assert sorted(checked) == [layout[0] / BROKEN, changed]
    checked.clear()
    data.write_index(decode="all")
    assert len(checked) == 30


def test_files_of_another_choice_keep_their_rows(layout):
    ucf(layout, index=False).write_index()
    some = ucf(layout, index=False, classes=["Archery", "Diving"])
    assert some.write_index().files == 20
    ucf(layout).setup("fit")


def test_damage_in_the_middle_is_found_by_decoding_everything(tmp_path):
    path = write_video(tmp_path / "a.avi", "mpeg4", frames=60, options={"g": "12"})
    with av.open(str(path)) as container:
        place = [packet.pos for packet in container.demux(video=0)][30]
    content = bytearray(path.read_bytes())
    content[place + 60 : place + 110] = bytes(range(50))
    path.write_bytes(content)
    assert check_media(path).video_error == ""
    assert check_media(path, "all").video_error == "1 of its frames are damaged"


def test_links_and_names_that_are_not_ascii_are_fine(tmp_path):
    store = write_clip(tmp_path / "store" / "clip.mp4")
    root = tmp_path / "Dätä set"
    root.mkdir()
    link = root / "クリップ 1.mp4"
    link.symlink_to(store)
    outside = write_clip(tmp_path / "outside.mp4")
    assert write_index([link, outside], root, root).broken == {}
    index = MediaIndex(root / INDEX_NAME, root)
    assert index.probe(link) == index.probe(outside) == probe(store)


def test_a_link_to_nothing_is_broken_and_named(tmp_path):
    link = tmp_path / "gone.mp4"
    link.symlink_to(tmp_path / "nowhere.mp4")
    broken = write_index([link], tmp_path, tmp_path).broken
    assert list(broken) == [link]
    assert "No such file" in broken[link]


def test_a_hundred_thousand_rows_cost_a_few_bytes_each(tmp_path):
    clip = write_clip(tmp_path / "0.mp4")
    write_index([clip], tmp_path, tmp_path)
    path = tmp_path / INDEX_NAME
    header, row = path.read_text().splitlines()
    with path.open("w") as file:
        file.write(f"{header}\n{row}\n")
        file.writelines(f"{number}.mp4{row[5:]}\n" for number in range(1, 100_000))
    index = MediaIndex(path, tmp_path)
    arrays = [*index._values.values(), index._table._first, index._table._second]
    assert sum(array.nbytes for array in arrays) < 100 * len(index) == 100 * 100_000
    assert index.probe(clip) == probe(clip)


@needs_real_data
def test_no_real_clip_is_taken_for_broken(tmp_path):
    files = sorted((DATA / "ucf101_clips").rglob("*.avi"))[::4] + sorted(DATA.rglob("*.mpg"))[:2]
    report = write_index(files, tmp_path / "index.csv", DATA, decode="all")
    assert report.broken == {}
    index = MediaIndex(report.path, DATA)
    assert all(index.probe(file) == probe(file) for file in files)
