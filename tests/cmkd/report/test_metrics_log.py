"""What was logged, read back."""

import pytest

from cmkd.report.metrics_log import MetricsLog


def write(folder, name, *lines):
    (folder / name).write_text("\n".join(["epoch,step,train/loss,val/accuracy", *lines]) + "\n")


def test_steps_within_an_epoch_stand_between_the_epochs(tmp_path):
    write(tmp_path, "metrics.csv", ",5,4.0,", "0,10,,0.5", "0,10,3.0,", ",15,2.0,", "1,20,,0.75")
    log = MetricsLog.read(tmp_path)
    assert log.series("train/loss") == ([0.5, 1.0, 1.5], [4.0, 3.0, 2.0])
    assert log.series("val/accuracy") == ([1.0, 2.0], [0.5, 0.75])
    assert log.last("val/accuracy") == 0.75
    assert log.last("val/other") is None
    assert log.by_epoch("val/") == {0: {"accuracy": 0.5}, 1: {"accuracy": 0.75}}


def test_accumulated_batches_are_counted_as_steps(tmp_path):
    write(tmp_path, "metrics.csv", ",10,4.0,", "0,10,,0.5")
    assert MetricsLog.read(tmp_path, accumulate=2).series("train/loss") == ([0.5], [4.0])


def test_a_resumed_run_replaces_what_its_first_part_had_after_the_checkpoint(tmp_path):
    write(tmp_path, "metrics-1.csv", "0,10,,0.1", ",15,9.0,", "1,20,,0.2")
    write(tmp_path, "metrics-2.csv", "1,20,,0.3", "2,30,,0.4")
    write(tmp_path, "metrics.csv", ",25,1.0,", "2,30,,0.5")
    log = MetricsLog.read(tmp_path)
    assert log.series("val/accuracy") == ([1.0, 2.0, 3.0], [0.1, 0.3, 0.5])
    assert log.series("train/loss") == ([1.5, 2.5], [9.0, 1.0])


def test_a_run_whose_first_stage_was_skipped_begins_where_it_began(tmp_path):
    write(tmp_path, "metrics.csv", ",5,4.0,", "12,10,,0.5")
    assert MetricsLog.read(tmp_path).series("train/loss") == ([12.5], [4.0])


def test_half_a_line_of_a_killed_run_is_left_out(tmp_path):
    write(tmp_path, "metrics.csv", "0,10,,0.5", "1")
    assert MetricsLog.read(tmp_path).series("val/accuracy") == ([1.0], [0.5])


def test_another_csv_is_refused_by_name(tmp_path):
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"metrics\.csv has no column 'step'"):
        MetricsLog.read(tmp_path)
    write(tmp_path, "metrics.csv", "0,10,,good")
    with pytest.raises(ValueError, match=r"metrics\.csv, line 2"):
        MetricsLog.read(tmp_path)
