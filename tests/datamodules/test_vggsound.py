import tracemalloc
from pathlib import Path

import pytest

from datamodules import missing as missing_module
from datamodules.vggsound import VGGSound, read_rows
from tests.datamodules.web_videos import SOUNDS, fit_and_test, write_vggsound

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SMALL = {"frames": 4, "resize": (24, 32), "size": 16, "sample_rate": 8_000, "batch_size": 4}
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_vggsound(tmp_path_factory.mktemp("vggsound"))


def vggsound(tree, student=("video",), auxiliary=("audio",), **arguments):
    root, annotations = tree
    arguments = SMALL | {"val_fraction": 0.25} | arguments
    return VGGSound(str(root), str(annotations), list(student), list(auxiliary), **arguments)


def rows_of(folder, *lines, end="\n"):
    path = folder / "rows.csv"
    path.write_bytes(end.join(lines).encode())
    return path


def test_each_row_is_one_sample_of_the_file_named_by_id_and_start(tree):
    data = vggsound(tree)
    # Of the videos 0 to 3 the first and the last have two clips, of 4 and 5 none.
    assert len(data.clips("train")) + len(data.clips("val")) == 3 * 6
    assert len(data.clips("test")) == 3 * 2
    clips = {clip.name: clip for clip in data.listed("train")}
    clip = clips["-pla0000000_001200"]
    assert clip.sources["video"].path == tree[0] / "-pla0000000_001200.mp4"
    assert clip.sources.keys() == {"video", "audio", "image"}
    assert clip.group == "-pla0000000"


def test_classes_are_numbered_in_alphabetical_order_with_commas_in_their_names(tree):
    data = vggsound(tree)
    assert data.class_names == sorted(SOUNDS)
    assert data.class_names[0] == "bird chirping, tweeting"
    assert {clip.name[1:4]: clip.label for clip in data.listed("train")} == {
        "bir": 0,
        "dog": 1,
        "pla": 2,
    }


@pytest.mark.parametrize("seed", range(5))
def test_no_video_stands_in_two_splits(tree, seed):
    data = vggsound(tree, seed=seed)
    groups = {split: set(data.clips(split).groups) for split in SPLITS}
    assert all(groups.values())
    assert len(set.union(*groups.values())) == sum(map(len, groups.values())) == 18


def test_a_video_in_both_parts_is_an_error_that_names_it(tree, tmp_path):
    text = tree[1].read_text()
    both = text.replace("-dog0000000,1200,dog barking,train", "-dog0000000,1200,dog barking,test")
    assert both != text
    with pytest.raises(ValueError, match=r"1 groups stand in .*-dog0000000"):
        vggsound((tree[0], rows_of(tmp_path, both))).setup("fit")


def test_batches_hold_what_was_asked_for(tree):
    data = vggsound(tree, student=["video"], auxiliary=["audio", "image"], image_size=24)
    batch = next(iter(data.train_dataloader()))
    assert batch["video"].shape == (4, 3, 4, 16, 16)
    assert batch["image"].shape == (4, 3, 24, 24)
    assert batch["audio"].shape == (4, 1, 1_280)
    assert batch["present"]["audio"].all()
    assert "audio" not in next(iter(data.predict_dataloader()))


def test_missing_clips_follow_the_policy_of_the_datasets_from_the_web(tree, tmp_path):
    root = tmp_path / "fewer"
    root.mkdir()
    for path in tree[0].iterdir():
        if path.stem != "_bir0000001_000030":
            (root / path.name).symlink_to(path)
    data = vggsound((root, tree[1]), lists_to=str(tmp_path / "lists"))
    with pytest.warns(UserWarning, match=r"1 of 18 videos .*_bir0000001_000030.*are skipped"):
        used = [clip.name for clip in data.listed("train")]
    assert (tmp_path / "lists" / "missing_train.txt").read_text() == "_bir0000001_000030\n"
    assert (tmp_path / "lists" / "used_train.txt").read_text().split() == used
    again = vggsound(tree, ids=str(tmp_path / "lists" / "used_train.txt"))
    assert [clip.name for clip in again.listed("train")] == used
    with pytest.raises(FileNotFoundError, match=r"1 of 18 .*max_missing_share allows 5%"):
        list(vggsound((root, tree[1]), max_missing_share=0.05).listed("train"))


