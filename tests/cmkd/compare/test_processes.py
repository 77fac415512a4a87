"""``cmkd compare`` as a process of its own, with others: interrupted, killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cmkd.compare.setting import compare, records, rows, write
from tests.fake_data import FakeData

REPOSITORY = Path(__file__).parents[3]


def start(folder, path, *more):
    command = [sys.executable, "-m", "cmkd", "compare", "--config", str(path)]
    return subprocess.Popen(
        [*command, "--out", str(folder / "out"), *more],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # A shell that runs the tests in the background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_comparison_goes_on_where_it_stopped(tmp_path, jobs):
    path = write(tmp_path, "none", "kd")
    process = start(tmp_path, path, "--seeds", "0..49", "--jobs", jobs)
    out = tmp_path / "out"
    deadline = time.monotonic() + 120
    while len(list(out.glob("runs/*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors
    assert "Traceback" not in printed + errors
    before = records(out)
    assert 3 <= len(before) < 200
    assert not [p for p in out.rglob(".*") if not p.name.endswith(".lock")]
    compare(tmp_path, "--seeds", "0..1", path=path)
    assert before.items() <= records(out).items()
    assert len(rows(out)) == 8


@pytest.mark.slow
def test_runs_in_several_processes_come_out_as_in_one(tmp_path):
    path = write(tmp_path, "none", "kd")
    here = compare(tmp_path, "--seeds", "0", path=path)
    (tmp_path / "two").mkdir()
    process = start(tmp_path / "two", path, "--seeds", "0", "--jobs", "2")
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert printed.count("done (") == 4
    without = [{**row, "seconds": ""} for row in rows(here)]
    assert [{**row, "seconds": ""} for row in rows(tmp_path / "two" / "out")] == without


class KillsItsProcess(FakeData):
    """Data that ends the process as the system does when memory is short."""

    def build_dataset(self, split, modalities):
        if self.samples == 40:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().build_dataset(split, modalities)


@pytest.mark.slow
def test_a_process_that_dies_fails_its_run_alone(tmp_path):
    data = {"data.class_path": "tests.cmkd.compare.test_processes.KillsItsProcess"}
    path = write(tmp_path, overrides=data)
    process = start(tmp_path, path, "--seeds", "0..1", "--jobs", "2")
    printed, errors = process.communicate(timeout=180)
    assert process.returncode == 1, errors
    assert printed.count("ended with code -9; was it short of memory?") == 4
    assert "4 failed runs" in printed
    assert [(row["fold"], row["seed"]) for row in rows(tmp_path / "out")] == [
        ("24", "0"), ("24", "1"), ("24", "0"), ("24", "1"),
    ]  # fmt: skip
