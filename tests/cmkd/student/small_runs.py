"""Small runs of the command line, for the tests of what becomes of their students."""

from pathlib import Path

import torch

from cmkd.cli import run
from tests.datamodules.feature_files import actor_arrays, save
from tests.datamodules.media_files import write_ucf_layout

TINY = str(Path(__file__).parent.parent / "tiny.yaml")
VIDEO = "{class_path: cmkd.networks.SmallVideoNet, init_args: {width: 8}}"
AUDIO = (
    "{class_path: cmkd.networks.AudioCNN, init_args: {sample_rate: 16000, width: 8, n_mels: 16}}"
)
SPEECH = "{class_path: cmkd.networks.GRUEncoder, init_args: {in_features: 3, width: 8}}"


def clip_arguments(folder: Path, student: str = "[video, audio]") -> list[str]:
    """Clips of three classes, those of Bowling without sound, several windows each."""
    root, lists = write_ucf_layout(folder, silent=["Bowling"])
    auxiliary = {"[video]": "[audio]", "[audio]": "[video]"}.get(student, "[]")
    return [
        "--config", TINY,
        "--data", "datamodules.UCF101",
        "--data.init_args.root", str(root),
        "--data.init_args.list_folder", str(lists),
        "--data.init_args.frames", "4",
        "--data.init_args.resize", "[32, 40]",
        "--data.init_args.size", "32",
        "--data.init_args.eval_stride", "4",
        "--data.init_args.val_fraction", "0.3",
        "--model.student_modalities", student,
        "--model.auxiliary_modalities", auxiliary,
        "--model.encoders", f"{{video: {VIDEO}, audio: {AUDIO}}}",
        "--model.teacher_terms", "null",
        "--model.student_terms", "null",
        "--model.teacher_epochs", "1" if auxiliary != "[]" else "0",
        "--trainer.max_epochs", "2" if auxiliary != "[]" else "1",
    ]  # fmt: skip


def feature_arguments(folder: Path) -> list[str]:
    """Vectors and sequences of six actors in an .npz file."""
    file = save(folder / "actors.npz", **actor_arrays())
    return [
        "--config", TINY,
        "--data", "datamodules.FeatureFolds",
        "--data.init_args.file", file,
        "--data.init_args.arrays", "{face: face_au, speech: speech, audio: audio_mfcc}",
        "--data.init_args.label", "emotion",
        "--data.init_args.split",
        "{class_path: datamodules.GroupSplit, init_args: {group: actor, val_groups: 1,"
        " folds: [[1, 2], [3, 4], [5, 6]]}}",
        "--model.student_modalities", "[face, speech]",
        "--model.auxiliary_modalities", "[audio]",
        "--model.encoders",
        "{face: {class_path: cmkd.networks.MLP, init_args: {in_features: 4, width: 16}},"
        f" speech: {SPEECH},"
        " audio: {class_path: cmkd.networks.MLP, init_args: {in_features: 6, width: 16}}}",
    ]  # fmt: skip


def fit(arguments: list[str], folder: Path) -> Path:
    """Train, and return the last checkpoint."""
    run(["fit", *arguments, "--run.dir", str(folder)])
    return folder / "checkpoints" / "last.ckpt"


def evaluated(arguments: list[str], checkpoint: Path):
    """Return the test dataset, and by sample the mean probabilities and embedding of evaluation."""
    given = ["--ckpt_path", str(checkpoint), "--return_predictions", "true"]
    again = run(["predict", *arguments, *given])
    batches = again.trainer.predict(again.model, again.datamodule, ckpt_path=str(checkpoint))
    joined = {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}
    means = {
        int(number): {
            key: joined[key][joined["index"] == number].mean(0)
            for key in ("prediction", "embedding")
        }
        for number in joined["index"].unique()
    }
    return again.datamodule.dataset("test"), means
