from pathlib import Path

import jsonargparse
import pytest
import torch

from datamodules.quickstart import Quickstart
from datamodules.rendering import CLASS_NAMES

TINY = {
    "batch_size": 16,
    "groups": 4,
    "test_groups": 1,
    "clips_per_group": 1,
    "silent": 0.5,
    "val_fraction": 0.3,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    """A tiny rendered world, half of its clips silent."""
    folder = str(tmp_path_factory.mktemp("quickstart"))
    Quickstart(folder, **TINY).prepare_data()
    return folder


@pytest.fixture
def quickstart(root) -> Quickstart:
    datamodule = Quickstart(root, **TINY)
    datamodule.prepare_data()
    return datamodule


def groups(datamodule: Quickstart, split: str) -> set[str]:
    return {clip.name.split("_")[2] for clip in datamodule.dataset(split).reader.table}


def test_classes_are_known_before_anything_is_rendered(tmp_path):
    datamodule = Quickstart(str(tmp_path / "new"))
    assert datamodule.class_names == CLASS_NAMES
    assert datamodule.num_classes == 12
    assert not (tmp_path / "new").exists()


def test_the_default_student_sees_and_its_auxiliary_model_hears():
    datamodule = Quickstart()
    assert datamodule.modalities("train") == ["video", "audio"]
    assert datamodule.modalities("test") == ["video"]


def test_training_batches_hold_video_and_the_sound_of_the_same_window(quickstart):
    quickstart.setup("fit")
    batch = next(iter(quickstart.train_dataloader()))
    assert batch["video"].shape == (16, 3, 16, 40, 40)
    assert batch["audio"].shape == (16, 1, 12_800)
    assert batch["label"].max() < 12


def test_pixels_are_about_standardised(quickstart):
    videos = torch.cat([batch["video"] for batch in quickstart.test_dataloader()])
    assert videos.mean().abs() < 0.7
    assert 0.5 < videos.std() < 1.5


def test_clips_without_an_audio_track_are_kept_and_masked(quickstart):
    quickstart.setup("fit")
    batches = list(quickstart.val_dataloader())
    present = torch.cat([batch["present"]["audio"] for batch in batches])
    audio = torch.cat([batch["audio"] for batch in batches])
    assert len(present) == len(quickstart.dataset("val"))
    assert present.any()
    assert not present.all()
    assert audio[present].abs().amax(dim=(1, 2)).min() > 0
    assert audio[~present].abs().max() == 0
    assert all(batch["present"]["video"].all() for batch in batches)


def test_the_test_batches_do_not_hold_the_sound(quickstart):
    quickstart.setup("test")
    batch = next(iter(quickstart.test_dataloader()))
    assert "audio" not in batch
    assert "audio" not in batch["present"]


def test_every_class_is_in_training_and_test(quickstart):
    for split in ("train", "test"):
        assert {clip.label for clip in quickstart.dataset(split).reader.table} == set(range(12))


def test_a_scene_is_for_training_or_for_testing(quickstart):
    training = groups(quickstart, "train") | groups(quickstart, "val")
    assert training == {"g02", "g03", "g04"}
    assert groups(quickstart, "test") == {"g01"}


def test_another_size_of_crop_and_window_is_read(root):
    datamodule = Quickstart(root, **TINY, frames=8, size=32)
    sample = datamodule.dataset("val")[0]
    assert sample["video"].shape == (3, 8, 32, 32)
    assert sample["audio"].shape == (1, 6400)


def test_reading_before_rendering_names_the_folder_and_the_remedy(tmp_path):
    datamodule = Quickstart(str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match=r"nothing; call prepare_data"):
        datamodule.setup("fit")


def test_other_parameters_than_those_of_the_folder_are_refused(root):
    other = Quickstart(root, **TINY, imprint=0.1)
    with pytest.raises(ValueError, match="imprint") as caught:
        other.prepare_data()
    assert root in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"silent": 1.5}, "silent"),
        ({"groups": 3}, "groups"),
        ({"student_modalities": ["flow"]}, "flow"),
        ({"student_modalities": ["audio"]}, "audio"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Quickstart(**arguments)


def test_it_is_built_from_yaml(tmp_path):
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(Quickstart, "data")
    config = tmp_path / "config.yaml"
    config.write_text(
        "class_path: datamodules.quickstart.Quickstart\n"
        "init_args:\n"
        "  student_modalities: [audio]\n"
        "  auxiliary_modalities: [video]\n"
        "  imprint: 0.5\n"
    )
    built = parser.instantiate(parser.parse_args([f"--data={config}"])).data
    assert built.modalities("test") == ["audio"]
    assert built.world.imprint == 0.5
    assert built.root == Path("data/quickstart")


def test_the_teacher_hears_the_test_clips_on_request(root):
    quickstart = Quickstart(root, auxiliary_at_test=True, **TINY)
    quickstart.prepare_data()
    (batch,) = list(quickstart.test_dataloader())
    sounding = batch["present"]["audio"]
    assert sounding.any()
    assert batch["audio"][sounding].abs().amax(dim=(1, 2)).min() > 0
