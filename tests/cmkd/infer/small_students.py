"""Students that have learned nothing, saved as ``cmkd export`` saves them, and clips for them."""

from pathlib import Path

import torch

from cmkd import Student
from cmkd.preprocessing import Preprocessing
from cmkd.student import save_student
from cmkd.student.architecture import Architecture
from datamodules.clip_preprocessing import ClipPreprocessing
from datamodules.feature_preprocessing import FeaturePreprocessing
from tests.datamodules.media_files import write_clip

NAMES = ["Archery", "Bowling", "Diving"]
VIDEO = {"class_path": "cmkd.networks.SmallVideoNet", "init_args": {"width": 8}}
AUDIO = {
    "class_path": "cmkd.networks.AudioCNN",
    "init_args": {"sample_rate": 16_000, "width": 8, "n_mels": 16},
}
FACE = {"class_path": "cmkd.networks.MLP", "init_args": {"in_features": 4, "width": 8}}
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}


def clip_reading(*modalities: str, eval_stride: int = 8) -> ClipPreprocessing:
    kinds = {name: name for name in modalities}
    return ClipPreprocessing(kinds, frames=4, resize=(32, 40), size=32, eval_stride=eval_stride)


def feature_reading() -> FeaturePreprocessing:
    mean, std = torch.full((4,), 5.0).double(), torch.full((4,), 2.0).double()
    return FeaturePreprocessing({"face": [4]}, {"face": mean}, {"face": std})


def save(
    folder: Path, preprocessing: Preprocessing, task: str = "classification", seed: int = 0
) -> Path:
    """Save a student of the preprocessing's modalities and return the path of its weights."""
    known = {"video": VIDEO, "audio": AUDIO, "face": FACE}
    architecture = Architecture.read(
        {
            "encoders": {name: known[name] for name in preprocessing.shapes},
            "fusion": "cmkd.networks.Concatenation",
            "embedding_dim": 8,
            "num_outputs": 1 if task == "regression" else len(NAMES),
            "dropout": 0.0,
        },
        "test",
    )
    torch.manual_seed(seed)
    network = architecture.build("test", ())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in network.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    names = NAMES if task == "classification" else None
    return save_student(Student(network, preprocessing, names, task), architecture, folder)


def write_clips(folder: Path) -> list[Path]:
    """Write clips of plain colours, two of them in folders below."""
    paths = [folder / "a red.mp4", folder / "sub" / "grün.mp4", folder / "sub" / "more" / "b,=.mp4"]
    for path, colour in zip(paths, COLOURS.values(), strict=True):
        write_clip(path, colour=lambda frame, colour=colour: tuple(c + frame for c in colour))
    return paths
