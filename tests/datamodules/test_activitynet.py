import json
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from datamodules import CrossModalDataModule
from datamodules.activitynet import ActivityNet
from datamodules.activitynet_annotations import read_annotations
from datamodules.media import MediaError, MediaInfo
from tests.datamodules.media_files import write_clip
from tests.datamodules.web_videos import (
    ACTIVITIES,
    activitynet,
    entry,
    fit_and_test,
    write_activitynet,
)

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_activitynet(tmp_path_factory.mktemp("activitynet"))


def changed(tree, folder, edit):
    """The same videos with another database."""
    root, annotations = tree
    content = json.loads(annotations.read_text())
    edit(content["database"])
    copy = folder / "annotations.json"
    copy.write_text(json.dumps(content))
    return root, copy


def with_segments(tree, folder, *segments, duration=1.6):
    """One training video has other segments."""

    def edit(database):
        identity = next(iter(database))
        database[identity] = entry(identity, "training", *segments, duration=duration)

    return changed(tree, folder, edit)


def clips_of_first(data):
    return [clip for clip in data.listed("train") if clip.group == "-Zu_00000000"]


def test_each_segment_of_a_labelled_video_is_one_sample(tree):
    data = activitynet(tree)
    tables = {split: data.clips(split) for split in SPLITS}
    assert len(tables["train"]) + len(tables["val"]) == 3 * 4 * 2
    assert len(tables["test"]) == 3 * 2 * 2
    names = [clip.name for table in tables.values() for clip in table]
    assert len(set(names)) == 36
    assert "-Zu_00000000_000" in names
    assert "-Zu_00000000_001" in names


