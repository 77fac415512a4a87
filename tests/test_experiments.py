"""Every YAML under experiments/ builds and runs a batch of each stage on fake data."""

from pathlib import Path

import pytest
import yaml

from cmkd.cli import run

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
METHODS = sorted((EXPERIMENTS / "methods").glob("*.yaml"))
BASES = sorted(set(EXPERIMENTS.rglob("*.yaml")) - set(METHODS))
LIGHT = EXPERIMENTS / "ravdess" / "base.yaml"


def shapes_of(config):
    """Return a shape for each modality that its encoder takes, read off the config."""
    data = config["data"].get("init_args", {})
    shapes = {}
    for name, encoder in config["model"]["encoders"].items():
        size = encoder.get("init_args", {})
        if "in_features" in size:
            shapes[name] = [size["in_features"]]
        elif "sample_rate" in size:
            shapes[name] = [1, size["sample_rate"] // 2]
        else:
            side = data.get("size", 48)
            shapes[name] = [3, data.get("frames", 16), side, side]
    return shapes


def fit_one_batch(base, tmp_path, *configs):
    shapes = shapes_of(yaml.safe_load(base.read_text()))
    arguments = ["fit", "--config", str(base)]
    for config in configs:
        arguments += ["--config", str(config)]
    return run([
        *arguments,
        "--run.dir", str(tmp_path),
        "--data", "tests.fake_data.FakeData",
        "--data.init_args.shapes", str(shapes),
        "--data.init_args.batch_size", "4",
        "--data.init_args.absent_every", "3",
        "--model.teacher_epochs", "1",
        "--trainer.max_epochs", "2",
        "--trainer.limit_train_batches", "1",
        "--trainer.limit_val_batches", "1",
        "--trainer.num_sanity_val_steps", "0",
        "--trainer.enable_progress_bar", "false",
        "--trainer.accelerator", "cpu",
    ])  # fmt: skip


def test_there_are_bases_and_methods():
    assert len(BASES) >= 3
    assert {path.stem for path in METHODS} >= {"none", "kd", "fitnets", "amid"}


@pytest.mark.parametrize("base", BASES, ids=lambda path: "-".join(path.parts[-2:]))
def test_a_base_runs(base, tmp_path):
    cli = fit_one_batch(base, tmp_path)
    assert cli.trainer.current_epoch == 2


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_a_method_runs(method, tmp_path):
    cli = fit_one_batch(LIGHT, tmp_path, method)
    assert cli.trainer.current_epoch == 2
    assert cli.model.stage.name == "student"
    wanted = yaml.safe_load(method.read_text())["model"]["student_terms"]
    assert cli.model.stage_terms["student"].weights.keys() - {"entropy"} == wanted.keys()


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_methods_differ_in_the_objective_part_alone(method):
    config = yaml.safe_load(method.read_text())
    assert config.keys() == {"model"}
    assert config["model"].keys() <= {"teacher_terms", "student_terms", "student_alone"}
