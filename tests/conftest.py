"""Settings of all tests."""

import os

import pytest
import torch

# Small tensors: threads of several tests, workers and ranks would only wait for each other.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("WANDB_MODE", "offline")


@pytest.fixture(autouse=True)
def _quiet_lightning(caplog):
    """Leave Lightning's greetings out of the captured output."""
    caplog.set_level("WARNING", logger="lightning.pytorch")