def test_classes_are_numbered_in_alphabetical_order_and_stay_when_videos_are_missing(
    tree, tmp_path
):
    data = activitynet(tree)
    assert data.class_names == sorted(ACTIVITIES)
    assert [clip.label for clip in clips_of_first(data)] == [2, 2]
    few = tmp_path / "few"
    few.mkdir()
    write_clip(few / "v_-Zu_00000000.mp4", 40)
    left = activitynet((few, tree[1]), max_missing_share=1.0)
    with pytest.warns(UserWarning, match="no training clip is left of 2 classes: Archery, Making"):
        assert [clip.label for clip in clips_of_first(left)] == [2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_no_video_stands_in_two_splits(tree, seed):
    data = activitynet(tree, seed=seed)
    groups = {split: set(data.clips(split).groups) for split in SPLITS}
    assert all(groups.values())
    assert len(set.union(*groups.values())) == sum(map(len, groups.values())) == 18


def test_a_sample_shows_frames_of_its_own_segment(tree):
    data = activitynet(tree, mean=(0, 0, 0), std=(1, 1, 1))
    train, clips = data.dataset("train"), data.clips("train")
    frames = {
        "000": range(5, 20),
        "001": range(15, 35),
    }  # 0.2 to 0.8 and 0.6 to 1.4 s at 25 a second
    for row in range(4):
        seen = set()
        for epoch in range(8):
            grey = train[row, epoch]["video"].mean((0, 2, 3)) * 255
            seen |= set(((grey - 30) / 7).round().int().tolist())
        inside = {
            number % 30 for number in frames[clips[row].name[-3:]]
        }  # where the ramp begins anew
        assert seen <= inside
        assert len(seen) > 8


def test_videos_without_segments_are_no_samples_and_not_missing(tree, tmp_path):
    def edit(database):
        database["_nothing0001"] = entry("_nothing0001", "training")

    data = activitynet(changed(tree, tmp_path, edit), lists_to=str(tmp_path / "lists"))
    assert len(list(data.listed("train"))) == 24
    assert (tmp_path / "lists" / "missing_train.txt").read_text() == ""
    assert any(
        "13 videos, 24 segments" in line and "; 1 videos without segments" in line
        for line in data.describe()
    )


def test_batches_hold_the_segments_sound(tree):
    batch = next(iter(activitynet(tree).train_dataloader()))
    assert batch["video"].shape == (4, 3, 4, 16, 16)
    assert batch["audio"].shape == (4, 1, 1_280)
    assert batch["present"]["audio"].all()
    assert batch["audio"].abs().amax(dim=(1, 2)).min() > 0.1


def test_segments_beyond_their_video_are_clipped_and_impossible_ones_are_left_out_by_name(
    tree, tmp_path
):
    segments = [(-0.5, 0.5), (1.0, 9.0), (0.7, 0.7), (0.9, 0.4), (1.6, 1.9), (2.0, 3.0), (-2, -1)]
    edited = with_segments(tree, tmp_path, *((*times, "Zumba") for times in segments))
    data = activitynet(edited, lists_to=str(tmp_path / "lists"))
    with pytest.warns(UserWarning, match=r"5 segments of the train part .*: -Zu_00000000_002 has"):
        clips = clips_of_first(data)
    assert [(c.sources["video"].begin, c.sources["video"].end) for c in clips] == [
        (0.0, 0.5),
        (1.0, 1.6),
    ]
    assert [clip.name[-3:] for clip in clips] == ["000", "001"]
    tally = data.segments["train"]
    assert (tally.used, len(tally.clipped), len(tally.skipped)) == (24, 2, 5)
    lines = (tmp_path / "lists" / "skipped_train.txt").read_text().splitlines()
    assert lines[0] == "-Zu_00000000_002 has no length (0.7 to 0.7 s)"
    assert lines[2] == "-Zu_00000000_004 (1.6 to 1.9 s) lies outside its video of 1.60 s"


def test_the_files_own_length_counts_where_an_index_knows_it(tree, tmp_path):
    segments = [(0.2, 1.6, "Zumba"), (0.99, 1.5, "Zumba"), (1.2, 1.5, "Zumba")]
    data = activitynet(with_segments(tree, tmp_path, *segments))
    assert len(clips_of_first(data)) == 3
    data.probe = lambda _: MediaInfo(frames=25, frame_rate=25.0, start=0.0, has_audio=True)
    with pytest.warns(UserWarning, match="left out"):
        clips = clips_of_first(data)
    assert [(c.sources["video"].begin, c.sources["video"].end) for c in clips] == [(0.2, 1.0)]


def test_a_file_that_the_index_calls_broken_stays_listed(tree):
    def broken(path):
        raise MediaError(f"cannot decode {path}")

    data = activitynet(tree)
    data.probe = broken
    assert len(list(data.listed("train"))) == 24


def test_without_an_index_no_file_is_opened_to_list_the_segments(tree, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a file was opened")

    monkeypatch.setattr("av.open", refuse)
    data = activitynet(tree)
    assert len(data.clips("train")) + len(data.clips("val")) + len(data.clips("test")) == 36


def test_videos_in_folders_under_root_are_found_and_the_first_of_two_is_taken(tree, tmp_path):
    root = tmp_path / "parts"
    for path in tree[0].iterdir():
        part = root / ("train" if int(path.stem[-1]) < 4 else "val")
        part.mkdir(parents=True, exist_ok=True)
        (part / path.name).symlink_to(path)
    (root / "train" / "v_-Zu_00000000.webm").write_bytes(b"a second copy")
    (root / "train" / "v_-Zu_00000000.mp4.part").write_bytes(b"half a download")
    (root / "v_-Ar_00000000.MKV").write_bytes(b"")
    (root / "train" / "deep").mkdir()
    (root / "train" / "deep" / "v_-Zu_00000001.avi").write_bytes(b"")
    clips = list(activitynet((root, tree[1])).listed("train"))
    paths = {clip.group: clip.sources["video"].path for clip in clips}
    assert len(clips) == 24
    assert paths["-Zu_00000000"] == root / "train" / "v_-Zu_00000000.mp4"
    assert paths["-Ar_00000000"] == root / "v_-Ar_00000000.MKV"
    assert paths["-Zu_00000001"] == root / "train" / "v_-Zu_00000001.mkv"


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tree, tmp_path):
    copy = tmp_path / "annotations.json"
    text = json.dumps(json.loads(tree[1].read_text()), indent=1)
    copy.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_annotations(copy) == read_annotations(tree[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subset": "val"}, r"json: -Zu_00000000: the subset 'val' is none of training, valid"),
        ({"duration": 0}, "-Zu_00000000: the duration 0 is no number above 0"),
        ({"duration": None}, "the duration None"),
        ({"annotations": None}, "'annotations' is None"),
        ({"annotations": [{"segment": [1], "label": "Zumba"}]}, r"annotation 0: the segment \[1\]"),
        ({"annotations": [{"segment": [0, float("nan")], "label": "Zumba"}]}, "no pair of numbers"),
        ({"annotations": [{"segment": [0, 1], "label": " "}]}, "annotation 0: the label ' ' is"),
        ({"annotations": [7]}, "annotation 0: the segment None"),
    ],
)
def test_malformed_entries_are_named_with_their_id(tree, tmp_path, change, message):
    def edit(database):
        database["-Zu_00000000"] |= change

    with pytest.raises(ValueError, match=message):
        activitynet(changed(tree, tmp_path, edit))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"database": {\n"a": }}', r"annotations.json, line 2: this is not JSON"),
        ('{"database": {}}', "no 'database'"),
        ("[]", "no 'database'"),
        ('{"database": {"a": {}, "a": {}}}', r"annotations.json: 'a' stands there twice"),
        ('{"database": {"a": []}}', "a: expected an object"),
    ],
)
def test_files_of_another_form_are_named(tree, tmp_path, text, message):
    copy = tmp_path / "annotations.json"
    copy.write_text(text)
    with pytest.raises(ValueError, match=message):
        activitynet((tree[0], copy))


