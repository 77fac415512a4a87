"""At test time the auxiliary modality is not there: deleting its files changes nothing."""

from pathlib import Path

import av
import numpy as np
import torch

from cmkd.cli import run
from tests.datamodules.media_files import write_ucf_layout

TINY = str(Path(__file__).parent / "cmkd" / "tiny.yaml")


def strip_audio(path):
    """Copy the video packets of a clip alone, bit for bit."""
    bare = path.with_name(f"bare{path.suffix}")
    with av.open(str(path)) as source, av.open(str(bare), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    bare.replace(path)


def predictions(arguments, folder):
    """Return what `cmkd predict` gives with the checkpoint of a fit."""
    last = str(folder / "checkpoints" / "last.ckpt")
    again = run(["predict", *arguments, "--ckpt_path", last, "--return_predictions", "true"])
    batches = again.trainer.predict(again.model, again.datamodule, ckpt_path=last)
    return torch.cat([batch["prediction"] for batch in batches])


def test_clips_without_their_sound_are_predicted_alike(tmp_path):
    root, lists = write_ucf_layout(tmp_path)
    arguments = [
        "--config", TINY,
        "--data", "datamodules.UCF101",
        "--data.init_args.root", str(root),
        "--data.init_args.list_folder", str(lists),
        "--data.init_args.frames", "4",
        "--data.init_args.resize", "[32, 40]",
        "--data.init_args.size", "32",
        "--data.init_args.val_fraction", "0.3",
        "--model.student_modalities", "[video]",
        "--model.auxiliary_modalities", "[audio]",
        "--model.encoders",
        "{video: {class_path: cmkd.networks.SmallVideoNet, init_args: {width: 8}},"
        " audio: {class_path: cmkd.networks.AudioCNN, init_args: {sample_rate: 16000, width: 8,"
        " n_mels: 16}}}",
    ]  # fmt: skip
    run(["fit", *arguments, "--run.dir", str(tmp_path / "run")])
    with_sound = predictions(arguments, tmp_path / "run")
    for path in root.rglob("*.mp4"):
        strip_audio(path)
        with av.open(str(path)) as container:
            assert not container.streams.audio
    assert torch.equal(with_sound, predictions(arguments, tmp_path / "run"))


def test_a_feature_file_without_the_auxiliary_arrays_is_predicted_alike(tmp_path):
    rng = np.random.default_rng(0)
    label = np.arange(48) % 3
    group = np.arange(48) // 12
    face = (rng.normal(size=(48, 6)) + label[:, None]).astype(np.float32)
    audio = (rng.normal(size=(48, 5)) - label[:, None]).astype(np.float32)
    file = tmp_path / "features.npz"
    np.savez(file, label=label, group=group, face=face, audio=audio)
    split = (
        "{class_path: datamodules.GroupSplit, init_args: {group: group, folds: [[0], [1, 2, 3]],"
        " val_groups: 1}}"
    )
    arguments = [
        "--config", TINY,
        "--data", "datamodules.FeatureFolds",
        "--data.init_args.file", str(file),
        "--data.init_args.arrays", "{face: face, audio: audio}",
        "--data.init_args.label", "label",
        "--data.init_args.split", split,
    ]  # fmt: skip
    run(["fit", *arguments, "--run.dir", str(tmp_path / "run")])
    whole = predictions(arguments, tmp_path / "run")
    np.savez(file, label=label, group=group, face=face)
    assert torch.equal(whole, predictions(arguments, tmp_path / "run"))
