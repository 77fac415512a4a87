"""What a run writes down, read back from the files."""

import csv
import json
import math
import time
from pathlib import Path

import pytest

from cmkd.cli import run
from cmkd.runs import RunOptions, default_loggers, run_folder
from tests.cmkd.wandb_files import name_of, read_records, read_wandb

TINY = str(Path(__file__).with_name("tiny.yaml"))

TEACHER_STAGE = {
    "train/teacher_loss",
    "train/teacher_accuracy",
    "train/auxiliary_loss",
    "train/student_loss",
    "train/student_accuracy",
    "train/mi_ts",
    "train/mi_ts_bound",
    "train/mi_ts_ceiling",
    "train/mi_ta",
    "train/mi_ta_bound",
    "train/learning_rate",
    "val/teacher_accuracy",
    "val/auxiliary_accuracy",
}
STUDENT_STAGE = {
    "train/student_loss",
    "train/student_accuracy",
    "train/mi_ts_bound",
    "train/h_ts",
    "train/h_ts_accuracy",
    "train/h_ts_critic_loss",
    "train/entropy_nats",
    "val/student_accuracy",
    "val/student_macro_f1",
    "val/student_unweighted_accuracy",
}


# What W&B has of both stages, where it differs: its sections are the names' first parts.
PANELS = {
    "stage/epoch",
    "stage/number",
    "val/teacher_accuracy",
    "val/auxiliary_accuracy",
    "val/student_accuracy",
    "train/teacher_loss",
    "train/student_accuracy",
    "term/mi_ts",
    "term/mi_ta",
    "term/h_ts",
    "information/mi_ts_bound",
    "information/mi_ts_ceiling",
    "information/mi_ta_bound",
    "information/teacher_beyond_student",
    "conditional_entropy/entropy_nats",
    "discriminator/h_ts_accuracy",
    "discriminator/h_ts_critic_loss",
    "gradient_norm/all",
    "gradient_norm/teacher",
    "gradient_norm/auxiliary",
    "gradient_norm/student",
    "lr/networks",
    "lr/critics",
    "throughput/samples_per_second",
    "throughput/loader_wait",
}
FIGURES = {
    "teacher_confusion_matrix",
    "teacher_class_accuracy",
    "teacher_retrieval",
    "student_confusion_matrix",
    "student_class_accuracy",
    "student_retrieval",
    "embedding_map",
    "input_samples",
    "information",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logged")
    run(
        [
            "fit",
            "--config",
            TINY,
            "--run.dir",
            str(folder),
            "--run.wandb",
            "offline",
            "--run.tensorboard",
            "true",
            # Another one than that of every fit, which tiny.yaml switches off.
            "--trainer.callbacks",
            "[{class_path: cmkd.callbacks.Dashboard, init_args: {time_share: 1.0}}]",
            "--model.gradient_clip_norm",
            "1",
        ]
    )
    import wandb

    wandb.finish()
    return folder


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_csv_holds_every_term_and_metric_of_both_stages(folder):
    rows = rows_of(folder)
    by_epoch = {}
    for row in rows:
        if "epoch" in row:
            by_epoch.setdefault(int(row["epoch"]), set()).update(row)
    assert by_epoch[0] >= TEACHER_STAGE | {"train/gradient_norm"}
    assert by_epoch[3] >= STUDENT_STAGE | {"train/gradient_norm"}
    assert not by_epoch[3] & {"train/teacher_loss", "val/teacher_accuracy"}


def test_bounds_stay_below_their_ceiling_of_log_n(folder):
    rows = [row for row in rows_of(folder) if "train/mi_ts_bound" in row]
    assert len(rows) == 8  # two a epoch: every second step
    for row in rows:
        assert float(row["train/mi_ts_ceiling"]) == pytest.approx(math.log(8))
        assert float(row["train/mi_ts_bound"]) < float(row["train/mi_ts_ceiling"])


def test_wandb_offline_holds_config_and_metrics(folder):
    config, rows = read_wandb(folder)
    assert config["config"]["model"]["student_terms"]["h_ts"]["weight"] == 0.1
    assert config["config"]["data"]["class_path"] == "tests.fake_data.FakeData"
    assert config["config"]["seed_everything"] == 0
    logged = set().union(*rows)
    assert logged >= PANELS
    # Nothing of the training log is left where W&B would show it in one heap.
    left = {name for name in logged if name.startswith("train/")}
    assert all(name.startswith(("train/student", "train/teacher", "train/auxil")) for name in left)
    assert not {name for name in logged if "/" not in name and not name.startswith("_")}


def test_wandb_knows_the_stage_of_each_epoch(folder):
    numbers = [row["stage/number"] for row in read_wandb(folder)[1] if "stage/number" in row]
    assert numbers == ["0", "0", "1", "1"]


def test_figures_are_files_and_images_in_wandb(folder):
    drawn = {path.stem for path in folder.glob("figures/epoch_*/*.png")}
    assert drawn == FIGURES
    images = {}
    for row in read_wandb(folder)[1]:
        images |= {name: value for name, value in row.items() if name.startswith("figures/")}
    kinds = {n.removesuffix("/_type"): v for n, v in images.items() if n.endswith("/_type")}
    assert kinds == {f"figures/{name}": '"images/separated"' for name in FIGURES}
    (run,) = folder.glob("wandb/offline-run-*")
    for name in kinds:
        (file,) = json.loads(images[f"{name}/filenames"])
        assert (run / "files" / file).is_file()


def test_the_best_checkpoint_is_an_artifact_with_its_config(folder):
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    records = [r for r in read_records(path) if r.WhichOneof("record_type") == "artifact"]
    (artifact,) = [r.artifact for r in records if r.artifact.type == "model"]
    assert "best" in artifact.aliases
    files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    # Where they are: nothing is copied.
    assert files == {
        "best.ckpt": folder / "checkpoints" / "best.ckpt",
        "config.yaml": folder / "config.yaml",
    }
    assert json.loads(artifact.metadata)["monitor"] == "val/student_accuracy"


def test_the_summary_keeps_the_best_of_the_monitored_metrics(folder):
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    summaries = {
        record.metric.name: record.metric.summary
        for record in read_records(path)
        if record.WhichOneof("record_type") == "metric"
    }
    assert summaries["val/student_accuracy"].max
    assert summaries["val/teacher_accuracy"].max


def test_tensorboard_has_the_metrics_and_the_figures_where_asked_for(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = events.Tags()
    assert set(tags["images"]) == {f"figures/{name}" for name in FIGURES}
    assert set(tags["scalars"]) >= TEACHER_STAGE | STUDENT_STAGE | {"gradient_norm/student"}


def test_wandb_never_asks_for_a_key(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ValueError, match=r"run\.wandb is 'online'.*wandb login.*offline"):
        default_loggers(RunOptions(wandb="online"), tmp_path)


def test_wandb_mode_of_the_environment_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert len(default_loggers(RunOptions(), tmp_path)) == 1


def test_a_resumed_run_goes_on_in_the_same_wandb_run(tmp_path):
    import wandb

    folder = tmp_path / "some" / "run"
    arguments = ["fit", "--config", TINY, "--run.wandb", "offline"]
    run([*arguments, "--run.dir", str(folder), "--trainer.max_epochs", "3"])
    wandb.finish()
    time.sleep(1.1)  # W&B names its files by the second.
    run([*arguments, "--ckpt_path", str(folder / "checkpoints" / "last.ckpt")])
    wandb.finish()
    identities, steps = [], []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        records = read_records(path)
        identities += [r.run.run_id for r in records if r.WhichOneof("record_type") == "run"]
        items = [item for record in records for item in record.history.item]
        steps.append([int(i.value_json) for i in items if name_of(i) == "trainer/global_step"])
    assert len(steps) == 2
    assert len(set(identities)) == 1
    assert min(steps[1]) > max(steps[0]) - 4  # epochs of four batches
    assert max(steps[1]) > max(steps[0])


def test_an_alert_is_kept_with_an_offline_run(tmp_path):
    import wandb

    logger = default_loggers(RunOptions(wandb="offline"), tmp_path)[1]
    logger.alert("weak teacher", "its metric fell")
    wandb.finish()
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    records = [r for r in read_records(path) if r.WhichOneof("record_type") == "alert"]
    assert [record.alert.text for record in records] == ["its metric fell"]


def test_the_wandb_run_of_a_folder_is_the_same_by_any_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options, folders = RunOptions(wandb="offline"), (Path("a"), tmp_path / "a")
    relative, absolute = (default_loggers(options, folder)[1] for folder in folders)
    assert relative.version == absolute.version


def test_a_run_is_named_after_its_configs():
    options = RunOptions(root="out")
    configs = ["experiments/ravdess/base.yaml", "/x/experiments/methods/kd.yaml"]
    folder = run_folder(options, configs, None)
    assert folder.parent == Path("out/ravdess-base_methods-kd")
    assert run_folder(options, ["mine.yaml"], None).parent == Path("out/mine")
    assert run_folder(options, configs, "out/x/y/checkpoints/last.ckpt") == Path("out/x/y")
    assert run_folder(RunOptions(dir="here"), configs, "out/x/checkpoints/a.ckpt") == Path("here")
