import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cmkd.cli import run
from datamodules.incomplete import IncompleteTraining
from datamodules.ucf51 import OFFICIAL_CLIPS, UCF51, UCF51_CLASSES
from tests.datamodules.media_files import write_ucf_layout
from tests.real_data import DATA, needs_real_data

SMALL = {
    "frames": 4, "resize": (24, 32), "size": 16, "image_size": 16, "sample_rate": 8_000,
    "batch_size": 4,
}  # fmt: skip
CLASSES = ["Archery", "Bowling"]
ALL = ["flow", "image", "audio", "audio_features"]


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """UCF101's folders with flow images and stored features of every clip but one."""
    folder = tmp_path_factory.mktemp("ucf51")
    root, _ = write_ucf_layout(folder, classes=CLASSES, train_groups=3)
    rng = np.random.default_rng(0)
    for number, clip in enumerate(sorted(root.rglob("*.mp4"))):
        if number == 0:
            continue
        features = folder / "features" / clip.parent.name / f"{clip.stem}.npy"
        features.parent.mkdir(parents=True, exist_ok=True)
        np.save(features, rng.normal(size=6).astype(np.float32))
        for axis, level in (("x", 140), ("y", 100)):
            for frame in range(1, 20):
                path = folder / "flow" / clip.stem / f"flow_{axis}_{frame:05d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (64, 48), level + frame).save(path, quality=95)
    return folder


def ucf51(layout, student=("video",), auxiliary=tuple(ALL), **arguments):
    return UCF51(
        str(layout / "clips"),
        str(layout / "lists"),
        list(student),
        list(auxiliary),
        **(
            {
                "classes": CLASSES,
                "flow_folder": str(layout / "flow"),
                "audio_features": str(layout / "features"),
                "val_fraction": 0.3,
            }
            | SMALL
            | arguments
        ),
    )


def test_a_batch_holds_every_modality_and_says_which_are_absent(layout):
    data = ucf51(layout, auxiliary_at_test=True)
    (batch, *_) = list(data.test_dataloader())
    shapes = {name: tuple(batch[name].shape[1:]) for name in ["video", *ALL]}
    assert shapes == {
        "video": (3, 4, 16, 16),
        "flow": (2, 4, 16, 16),
        "image": (3, 16, 16),
        "audio": (1, 1_280),
        "audio_features": (6,),
    }
    assert batch["present"]["flow"].tolist() == [False, True, True, True]
    assert batch["present"]["audio_features"].tolist() == [False, True, True, True]
    assert batch["present"]["video"].all()
    assert not batch["flow"][0].any()


def test_the_flow_is_that_of_the_window_and_changes_sign_with_a_flip(layout):
    dataset = ucf51(layout).dataset("train")
    place = next(i for i, clip in enumerate(dataset.reader.table) if "flow" in clip.sources)
    signs = set()
    for epoch in range(12):
        sample = dataset[place, epoch]
        frame = (sample["video"][1, :, 8, 8] * 0.22145 + 0.394666) * 255 / 7 - 30 / 7
        vertical = sample["flow"][1, :, 8, 8] * 127.5 + 127.5 - 101
        assert torch.allclose(frame.round(), vertical.round().clamp(max=18), atol=1)
        level = sample["flow"][0, :, 8, 8] * 127.5
        assert torch.allclose(level.abs(), vertical + 141 - 127.5, atol=1.5)
        signs.add(bool(level[0] > 0))
    assert signs == {True, False}


def test_the_other_flow_layout_gives_the_same(layout, tmp_path):
    for clip in (layout / "flow").iterdir():
        for axis, name in (("x", "u"), ("y", "v")):
            (tmp_path / name / clip.name).mkdir(parents=True)
            for image in clip.glob(f"flow_{axis}_*.jpg"):
                number = int(image.stem.split("_")[-1])
                shutil.copy(image, tmp_path / name / clip.name / f"frame{number:06d}.jpg")
    one = ucf51(layout, auxiliary=["flow"]).dataset("train")
    two = ucf51(layout, auxiliary=["flow"], flow_folder=str(tmp_path)).dataset("train")
    assert all(torch.equal(one[row, 3]["flow"], two[row, 3]["flow"]) for row in range(len(one)))


