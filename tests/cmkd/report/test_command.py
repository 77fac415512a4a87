"""``cmkd report`` says what is missing."""

import sys

import pytest

from cmkd.main import main as cmkd
from cmkd.report.command import main


def refused(capsys, *args) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(arg) for arg in args])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("cmkd report: error: ")
    return error


def test_a_folder_that_is_missing_or_empty_or_foreign_is_named(tmp_path, capsys):
    assert f"there is no folder '{tmp_path / 'gone'}'" in refused(capsys, tmp_path / "gone")
    assert "is empty: it has neither config.yaml" in refused(capsys, tmp_path)
    (tmp_path / "photo.jpg").touch()
    assert "is no folder of cmkd: it has neither" in refused(capsys, tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_run_without_metrics_and_a_config_of_something_else_are_refused(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("model: {}\ndata: {}\n")
    assert "has no metrics.csv" in refused(capsys, tmp_path)
    (tmp_path / "metrics.csv").write_text("epoch,step\n")
    (tmp_path / "config.yaml").write_text("services: [web]\n")
    assert "config.yaml has no 'model'" in refused(capsys, tmp_path)


def test_a_folder_of_runs_lists_them(tmp_path, capsys):
    for name in ("kd", "amid"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    assert "holds 2 runs; name one of them: amid, kd" in refused(capsys, tmp_path)


def test_an_unfinished_comparison_is_told_how_to_go_on(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "0123456789ab.json").touch()
    assert "run the same `cmkd compare` again" in refused(capsys, tmp_path)


def test_arguments_that_do_not_fit_are_refused(compare_folder, run_folder, tmp_path, capsys):
    error = refused(capsys, compare_folder, "--data.batch_size", "3")
    assert "--data.batch_size" in error
    assert "is a comparison" in error
    gone = tmp_path / "gone.ckpt"
    assert f"--ckpt: there is no file '{gone}'" in refused(capsys, run_folder, "--ckpt", gone)


def test_it_is_a_command_of_cmkd(compare_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["cmkd", "report", str(compare_folder), "--out", str(tmp_path)]
    )
    cmkd()
    assert str(tmp_path / "report.html") in capsys.readouterr().out
    assert "<h1>out</h1>" in (tmp_path / "report.html").read_text()