def test_missing_files_are_named(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no annotation file .*nowhere.json"):
        activitynet((tree[0], tmp_path / "nowhere.json"))
    with pytest.raises(FileNotFoundError, match="ids: there is no file"):
        activitynet(tree, ids=str(tmp_path / "nowhere.txt"))
    with pytest.raises(ValueError, match=r"ActivityNet.max_missing_share: .* got 20"):
        activitynet(tree, max_missing_share=20)


def test_it_tells_how_it_differs_from_what_is_reported(tree):
    told = activitynet(tree).describe()
    name = "activity_net.v1-3.min.json"
    assert f"{name}, training: 12 videos, 24 segments (reported of v1.3: 10024 and 15410)" in told
    assert f"{name}, testing: 1 videos, 0 segments; not used" in told
    assert "train: 24 segments, 0 of them clipped to their video; 0 more left out" in told


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonargparse renamed the method
@pytest.mark.parametrize("several", [False, True])
def test_it_is_built_from_yaml(tree, tmp_path, several):
    ids = tmp_path / "ids.txt"
    ids.write_text("-Zu_00000001\n")
    parser = ArgumentParser()
    parser.add_subclass_arguments(CrossModalDataModule, "data")
    arguments = {
        "root": str(tree[0]),
        "annotations": str(tree[1]),
        "student_modalities": ["video"],
        "auxiliary_modalities": ["audio"],
        "ids": [str(ids)] if several else str(ids),
    }
    config = parser.parse_object(
        {"data": {"class_path": "datamodules.activitynet.ActivityNet", "init_args": arguments}}
    )
    data = parser.instantiate_classes(config).data
    assert isinstance(data, ActivityNet)
    assert len(list(data.listed("train"))) == 2


@pytest.mark.parametrize("retrieval", [False, True], ids=["recognition", "retrieval"])
def test_its_experiment_runs_through_fit_and_test(tree, tmp_path, retrieval):
    configs = [EXPERIMENTS / "activitynet" / "base.yaml"]
    if retrieval:
        configs.append(EXPERIMENTS / "retrieval.yaml")
    fitted, tested = fit_and_test(configs, *tree, tmp_path / "run")
    assert fitted.trainer.current_epoch == 2
    assert tested.datamodule.gallery == retrieval
    assert (tmp_path / "run" / "used_train.txt").is_file()
    metrics = {name.split("_", 1)[1] for name in tested.trainer.callback_metrics}
    assert ("recall_at_1" in metrics) == retrieval
    assert "accuracy" in metrics