def test_half_a_flow_is_named(layout, tmp_path):
    shutil.copytree(layout / "flow", tmp_path / "flow")
    clip = next((tmp_path / "flow").iterdir())
    next(clip.glob("flow_y_*")).unlink()
    data = ucf51(layout, student=["flow"], auxiliary=[], flow_folder=str(tmp_path / "flow"))
    with pytest.raises(ValueError, match=rf"{clip.name}.*19 images of horizontal flow and 18"):
        list(data.train_dataloader()), list(data.val_dataloader()), list(data.test_dataloader())


def test_the_test_of_the_student_needs_no_auxiliary_files(layout):
    data = ucf51(layout, flow_folder="/nowhere", audio_features="/nowhere")
    data.setup("test")
    assert len(list(data.test_dataloader())) == 1
    with pytest.raises(FileNotFoundError, match="flow_folder: there is no folder /nowhere"):
        data.setup("fit")


def test_features_in_an_npz_file_are_found_by_clip(layout, tmp_path):
    folders = {path.stem: np.load(path) for path in (layout / "features").rglob("*.npy")}
    names = [name.removeprefix("v_") for name in folders]
    np.savez(tmp_path / "f.npz", clip=np.array(names), audio_cnn14=np.stack([*folders.values()]))
    one = ucf51(layout, student=["audio_features"], auxiliary=[])
    two = ucf51(
        layout, student=["audio_features"], auxiliary=[], audio_features=str(tmp_path / "f.npz")
    )
    for a, b in zip(one.test_dataloader(), two.test_dataloader(), strict=True):
        assert torch.equal(a["audio_features"], b["audio_features"])


def test_features_that_do_not_fit_are_named(layout, tmp_path):
    shutil.copytree(layout / "features", tmp_path / "features")
    path = tmp_path / "features" / "Bowling" / "v_Bowling_g02_c01.npy"
    arguments = {"student": ["audio_features"], "auxiliary": []}
    np.save(path, np.zeros(5))
    data = ucf51(layout, audio_features=str(tmp_path / "features"), **arguments)
    with pytest.raises(ValueError, match=r"features of v_Bowling_g02_c01 have shape \(5,\)"):
        data.setup("test")
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"v_Bowling_g02_c01.npy: not a .npy file of numbers"):
        ucf51(layout, audio_features=str(tmp_path / "features"), **arguments).setup("test")


def test_incomplete_training_data_lacks_auxiliary_modalities_for_good(layout):
    incomplete = IncompleteTraining({"image": 0.5, "audio": 0.5})
    data = ucf51(layout, auxiliary=["image", "audio"], incomplete=incomplete)
    loader = data.train_dataloader()
    held = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
        index = torch.cat([batch["index"] for batch in batches])
        there = torch.stack(
            [torch.cat([b["present"][name] for b in batches]) for name in ("image", "audio")]
        )
        held.append(
            {int(i): tuple(column.tolist()) for i, column in zip(index, there.T, strict=True)}
        )
    assert held[0] == held[1]
    assert all(any(kept) for kept in held[0].values())
    assert len(set(held[0].values())) > 1
    for batch in data.val_dataloader():
        assert batch["present"]["image"].all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flow_folder": None}, "UCF51.flow_folder: the modality 'flow' is asked for"),
        ({"audio_features": None}, "UCF51.audio_features: the modality 'audio_features'"),
        ({"classes": "presnt"}, "UCF51.classes: give 'all', 'present' or a list"),
    ],
)
def test_bad_arguments_are_named(layout, arguments, message):
    with pytest.raises(ValueError, match=message):
        ucf51(layout, **arguments)


