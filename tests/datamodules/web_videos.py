"""Writes small trees as ActivityNet and VGGSound are found in practice, and runs an experiment."""

import json
from pathlib import Path

import av

from cmkd.cli import run
from datamodules import ActivityNet
from tests.datamodules.media_files import write_clip

ACTIVITIES = ("Zumba", "Archery", "Making a sandwich")
SOUNDS = ("playing piano", "bird chirping, tweeting", "dog barking")
#: 40 frames at 25 a second.
FRAMES, SECONDS = 40, 1.6


def remux(path: Path, target: Path) -> None:
    """Copy the tracks of a file into a container of another kind."""
    with av.open(str(path)) as source, av.open(str(target), "w") as copy:
        tracks = {track.index: copy.add_stream_from_template(track) for track in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                copy.mux(packet)


def entry(identity, subset, *annotations, duration=SECONDS):
    """An entry of ActivityNet's database; annotations as (begin, end, label)."""
    return {
        "duration": duration,
        "subset": subset,
        "resolution": "64x48",
        "url": f"https://www.youtube.com/watch?v={identity}",
        "annotations": [
            {"segment": [begin, end], "label": name} for begin, end, name in annotations
        ],
    }


def write_activitynet(folder: Path, training: int = 4, validation: int = 2) -> tuple[Path, Path]:
    """Write videos of some classes, each with two overlapping segments, and the annotation file.

    Args:
        folder: where to.
        training: training videos a class, every other one in Matroska.
        validation: validation videos a class; the third class has an entry without file among
            the testing ones.

    Returns:
        The root and the annotation file.
    """
    root = folder / "videos"
    database = {}
    for name in ACTIVITIES:
        for number in range(training + validation):
            identity = f"-{name[:2]}_{number:08d}"
            subset = "training" if number < training else "validation"
            path = write_clip(root / f"v_{identity}.mp4", FRAMES)
            if number % 2:
                remux(path, path.with_suffix(".mkv"))
                path.unlink()
            database[identity] = entry(identity, subset, (0.2, 0.8, name), (0.6, 1.4, name))
    database["_testing0001"] = entry("_testing0001", "testing")
    taxonomy = [{"parentId": None, "nodeName": "Root", "nodeId": 0}] + [
        {"parentId": 0, "nodeName": name, "nodeId": number, "parentName": "Root"}
        for number, name in enumerate(ACTIVITIES, start=1)
    ]
    annotations = folder / "activity_net.v1-3.min.json"
    content = {"database": database, "taxonomy": taxonomy, "version": "VERSION 1.3"}
    annotations.write_text(json.dumps(content))
    return root, annotations


def write_vggsound(folder: Path, training: int = 4, test: int = 2) -> tuple[Path, Path]:
    """Write clips, of every third video two, and the annotation file.

    Returns:
        The root and the annotation file.
    """
    root, lines = folder / "videos", []
    for label in SOUNDS:
        for number in range(training + test):
            video = f"{'-_a'[number % 3]}{label[:3]}{number:07d}"
            for start in (30, 1200) if number % 3 == 0 else (30,):
                write_clip(root / f"{video}_{start:06d}.mp4", frames=24)
                quoted = f'"{label}"' if "," in label else label
                part = "train" if number < training else "test"
                lines.append(f"{video},{start},{quoted},{part}\n")
    annotations = folder / "vggsound.csv"
    annotations.write_text("".join(sorted(lines)))
    return root, annotations


def fit_and_test(configs, root, annotations, folder):
    """Run ``cmkd fit`` and ``cmkd test`` of an experiment on a small tree.

    Returns:
        What each of the two commands left: the CLI object.
    """
    given = [f"--config={config}" for config in configs]
    given += [
        f"--run.dir={folder}",
        f"--data.init_args.root={root}",
        f"--data.init_args.annotations={annotations}",
        "--data.init_args.val_fraction=0.3",
        "--data.init_args.frames=4",
        "--data.init_args.resize=[24,32]",
        "--data.init_args.size=16",
        "--data.init_args.audio_seconds=0.5",
        "--data.init_args.eval_stride=4",
        "--data.init_args.max_windows=3",
        "--data.init_args.batch_size=5",
        "--data.init_args.num_workers=0",
        '--model.encoders={"video": {"class_path": "cmkd.networks.SmallVideoNet",'
        ' "init_args": {"width": 8}}, "audio": {"class_path": "cmkd.networks.AudioCNN",'
        ' "init_args": {"sample_rate": 16000, "width": 8}}}',
        "--model.embedding_dim=16",
        "--model.teacher_epochs=1",
        "--trainer.max_epochs=2",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]
    fitted = run(["fit", *given])
    tested = run(["test", *given, f"--ckpt_path={folder}/checkpoints/best.ckpt"])
    return fitted, tested


SMALL = {"frames": 4, "resize": (24, 32), "size": 16, "sample_rate": 8_000, "batch_size": 4}


def activitynet(tree, student=("video",), auxiliary=("audio",), **arguments):
    root, annotations = tree
    arguments = SMALL | {"val_fraction": 0.25} | arguments
    return ActivityNet(str(root), str(annotations), list(student), list(auxiliary), **arguments)
