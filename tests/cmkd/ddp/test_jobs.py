"""Jobs as users start them: by torchrun and by SLURM, killed and submitted again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.cmkd.ddp.launch import free_port
from tests.cmkd.setting import assert_same

ROOT = Path(__file__).parents[3]
#: Small enough to wait for, with epochs of 22 batches a rank.
ARGUMENTS = [
    *("--config", str(ROOT / "tests" / "cmkd" / "tiny.yaml")),
    *("--data.init_args.samples", "352"),
    *("--run.wandb", "offline"),
]


def start(command, folder, **variables):
    """Run a command in a folder to its end and return its exit status."""
    paths = [str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {k: v for k, v in os.environ.items() if k != "WANDB_MODE"}
    environment |= {"PATH": ":".join(paths), "PYTHONPATH": str(ROOT)} | variables
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    return done.returncode


def torchrun(folder, *arguments):
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "cmkd", "fit"]
    command += ["--run.dir", "runs/job", "--run.resume", "true"]
    command += ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    return start([*command, *arguments], folder)


def slurm(folder, *arguments):
    script = folder / "srun"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent}/srun.py "$@"\n')
    script.chmod(0o755)
    job = {
        "SLURM_JOB_NAME": "job",
        "SLURM_JOB_ID": "77",
        "SLURM_NNODES": "1",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODELIST": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    return start(["bash", str(ROOT / "experiments" / "slurm.sh"), *arguments], folder, **job)


def last(folder):
    return torch.load(folder / "runs" / "job" / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.slow
def test_a_job_killed_under_torchrun_goes_on_under_slurm_as_if_nothing_was(tmp_path, capsys):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    # In the student's stage, four batches before the ranks ask each other.
    term = {
        "class_path": "tests.cmkd.ddp.signals.TermOnce",
        "init_args": {"epoch": 2, "batch": 6, "folder": str(cut)},
    }
    killed = cut / "killed.yaml"
    killed.write_text(yaml.safe_dump({"trainer": {"callbacks": [term]}}))
    assert torchrun(whole, *ARGUMENTS) == 0
    assert torchrun(cut, *ARGUMENTS, "--config", str(killed)) != 0
    assert (last(cut)["epoch"], last(cut)["global_step"]) == (2, 2 * 22 + 10)
    assert slurm(cut, *ARGUMENTS) == 0
    assert "sync_dist" not in "".join(capsys.readouterr())  # nothing the user could change

    assert last(cut)["global_step"] == last(whole)["global_step"] == 4 * 22
    assert_same(last(whole)["state_dict"], last(cut)["state_dict"])
    runs = [path.name for path in cut.glob("runs/job/wandb/offline-run-*")]
    # offline-run-<time>-<id>
    assert len(runs) == 2
    assert len({run.split("-", 3)[3] for run in runs}) == 1
    # Files of one run, once for each time it was started.
    names = {path.name for path in (cut / "runs" / "job").iterdir()}
    assert {"config.yaml", "config-1.yaml", "metrics.csv", "metrics-1.csv"} <= names
    assert "config-2.yaml" not in names