@pytest.mark.parametrize("retrieval", [False, True], ids=["recognition", "retrieval"])
def test_its_experiment_runs_through_fit_and_test(layout, tmp_path, retrieval):
    experiments = Path(__file__).parents[2] / "experiments"
    configs = [f"--config={experiments / 'ucf51' / 'base.yaml'}"]
    configs += [f"--config={experiments / 'retrieval.yaml'}"] if retrieval else []
    given = [
        *configs,
        f"--run.dir={tmp_path}",
        f"--data.init_args.root={layout / 'clips'}",
        f"--data.init_args.list_folder={layout / 'lists'}",
        f"--data.init_args.audio_features={layout / 'features'}",
        "--data.init_args.classes=[Archery, Bowling]",
        "--data.init_args.val_fraction=0.3",
        "--data.init_args.frames=4",
        "--data.init_args.resize=[24, 32]",
        "--data.init_args.size=16",
        "--data.init_args.eval_stride=4",
        "--data.init_args.batch_size=4",
        "--data.init_args.num_workers=0",
        '--model.encoders={"video": {"class_path": "cmkd.networks.SmallVideoNet",'
        ' "init_args": {"width": 8}}, "audio_features": {"class_path": "cmkd.networks.MLP",'
        ' "init_args": {"in_features": 6}}}',
        "--model.embedding_dim=16",
        "--model.teacher_epochs=1",
        "--trainer.max_epochs=2",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]
    run(["fit", *given])
    tested = run(["test", *given, f"--ckpt_path={tmp_path}/checkpoints/best.ckpt"])
    metrics = {name.split("_", 1)[1] for name in tested.trainer.callback_metrics}
    assert "accuracy" in metrics
    assert ("recall_at_1" in metrics) == retrieval
    # Twenty frames in windows of four at a stride of four: five of each of the four clips.
    assert len(tested.datamodule.dataset("test")) == 20
    if retrieval:
        assert len(tested.datamodule.clips("gallery")) == 12


@needs_real_data
def test_the_official_lists_have_the_official_counts():
    for split in (1, 2, 3):
        data = UCF51(
            str(DATA / "ucf101_clips"),
            str(DATA / "ucfTrainTestlist"),
            ["video"],
            ["audio"],
            split=split,
            missing_clips="skip",
        )
        listed = tuple(len(data.read_list(f"{part}list")) for part in ("train", "test"))
        assert listed == OFFICIAL_CLIPS[split]
    assert len(UCF51_CLASSES) == 51


@needs_real_data
@pytest.mark.filterwarnings("ignore:UCF51. .* listed clips are not under")
def test_the_real_clips_are_described_clip_by_clip_and_their_stored_features_found():
    data = UCF51(
        str(DATA / "ucf101_clips"),
        str(DATA / "ucfTrainTestlist"),
        ["audio_features"],
        [],
        classes="present",
        missing_clips="skip",
        audio_features=str(DATA / "features" / "ucf51_audio.npz"),
    )
    assert set(data.class_names) < set(UCF51_CLASSES)
    batch = next(iter(data.test_dataloader()))
    assert batch["present"]["audio_features"].all()
    whole = UCF51(
        str(DATA / "ucf101_clips"),
        str(DATA / "ucfTrainTestlist"),
        ["audio_features"],
        [],
        missing_clips="skip",
        audio_features=str(DATA / "features" / "ucf51_audio.npz"),
    )
    with pytest.raises(ValueError, match="no training clip of"):
        whole.setup("fit")
    here = sum(clip.parent.name in UCF51_CLASSES for clip in DATA.rglob("v_*.avi"))
    found = [path for path in whole.find(whole.read_list("trainlist")).values() if path]
    found += [path for path in whole.find(whole.read_list("testlist")).values() if path]
    assert len(found) == here
