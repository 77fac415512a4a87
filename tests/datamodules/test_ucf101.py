import warnings

import pytest
import torch
from jsonargparse import ArgumentParser

from datamodules import UCF101, CrossModalDataModule, absent_modalities
from datamodules import readers as readers_module
from datamodules.media import MediaError
from tests.datamodules.media_files import write_clip, write_ucf_layout
from tests.real_data import DATA, needs_real_data

SMALL = {"frames": 4, "resize": (24, 32), "size": 16, "sample_rate": 8_000, "batch_size": 4}


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return write_ucf_layout(tmp_path_factory.mktemp("ucf"), silent=["Bowling"])


def ucf(layout, student=("video",), auxiliary=("audio",), **arguments):
    root, lists = layout
    return UCF101(str(root), str(lists), list(student), list(auxiliary), **(SMALL | arguments))


def names(dataset):
    return [clip.name for clip in dataset.reader.table]


def relist(layout, tmp_path, part="trainlist01.txt", edit=lambda lines: lines):
    """The same clips with a changed list file."""
    root, lists = layout
    copies = tmp_path / "lists"
    copies.mkdir()
    for path in lists.iterdir():
        lines = path.read_text().splitlines()
        edited = edit(lines) if path.name == part else lines
        (copies / path.name).write_text("".join(f"{line}\n" for line in edited))
    return root, copies


def test_training_validation_and_test_hold_every_listed_clip_once(layout):
    data = ucf(layout)
    train, val, test = (names(data.dataset(split)) for split in ("train", "val", "test"))
    assert len(train) + len(val) == 3 * 4 * 2
    assert len(test) == 3 * 2
    assert len({*train, *val, *test}) == 30
    assert {name[-7:-4] for name in test} == {"g01", "g02"}


def test_no_group_stands_in_training_and_validation(layout):
    data = ucf(layout, val_fraction=0.3)
    train, val = ({name[:-4] for name in names(data.dataset(split))} for split in ("train", "val"))
    assert val
    assert not train & val


def test_labels_and_names_follow_the_class_index(layout):
    data = ucf(layout)
    assert (data.num_classes, data.class_names) == (3, ["Archery", "Bowling", "Diving"])
    for clip in data.clips("train"):
        assert data.class_names[clip.label] == clip.name.split("_")[1]


def test_chosen_classes_are_numbered_anew(layout):
    data = ucf(layout, classes=["Diving", "Archery"])
    assert data.class_names == ["Archery", "Diving"]
    for split in ("train", "test"):
        assert {(clip.name.split("_")[1], clip.label) for clip in data.clips(split)} == {
            ("Archery", 0),
            ("Diving", 1),
        }


def test_batches_mask_clips_without_audio_and_log_their_number_once(layout, monkeypatch, tmp_path):
    lines = []
    monkeypatch.setattr(absent_modalities, "rank_zero_info", lines.append)
    index = tmp_path / "index.csv"
    ucf(layout).write_index(index)
    data = ucf(layout, val_fraction=0.25, index=str(index))
    data.setup("fit")
    data.setup("validate")
    seen = set()
    for batch in data.train_dataloader():
        assert batch["video"].shape[1:] == (3, 4, 16, 16)
        assert batch["audio"].shape[1:] == (1, 1_280)
        silent = batch["label"] == 1
        assert torch.equal(batch["present"]["audio"], ~silent)
        assert batch["audio"][silent].abs().sum() == 0
        seen |= set(batch["index"].tolist())
    list(data.val_dataloader())
    assert len(seen) == len(data.dataset("train"))
    silent = [names(data.dataset(split)) for split in ("train", "val")]
    counts = [sum("Bowling" in name for name in part) for part in silent]
    assert [line.split(" clips")[0] for line in lines] == [
        f"UCF101: {counts[0]} of {len(silent[0])} train",
        f"UCF101: {counts[1]} of {len(silent[1])} val",
    ]


def everything(data, epoch):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    batches = list(loader)
    return {
        key: torch.cat([batch[key] for batch in batches]) for key in ("index", "video", "audio")
    }


def same(one, two):
    return all(torch.equal(one[key], two[key]) for key in one)


