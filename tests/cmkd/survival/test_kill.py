"""A run that is killed without warning, again and again, ends where the whole run ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cmkd.survival.run import (
    BATCHES,
    EPOCHS,
    TEACHER_EPOCHS,
    Journal,
    assert_equal,
    batches,
    carried,
    checkpoints,
    fit,
    last,
)

ROOT = Path(__file__).parents[3]
KILLS = 20


def killed(folder, kills, seed):
    """Run with kills in between; return the batch and the files at each of them."""
    command = [sys.executable, "-m", "tests.cmkd.survival.kill", str(folder), str(kills), str(seed)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=540, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def whole(folder):
    folder.mkdir(parents=True)
    fit(folder, [Journal(folder / "journal")])
    return folder


@pytest.mark.slow
def test_twenty_kills_at_random_moments_of_both_stages_change_nothing(tmp_path):
    record = killed(tmp_path / "killed", KILLS, seed=0)
    assert len(record) == KILLS
    first_of_student = TEACHER_EPOCHS * BATCHES
    in_teacher_stage = sum(batch < first_of_student for batch, _ in record)
    assert 5 <= in_teacher_stage <= KILLS - 5
    folder = whole(tmp_path / "whole")
    for name in ("last.ckpt", "best.ckpt"):
        assert_equal(
            carried(checkpoints(folder) / name), carried(checkpoints(tmp_path / "killed") / name)
        )
    # Every attempt saw the same samples in the same batch.
    assert batches(tmp_path / "killed") == batches(folder)
    assert len(batches(folder)) == EPOCHS * BATCHES
    # Nothing that the kills left stays.
    names = {path.name for path in last(tmp_path / "killed").parent.iterdir()}
    assert names == {"best.ckpt", "last.ckpt"}
