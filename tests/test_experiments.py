"""Every YAML under experiments/ builds and runs a batch of each stage on fake data."""

import json
import os
from pathlib import Path

import pytest
import yaml

from cmkd.cli import run

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
COMPARISONS = sorted(EXPERIMENTS.rglob("*compare.yaml"))
METHODS = sorted(set((EXPERIMENTS / "methods").glob("*.yaml")) - set(COMPARISONS))
RETRIEVAL = EXPERIMENTS / "retrieval.yaml"
EVIDENCE = (EXPERIMENTS / "evidence").glob("*.yaml")
BASES = sorted(set(EXPERIMENTS.rglob("*.yaml")) - {*METHODS, *COMPARISONS, *EVIDENCE, RETRIEVAL})
GOLDEN = Path(__file__).parent / "golden.json"
LIGHT = EXPERIMENTS / "ravdess" / "base.yaml"
#: Methods that compare maps, which feature vectors do not have.
MAPS = {"attention_transfer": EXPERIMENTS / "quickstart.yaml"}


def shapes_of(config):
    """Return a shape for each modality that its encoder takes, read off the config."""
    data = config["data"].get("init_args", {})
    shapes = {}
    for name, encoder in config["model"]["encoders"].items():
        kind, size = encoder["class_path"].split(".")[-1], encoder.get("init_args", {})
        if kind in ("GRUEncoder", "TransformerEncoder"):
            shapes[name] = [7, size["in_features"]]
        elif "in_features" in size:
            shapes[name] = [size["in_features"]]
        elif "sample_rate" in size:
            shapes[name] = [1, size["sample_rate"] // 2]
        elif "n_mels" in size:
            shapes[name] = [1, size["n_mels"], 41]
        elif kind == "SmallImageNet":
            shapes[name] = [size.get("in_channels", 1), 28, 28]
        else:
            # Video networks take any size: smaller than the experiment's costs a tenth.
            side = min(data.get("size", 48), 56)
            shapes[name] = [3, min(data.get("frames", 16), 8), side, side]
    return shapes


def fit_one_batch(base, tmp_path, *configs, teacher_epochs=1, data=()):
    config = yaml.safe_load(base.read_text())
    shapes = shapes_of(config)
    regression = config["model"].get("task", {}).get("class_path", "").endswith("Regression")
    arguments = ["fit", "--config", str(base)]
    for config in configs:
        arguments += ["--config", str(config)]
    return run([
        *arguments,
        "--run.dir", str(tmp_path),
        "--run.figures", "0",
        "--data", "tests.fake_data.FakeData",
        "--data.init_args.shapes", str(shapes),
        "--data.init_args.batch_size", "4",
        "--data.init_args.absent_every", "3",
        "--data.init_args.regression", str(regression).lower(),
        *data,
        "--model.teacher_epochs", str(teacher_epochs),
        "--trainer.max_epochs", str(teacher_epochs + 1),
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


def test_a_base_becomes_a_retrieval_by_one_more_config(tmp_path):
    gallery = ["--data.init_args.gallery", "true"]
    cli = fit_one_batch(EXPERIMENTS / "quickstart.yaml", tmp_path, RETRIEVAL, data=gallery)
    best = cli.trainer.checkpoint_callback.best_model_path
    (values, _) = cli.trainer.test(cli.model, cli.datamodule, best, verbose=False)
    assert 0 <= values["test/student_recall_at_1"] <= values["test/student_recall_at_5"] <= 1


def terms_of(config):
    """Return the names of the student stage's terms, whichever way the config has them."""
    model = config["model"]
    stages = model.get("stages")
    terms = stages["student"].get("terms", {}) if stages else model["student_terms"]
    return set(terms)


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_a_method_runs(method, tmp_path):
    # Two epochs for the stages before the student's: some methods have two.
    cli = fit_one_batch(MAPS.get(method.stem, LIGHT), tmp_path, method, teacher_epochs=2)
    assert cli.trainer.current_epoch == 3
    assert cli.model.stage.name == "student"
    wanted = terms_of(yaml.safe_load(method.read_text()))
    assert cli.model.stage_terms["student"].weights.keys() - {"entropy"} == wanted
    check_golden(method.stem, cli.trainer.callback_metrics)


def check_golden(method, metrics):
    """Compare what the last step logged with the values written down; `make golden` writes them."""
    found = {name: float(value) for name, value in metrics.items() if name.startswith("train/")}
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if os.environ.get("CMKD_WRITE_GOLDEN"):
        golden[method] = {name: float(f"{value:.5g}") for name, value in sorted(found.items())}
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
        return
    assert found.keys() == golden[method].keys()
    # Another processor adds up in another order; a changed formula changes more than this.
    for name, value in golden[method].items():
        assert found[name] == pytest.approx(value, rel=2e-3, abs=2e-4), name


def test_the_quickstart_and_the_relational_variant_have_the_terms_of_amid():
    amid, relational, quickstart = (
        yaml.safe_load((EXPERIMENTS / path).read_text())["model"]
        for path in ("methods/amid.yaml", "methods/amid_relational.yaml", "quickstart.yaml")
    )
    assert {part: quickstart[part] for part in amid} == amid
    relation = relational["student_terms"].pop("relation")
    assert relation["objective"]["class_path"] == "cmkd.objectives.RKD"
    assert relational == amid


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_methods_differ_in_the_objective_part_alone(method):
    config = yaml.safe_load(method.read_text())
    assert config.keys() == {"model"}
    part = {"teacher_terms", "student_terms", "student_alone", "networks", "stages"}
    assert config["model"].keys() <= part