def test_an_epoch_is_the_same_with_and_without_workers_and_after_other_epochs(layout):
    torch.manual_seed(1)
    alone = everything(ucf(layout), epoch=3)
    torch.manual_seed(2)
    loader = ucf(layout, num_workers=2).train_dataloader()
    for epoch in (0, 3):
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
    with_workers = {key: torch.cat([batch[key] for batch in batches]) for key in alone}
    assert same(with_workers, alone)
    assert not same(everything(ucf(layout), epoch=4), alone)


def test_the_batch_size_does_not_change_the_augmentation(layout):
    four, seven = everything(ucf(layout), 1), everything(ucf(layout, batch_size=7), 1)
    count = len(ucf(layout).dataset("train"))
    assert same({k: v[:count] for k, v in four.items()}, {k: v[:count] for k, v in seven.items()})


def test_the_test_loader_neither_decodes_nor_holds_the_audio(layout, monkeypatch):
    def refuse(*_):
        raise AssertionError("audio was decoded")

    expected = [batch["video"] for batch in ucf(layout, auxiliary_at_test=True).test_dataloader()]
    monkeypatch.setattr(readers_module, "read_audio", refuse)
    data = ucf(layout)
    data.setup("test")
    batches = list(data.test_dataloader())
    assert all("audio" not in batch and "audio" not in batch["present"] for batch in batches)
    assert all(map(torch.equal, (batch["video"] for batch in batches), expected))


def test_the_students_test_batches_are_the_same_when_the_audio_tracks_are_gone(tmp_path):
    root, lists = write_ucf_layout(tmp_path, classes=["Archery", "Bowling"], train_groups=2)
    before = list(ucf((root, lists)).test_dataloader())
    for path in root.rglob("*.mp4"):
        write_clip(path, tone=None)
    after = list(ucf((root, lists)).test_dataloader())
    assert all(
        torch.equal(one["video"], two["video"]) for one, two in zip(before, after, strict=True)
    )


def test_audio_can_be_the_students_modality(layout):
    batch = next(iter(ucf(layout, student=["audio"], auxiliary=["video"]).test_dataloader()))
    assert "audio" in batch
    assert "video" not in batch


