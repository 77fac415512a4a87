"""When a rank dies or hangs, the others end within a minute and leave a checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cmkd.checkpoints import read_checkpoint

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests" / "cmkd" / "tiny.yaml"
#: Seconds within which the processes have to be gone.
LIMIT = 60
LIGHTNING = [sys.executable, "-m", "cmkd"]
TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "cmkd"),
]


def job(launcher, folder, rank, how, timeout=None):
    """Run a job of two ranks to its end; return what it printed and the seconds since the death."""
    marker = folder / "marker"
    dies = {
        "class_path": "tests.cmkd.survival.dying.Dies",
        "init_args": {"rank": rank, "how": how, "epoch": 2, "batch": 5, "marker": str(marker)},
    }
    strategy = {
        "class_path": "lightning.pytorch.strategies.DDPStrategy",
        "init_args": {"timeout": timeout} if timeout else {},
    }
    config = {
        "trainer": {"devices": 2, "strategy": strategy, "callbacks": [dies]},
        "checkpoint": {"every_n_train_steps": 2},
        "run": {"dir": str(folder / "run")},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(config))
    # 8 batches a rank and epoch.
    arguments = ["--config", str(TINY), "--config", str(folder / "job.yaml")]
    arguments += ["--data.init_args.samples", "128"]
    process = subprocess.Popen(
        [*launcher, "fit", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    if how == "stop":
        # What hangs is left to the cluster; here it has to go.
        process.wait(timeout=500)
        os.kill(int(marker.read_text().split()[1]), signal.SIGKILL)
    # Until the last process has closed its output.
    printed, _ = process.communicate(timeout=500)
    return process.returncode, printed, time.time() - float(marker.read_text().split()[0])


def check(folder, printed, rank):
    """The checkpoint is whole, and rank 0, where it is alive, says how to go on from it."""
    path = folder / "run" / "checkpoints" / "last.ckpt"
    saved = read_checkpoint(str(path))
    # At least that of step 20, the fourth of the third epoch.
    assert saved["global_step"] >= 20
    tensors = saved["state_dict"].values()
    assert all(value.isfinite().all() for value in tensors if value.is_floating_point())
    assert rank == 0 or f"go on with --ckpt_path {path}" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "rank", "how"),
    [
        (LIGHTNING, 1, "kill"),
        (LIGHTNING, 0, "kill"),
        (LIGHTNING, 1, "raise"),
        (TORCHRUN, 1, "kill"),
    ],
    ids=["rank 1 dies", "rank 0 dies", "rank 1 raises", "rank 1 dies under torchrun"],
)
def test_the_other_rank_ends_within_a_minute(tmp_path, launcher, rank, how):
    status, printed, seconds = job(launcher, tmp_path, rank, how)
    assert status != 0, printed
    assert seconds < LIMIT, printed
    check(tmp_path, printed, rank)


@pytest.mark.slow
def test_a_rank_that_hangs_is_waited_for_as_long_as_the_strategy_says(tmp_path):
    status, printed, seconds = job(LIGHTNING, tmp_path, 1, "stop", timeout="0:00:30")
    assert status != 0, printed
    assert 30 <= seconds < 30 + LIMIT, printed
    check(tmp_path, printed, 1)
