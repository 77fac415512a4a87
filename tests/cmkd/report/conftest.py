"""A small run and a small comparison, made once."""

from pathlib import Path

import pytest
import yaml

from cmkd.cli import run
from cmkd.compare.command import main as compare
from cmkd.report.command import main as report
from tests.cmkd.compare.setting import write

#: Clips of noise around their class, and vectors; the student sees the clips.
CONFIG = {
    "seed_everything": 0,
    "data": {
        "class_path": "tests.fake_data.FakeData",
        "init_args": {
            "shapes": {"video": [3, 5, 16, 16], "audio": [6]},
            "windows": 2,
            "classes": 8,
        },
    },
    "model": {
        "student_modalities": ["video"],
        "auxiliary_modalities": ["audio"],
        "encoders": {
            "video": {"class_path": "cmkd.networks.SmallVideoNet", "init_args": {"width": 8}},
            "audio": {"class_path": "cmkd.networks.MLP", "init_args": {"in_features": 6}},
        },
        "embedding_dim": 8,
        # Too slow for a student that makes no mistakes.
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.0003}},
        "teacher_epochs": 1,
        "teacher_terms": {"mi_ts": {"weight": 0.1, "objective": "cmkd.objectives.InfoNCE"}},
        "student_terms": {
            "mi_ts": {"weight": 0.1, "objective": "cmkd.objectives.InfoNCE"},
            "h_ts": {
                "weight": 0.1,
                "objective": "cmkd.objectives.AdversarialConditionalEntropy",
            },
        },
    },
    "trainer": {
        "max_epochs": 3,
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 2,
    },
}


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("runs")
    config = folder / "experiment.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    run(["fit", "--config", str(config), "--run.dir", str(folder / "run")])
    return folder / "run"


@pytest.fixture(scope="session")
def compare_folder(tmp_path_factory) -> Path:
    """The folder of a comparison of two methods over two folds and two seeds."""
    folder = tmp_path_factory.mktemp("comparison")
    out = folder / "out"
    compare(["--config", str(write(folder)), "--seeds", "0..1", "--out", str(out)])
    return out


@pytest.fixture(scope="session")
def reports(run_folder, compare_folder, tmp_path_factory) -> dict[str, Path]:
    """The reports of both, as the command writes them."""
    out = tmp_path_factory.mktemp("reports")
    report([str(run_folder), "--out", str(out / "run"), "--embedding", "tsne"])
    report([str(compare_folder), "--out", str(out / "compare")])
    return {name: out / name / "report.html" for name in ("run", "compare")}
