"""``cmkd prepare`` as a user meets it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from lightning.pytorch import LightningDataModule

from cmkd.main import main as cmkd
from cmkd.prepare import main
from cmkd.prepare_arguments import choose_modalities, find_class, known_names
from datamodules import UCF101
from datamodules.media_index import INDEX_NAME
from tests.datamodules.media_files import write_ucf_layout

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def layout(tmp_path):
    return write_ucf_layout(tmp_path / "dätä", ["Archery", "Bowling"], train_groups=2)


def arguments(layout, name="ucf101", *more):
    return [name, "--root", str(layout[0]), "--list_folder", str(layout[1]), *more]


def refused(*args):
    with pytest.raises(SystemExit) as stopped:
        main(args)
    return str(stopped.value.code)


def test_the_index_lies_beside_the_data_and_counts_are_printed(layout, capsys):
    main(arguments(layout))
    printed = capsys.readouterr().out
    assert (layout[0] / INDEX_NAME).is_file()
    assert "12 of 12 files are whole" in printed
    for line in ("train: ", "val: ", "test: 4 samples", "2 classes"):
        assert line in printed
    data = UCF101(str(layout[0]), str(layout[1]), ["audio"], ["video", "image"])
    data.setup("fit")
    data.setup("test")
    assert len(data.media_index) == 12


def test_it_is_a_command_of_cmkd(layout, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cmkd", "prepare", *arguments(layout)])
    cmkd()
    assert "12 of 12 files" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:UCF101, .* clips cannot be read")
def test_broken_files_are_listed_with_the_reason_and_training_leaves_them_out(layout, capsys):
    broken = layout[0] / "Bowling" / "v_Bowling_g03_c02.mp4"
    broken.write_bytes(b"")
    main(arguments(layout))
    printed = "".join(capsys.readouterr().out.split())
    assert "11of12filesarewhole" in printed
    assert "itisempty(0bytes)" in printed
    assert broken.name in printed
    data = UCF101(
        str(layout[0]), str(layout[1]), ["video"], ["audio"], on_corrupt="skip", val_fraction=0.4
    )
    with pytest.warns(UserWarning, match=rf"1 of 8 clips cannot be read.*{broken.name}"):
        data.setup("fit")


def test_the_index_goes_elsewhere_where_root_cannot_be_written_to(layout, tmp_path, capsys):
    out = tmp_path / "elsewhere" / "index.csv"
    main(arguments(layout, "ucf101", "--out", str(out)))
    assert out.is_file()
    assert not (layout[0] / INDEX_NAME).exists()
    assert f"--data.init_args.index {out}" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_named_with_the_remedy_before_any_work(
    layout, capsys
):
    message = refused(*arguments(layout, "ucf101", "--out", "/proc/new/index.csv"))
    assert "/proc/new" in message
    assert "--out" in message
    assert "Checking" not in capsys.readouterr().out


def test_the_cache_is_estimated_then_written(layout, tmp_path, capsys):
    folder = tmp_path / "cache"
    options = ["--cache", str(folder), "--short_side", "24", "--sample_rate", "8000"]
    main(arguments(layout, "ucf101", *options))
    printed = capsys.readouterr().out
    assert printed.index("24 are to be made, about 0.00 GB") < printed.index("Caching")
    assert f"--data.init_args.cache {folder}" in printed
    small = {"frames": 4, "resize": (24, 32), "size": 16, "sample_rate": 8_000}
    data = UCF101(str(layout[0]), str(layout[1]), ["video"], ["audio"], cache=str(folder), **small)
    assert next(iter(data.test_dataloader()))["video"].shape == (4, 3, 4, 16, 16)
    main(arguments(layout, "ucf101", *options))
    assert "24 files are there, 0 are to be made" in capsys.readouterr().out


def test_no_room_for_the_cache_is_said_before_it_is_written(layout, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    message = refused(*arguments(layout, "ucf101", "--cache", str(tmp_path / "cache")))
    assert "no room" in message
    assert not list((tmp_path / "cache").rglob("*.mjpeg"))


def test_a_config_gives_the_data_and_the_command_line_wins(layout, tmp_path, capsys):
    config = {
        "data": {
            "class_path": "datamodules.UCF101",
            "init_args": {"root": "nowhere", "list_folder": str(layout[1]), "index": "old.csv"},
        },
        "model": {"student_modalities": ["audio"], "auxiliary_modalities": ["image"]},
    }
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(config))
    main(["--config", str(path), "--root", str(layout[0])])
    assert "12 of 12 files" in capsys.readouterr().out
    assert "nowhere" in refused("--config", str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [("model: {}", "no data.class_path"), ("- 1", "not a config"), ("a: [", "not YAML")],
)
def test_a_file_that_is_no_experiment_is_named(tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    assert message in refused("--config", str(path))
    assert "wrong.yaml" in refused("--config", str(path))
    assert "nowhere.yaml" in refused("--config", "nowhere.yaml")


def test_features_are_checked_and_counted_without_an_index(tmp_path, capsys):
    count = 60
    np.savez(
        tmp_path / "features.npz",
        face=np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32),
        audio=np.ones((count, 3), np.float32) * np.arange(count)[:, None],
        label=np.arange(count) % 3,
        group=np.arange(count) // 6,
    )
    config = {
        "class_path": "datamodules.FeatureFolds",
        "init_args": {
            "file": str(tmp_path / "features.npz"),
            "arrays": {"face": "face", "audio": "audio"},
            "label": "label",
            "split": {
                "class_path": "datamodules.GroupSplit",
                "init_args": {"group": "group", "folds": [[0, 1], list(range(2, 10))]},
            },
        },
    }
    (tmp_path / "features.yaml").write_text(yaml.safe_dump({"data": config}))
    main(["features", "--config", str(tmp_path / "features.yaml")])
    printed = capsys.readouterr().out
    assert "test: 12 samples" in printed
    assert "3 classes" in printed
    assert not list(tmp_path.glob("*.csv"))
    message = refused("--config", str(tmp_path / "features.yaml"), "--cache", str(tmp_path))
    assert "FeatureFolds has no media files" in message


def test_modalities_whose_files_are_not_given_are_left_out_and_said(layout, capsys):
    main(arguments(layout, "ucf51", "--classes", "[Archery, Bowling]"))
    printed = capsys.readouterr().out
    assert "left out: flow (UCF51.flow_folder" in printed
    assert "left out: audio_features (UCF51.audio_features" in printed
    assert "12 of 12 files are whole" in printed


def test_a_datamodule_that_knows_its_modalities_only_when_it_is_made_is_asked(tmp_path):
    class Late(LightningDataModule):
        def __init__(self, names, student_modalities, auxiliary_modalities):
            super().__init__()
            self.names = names
            assert self.offered_modalities == names
            if "flow" in auxiliary_modalities:
                raise ValueError("no flow here")

        @property
        def offered_modalities(self):
            return self.names

    names = ["face", "flow", "audio"]
    sides, left_out = choose_modalities(Late, {"names": names}, None, None)
    assert sides == {"student_modalities": ["face"], "auxiliary_modalities": ["audio"]}
    assert left_out == {"flow": "no flow here"}


@pytest.mark.parametrize("name", ["ucf51", "UCF51", "datamodules.UCF51"])
def test_a_datamodule_is_found_by_name_or_class_path(name):
    assert find_class(name).__name__ == "UCF51"


def test_every_declared_name_is_a_datamodule():
    assert {"ucf51", "activitynet", "iemocap", "features"} <= set(known_names())
    for name in known_names():
        assert issubclass(find_class(name), LightningDataModule)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ucf50", r"no datamodule 'ucf50'; did you mean 'ucf51'?"),
        ("iemcap", "did you mean 'iemocap'?"),
        ("datamodules.UCF52", "has no attribute 'UCF52'"),
        ("torch.nn.Linear", "not a LightningDataModule"),
    ],
)
def test_a_misspelt_name_suggests_the_nearest(name, message):
    assert message in refused(name, "--root", "x")


def test_without_a_name_the_names_are_listed(capsys):
    assert refused("--help") == "0"
    assert "ucf51" in capsys.readouterr().out
    assert refused() == "2"


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--rot", "x"], "rot"), (["--decode", "none"], "decode"), (["--split", "a"], "split")],
)
def test_a_wrong_argument_is_named(layout, capsys, more, message):
    refused(*arguments(layout, "ucf101", *more))
    assert message in capsys.readouterr().err


def test_a_root_without_files_is_named(layout, tmp_path):
    (tmp_path / "empty").mkdir()
    message = refused("ucf101", "--root", str(tmp_path / "empty"), "--list_folder", str(layout[1]))
    assert "12 of 12 listed clips" in message or "8 of 8 listed clips" in message


@pytest.mark.slow
def test_ctrl_c_says_that_it_goes_on_and_it_does(layout):
    code = (
        "import sys, time\n"
        "from datamodules import index_writer as w\n"
        "check = w.check_media\n"
        "w.check_media = lambda *one: (time.sleep(0.2), check(*one))[1]\n"
        "from cmkd.main import main\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "prepare", *arguments(layout, "ucf101", "--threads", "1")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        # A shell that runs the tests in the background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    journal = layout[0] / f"{INDEX_NAME}.journal"
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_text().count("\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "interrupted; the same command goes on" in error
    assert "Traceback" not in error
    main(arguments(layout))
    assert (layout[0] / INDEX_NAME).read_text().count("\n") == 13
