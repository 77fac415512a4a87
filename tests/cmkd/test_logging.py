"""What a run writes down, read back from the files."""

import csv
import json
import math
import struct
from pathlib import Path

import pytest

from cmkd.cli import run
from cmkd.runs import RunOptions, default_loggers, run_folder

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


def wandb_records(path):
    """Yield the records of an offline run's file, which is laid out like a LevelDB log.

    Behind a header of 7 bytes come blocks of 32 KiB. A record's pieces each have a checksum (4
    bytes), a length (2) and a type (1): whole, first, middle, last.
    """
    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def read_wandb(folder):
    """Return config and history rows of the offline run below folder."""
    from wandb.proto import wandb_internal_pb2

    config, rows = {}, []
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    for data in wandb_records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for update in (*record.run.config.update, *record.config.update):
            config[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): item.value_json for item in items})
    return config, rows


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
    assert logged >= TEACHER_STAGE | STUDENT_STAGE


def test_tensorboard_is_written_where_asked_for(folder):
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))


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
    options, ids = RunOptions(wandb="offline", dir=str(tmp_path / "a" / "b")), []
    for _ in range(2):
        logger = default_loggers(options, run_folder(options, [], None))[1]
        ids.append(logger.version)
    assert ids[0] == ids[1]


def test_a_run_is_named_after_its_configs():
    options = RunOptions(root="out")
    configs = ["experiments/ravdess/base.yaml", "/x/experiments/methods/kd.yaml"]
    folder = run_folder(options, configs, None)
    assert folder.parent == Path("out/ravdess-base_methods-kd")
    assert run_folder(options, ["mine.yaml"], None).parent == Path("out/mine")
    assert run_folder(options, configs, "out/x/y/checkpoints/last.ckpt") == Path("out/x/y")
    assert run_folder(RunOptions(dir="here"), configs, "out/x/checkpoints/a.ckpt") == Path("here")