def test_a_clip_that_is_not_there_is_named_with_its_list_and_can_be_skipped(layout, tmp_path):
    changed = relist(layout, tmp_path, edit=lambda lines: [*lines, "Diving/v_Diving_g09_c01.avi 3"])
    message = r"1 of 25 listed clips.*Diving/v_Diving_g09_c01.avi \(.*trainlist01.txt, line 25\)"
    with pytest.raises(FileNotFoundError, match=rf"{message}.*missing_clips: skip"):
        ucf(changed).setup("fit")
    data = ucf(changed, missing_clips="skip")
    with pytest.warns(UserWarning, match=message) as warned:
        data.setup("fit")
    assert len([w for w in warned if "listed clips" in str(w.message)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.setup("validate")
    assert len(data.dataset("train")) + len(data.dataset("val")) == 24


def test_a_class_without_training_clips_is_named_and_present_leaves_it_out(layout, tmp_path):
    changed = relist(layout, tmp_path, edit=lambda lines: [x for x in lines if "Bowling" not in x])
    with pytest.raises(ValueError, match=r"no training clip of Bowling .*trainlist01.*'present'"):
        ucf(changed).setup("fit")
    data = ucf(changed, classes="present")
    assert data.class_names == ["Archery", "Diving"]
    data.setup("fit")
    assert {name.split("_")[1] for name in names(data.dataset("test"))} == {"Archery", "Diving"}


def test_present_classes_of_a_root_without_clips_are_reported(layout, tmp_path):
    with pytest.raises(ValueError, match=r"no clip of .*trainlist01.txt is under"):
        ucf((tmp_path, layout[1]), classes="present")


def test_a_label_of_another_class_is_named_with_its_line(layout, tmp_path):
    changed = relist(layout, tmp_path, edit=lambda lines: [lines[0][:-1] + "3", *lines[1:]])
    with pytest.raises(ValueError, match=r"trainlist01.txt, line 1: label 3.*Archery is 1"):
        ucf(changed).setup("fit")


def test_missing_folders_and_splits_are_named(layout, tmp_path):
    root, lists = layout
    with pytest.raises(FileNotFoundError, match=r"nowhere.*classInd.txt"):
        ucf((root, tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"root: there is no folder .*nowhere"):
        ucf((tmp_path / "nowhere", lists)).setup("fit")
    with pytest.raises(FileNotFoundError, match=r"trainlist03.txt"):
        ucf(layout, split=3).setup("fit")


def test_a_test_list_without_clips_of_the_classes_is_reported(layout, tmp_path):
    changed = relist(layout, tmp_path, part="testlist01.txt", edit=lambda lines: lines[:2])
    with pytest.raises(ValueError, match="the test split is empty"):
        ucf(changed, classes=["Diving"]).setup("test")


def test_files_that_prepare_found_broken_are_named_before_training_or_left_out(tmp_path):
    layout = write_ucf_layout(tmp_path, classes=["Archery", "Bowling"], train_groups=2)
    (layout[0] / "Archery" / "v_Archery_g03_c01.mp4").write_bytes(b"")
    ucf(layout).write_index()
    with pytest.raises(MediaError, match=r"v_Archery_g03_c01.mp4 .it is empty.*on_corrupt: skip"):
        ucf(layout).setup("fit")
    data = ucf(layout, on_corrupt="skip")
    with pytest.warns(UserWarning, match="v_Archery_g03_c01"):
        data.setup("fit")
    assert "v_Archery_g03_c01" not in [clip.name for clip in data.clips("train")]


def test_a_damaged_file_is_named_from_a_worker_too(tmp_path):
    layout = write_ucf_layout(tmp_path, classes=["Archery", "Bowling"], train_groups=2)
    (layout[0] / "Bowling" / "v_Bowling_g01_c01.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError, match=r"v_Bowling_g01_c01.mp4"):
        list(ucf(layout, num_workers=1).test_dataloader())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"student": ["flow"]}, "UCF101.student_modalities.*'flow'.*video, audio"),
        ({"auxiliary": ["video"]}, "'video' stands in"),
        ({"student": []}, "student_modalities is empty"),
        ({"max_corrupt_share": 2.0}, "UCF101.max_corrupt_share"),
        ({"eval_stride": 0}, "UCF101.eval_stride"),
        ({"classes": ["Golf"]}, "'Golf' is not in the class index"),
        ({"frames": 0}, "frames"),
    ],
)
def test_bad_arguments_are_named(layout, arguments, message):
    with pytest.raises(ValueError, match=message):
        ucf(layout, **arguments)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonargparse renamed the method
@pytest.mark.parametrize("classes", ["all", "present", ["Diving", "Bowling"]])
def test_it_is_built_from_yaml(layout, classes):
    parser = ArgumentParser()
    parser.add_subclass_arguments(CrossModalDataModule, "data")
    root, lists = layout
    arguments = {
        "root": str(root),
        "list_folder": str(lists),
        "student_modalities": ["video"],
        "auxiliary_modalities": ["audio"],
        "classes": classes,
        "resize": [24, 32],
        "size": 16,
        "mean": [0.5, 0.5, 0.5],
    }
    config = parser.parse_object(
        {"data": {"class_path": "datamodules.UCF101", "init_args": arguments}}
    )
    data = parser.instantiate_classes(config).data
    assert isinstance(data, UCF101)
    assert data.num_classes == (2 if isinstance(classes, list) else 3)
    assert len(data.dataset("test")) == 2 * data.num_classes


@needs_real_data
@pytest.mark.filterwarnings("ignore:UCF101. .* listed clips are not under")
def test_the_real_clips_run_through_every_loader():
    data = UCF101(
        root=str(DATA / "ucf101_clips"),
        list_folder=str(DATA / "ucfTrainTestlist"),
        student_modalities=["video"],
        auxiliary_modalities=["audio"],
        classes="present",
        missing_clips="skip",
        batch_size=8,
    )
    data.setup("fit")
    data.setup("test")
    assert data.num_classes == 51
    labels = []
    for batch in data.train_dataloader():
        assert batch["video"].shape[1:] == (3, 16, 112, 112)
        assert batch["audio"].shape[1:] == (1, 10_240)
        labels += batch["label"].tolist()
    assert set(labels) == set(range(51))
    assert len(data.dataset("train")) + len(data.dataset("val")) == 74
    rows = sum(len(batch["label"]) for batch in data.test_dataloader())
    assert rows == len(data.dataset("test")) == 16