def test_ids_are_clip_names_and_unknown_ones_are_named(tree, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("_bir0000001_000030\n_bir0000001\n")
    with pytest.raises(ValueError, match=r"1 of the ids .*: _bir0000001; take them off"):
        vggsound(tree, ids=str(ids))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_windows_line_ends_and_blank_lines_are_fine(tmp_path, end):
    path = rows_of(
        tmp_path, "\ufeff-a,1,dog barking,train", "", "   ", '_b,20,"x, y",test', end=end
    )
    assert list(read_rows(path)) == [
        ("-a_000001", "-a", "dog barking", "train"),
        ("_b_000020", "_b", "x, y", "test"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,1,dog, barking,train", r"rows.csv, line 3: expected youtube id.*found 5 fields"),
        ("a,1,dog", "line 3: .*found 3 fields"),
        ("a,1,dog,validation", "line 3: the split 'validation' is neither train nor test"),
        ("youtube_id,start,label,split", "line 3: the start 'start' .* has no header"),
        ("a,-1,dog,train", "line 3: the start '-1'"),
        (",1,dog,train", "line 3: the youtube id or the label is empty"),
        ("b,20,cat,train", "line 3: b_000020 is already listed"),
    ],
)
def test_malformed_rows_are_named_with_their_line(tree, tmp_path, line, message):
    with pytest.raises(ValueError, match=message):
        vggsound((tree[0], rows_of(tmp_path, "b,20,dog,train", "", line)))


def test_empty_and_missing_files_are_named(tree, tmp_path):
    with pytest.raises(ValueError, match=r"rows.csv lists no clip"):
        vggsound((tree[0], rows_of(tmp_path, "")))
    with pytest.raises(FileNotFoundError, match=r"no annotation file .*nowhere.csv"):
        vggsound((tree[0], tmp_path / "nowhere.csv"))


def test_it_tells_how_it_differs_from_what_is_reported(tree):
    told = vggsound(tree).describe()
    assert "vggsound.csv, train: 18 rows (reported: 183971)" in told
    assert "train: 18 of 18 videos are there, with 18 clips; 0 are missing" in told
    assert "3 classes" in told


def test_listing_keeps_nothing_of_a_clip_that_was_taken(tree, tmp_path, monkeypatch):
    rows = [f"{number:011d},30,dog barking,train" for number in range(20_000)]
    names = {f"{number:011d}_000030": ("videos", ".mp4") for number in range(20_000)}
    monkeypatch.setattr(missing_module, "list_videos", lambda _: names)
    data = vggsound((tree[0], rows_of(tmp_path, *rows)))
    for _ in data.listed("train"):  # the first time fills caches of the interpreter
        pass
    tracemalloc.start()
    count = sum(1 for _ in data.listed("train"))
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert kept < 100_000
    assert peak < 300 * 20_000


@pytest.mark.parametrize("retrieval", [False, True], ids=["recognition", "retrieval"])
def test_its_experiment_runs_through_fit_and_test(tree, tmp_path, retrieval):
    configs = [EXPERIMENTS / "vggsound" / "base.yaml"]
    if retrieval:
        configs.append(EXPERIMENTS / "retrieval.yaml")
    fitted, tested = fit_and_test(configs, *tree, tmp_path / "run")
    assert fitted.trainer.current_epoch == 2
    assert tested.datamodule.gallery == retrieval
    assert (tmp_path / "run" / "used_train.txt").is_file()
    metrics = {name.split("_", 1)[1] for name in tested.trainer.callback_metrics}
    assert ("recall_at_1" in metrics) == retrieval
    assert "accuracy" in metrics
