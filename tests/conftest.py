"""Settings of all tests."""

import os

import pytest
import torch

# Small tensors: threads of several tests, workers and ranks would only wait for each other.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# Starting W&B takes a second; the tests that look at it ask for it.
os.environ["WANDB_MODE"] = "disabled"


@pytest.fixture(autouse=True)
def _quiet_lightning(caplog):
    """Leave Lightning's greetings out of the captured output."""
    caplog.set_level("WARNING", logger="lightning.pytorch")
