"""A small run with everything a checkpoint has to carry, for the tests that interrupt it."""

import json
import random
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback

from cmkd import CrossModalDistillation, Term
from cmkd.callbacks import StageCheckpoint
from cmkd.objectives import AdversarialConditionalEntropy, InfoNCE
from cmkd.schedules import Schedule
from tests.cmkd.setting import (
    batch_norm_encoders,
    make_data,
    make_model,
    make_trainer,
    mlp_encoders,
)

EPOCHS = 6
TEACHER_EPOCHS = 3
BATCHES = 12
SAVE_EVERY = 3


class Journal(Callback):
    """Notes which samples each batch had, and tells how far the run is.

    It draws from Python's and NumPy's generators as a user's augmentation may do.

    Args:
        path: a line a batch: [epoch, batch, indices and the numbers drawn].
        tell: called with the number of the batch in the run.
    """

    def __init__(self, path, tell=lambda number: None):
        self.path, self.tell = path, tell

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.tell(trainer.current_epoch * BATCHES + batch_idx)
        drawn = [random.random(), np.random.random()]  # noqa: NPY002
        with self.path.open("a") as file:
            line = [trainer.current_epoch, batch_idx, batch["index"].tolist() + drawn]
            file.write(json.dumps(line) + "\n")


def model(**overrides) -> CrossModalDistillation:
    """Queues, critics, BatchNorm, dropout, schedule, clipping: all that has a state."""
    information = Term(partial(InfoNCE, dim=8, queue_size=24), 0.1)
    with_auxiliary = Term(partial(InfoNCE, source="auxiliary", dim=8), 0.1)
    adversarial = Term(partial(AdversarialConditionalEntropy, width=16, noise_dim=4), 0.1)
    arguments = {
        "encoders": batch_norm_encoders(),
        "teacher_epochs": TEACHER_EPOCHS,
        "teacher_terms": {"mi_ts": information, "mi_ta": with_auxiliary},
        "student_terms": {"mi_ts": information, "h_ts": adversarial},
        "dropout": 0.2,
        "schedule": Schedule(warmup_epochs=1),
        "gradient_clip_norm": 1.0,
    }
    return make_model(**(arguments | overrides))


def without_buffers() -> dict[str, object]:
    """Return arguments of a model none of whose buffers moves in a forward."""
    information = Term(partial(InfoNCE, dim=8), 0.1)
    return {
        "encoders": mlp_encoders(),
        "teacher_terms": {"mi_ts": information},
        "student_terms": {"mi_ts": information},
    }


def checkpoints(folder) -> Path:
    return Path(folder) / "checkpoints"


def last(folder) -> Path:
    return checkpoints(folder) / "last.ckpt"


def fit(folder, callbacks=(), every=SAVE_EVERY, max_epochs=EPOCHS, data=None, **overrides):
    """Begin the run, or go on from its last checkpoint where there is one."""
    checkpoint = StageCheckpoint(dirpath=str(checkpoints(folder)), every_n_train_steps=every)
    trainer = make_trainer(
        folder, max_epochs, enable_checkpointing=True, callbacks=[checkpoint, *callbacks]
    )
    resumed = str(last(folder)) if last(folder).exists() else None
    # As `seed_everything` does; a resumed run goes on with its checkpoint's.
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    data = data or make_data(samples=8 * BATCHES, absent_every=3)
    trainer.fit(model(**overrides), datamodule=data, ckpt_path=resumed)
    return trainer


def flat(value, name="") -> dict[str, object]:
    """Return the leaves of nested dicts and lists by their paths."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {name: value}
    return {
        path: leaf for key, inner in items for path, leaf in flat(inner, f"{name}/{key}").items()
    }


def carried(path) -> dict[str, object]:
    """Return everything of a checkpoint that a run goes on with, but for where its files are."""
    saved = torch.load(path, weights_only=True)
    callbacks = {
        key: value
        for state in saved["callbacks"].values()
        for key, value in state.items()
        if "path" not in key and key not in ("best_k_models",)
    }
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "cmkd", "epoch", "global_step")
    return flat({part: saved[part] for part in parts} | {"callbacks": callbacks})


def assert_equal(expected, found) -> None:
    """Every leaf is the same, tensors bit by bit."""
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, found[name]), name
        else:
            assert value == found[name], name


def batches(folder) -> dict[tuple[int, int], set[tuple[float, ...]]]:
    """Return by (epoch, batch) what any attempt of a run saw and drew there."""
    seen: dict[tuple[int, int], set[tuple[float, ...]]] = {}
    for line in (Path(folder) / "journal").read_text().splitlines():
        epoch, batch, indices = json.loads(line)
        seen.setdefault((epoch, batch), set()).add(tuple(indices))
    return seen
