"""What is measured of a student that learned by a form of H(T|S).

* D train, D val: accuracy of the discriminator over real and reconstructed pairs. Near 1 it is
  sure, near 0.5 it cannot tell the reconstruction.
* G train, G val: R^2 of the term's reconstruction, noise included.
* ridge val: R^2 of the teacher's embedding, each row standardised, predicted linearly from the
  student's (fitted on training samples). What the student's embedding holds of the teacher's.
* H train, H val: the Gaussian probe's bound on H(T|S), nats a dimension. The line "prior" has the
  bound of a Gaussian that knows nothing of S: H(T).
* accuracy: the student's, on validation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn.functional import layer_norm
from torch.utils.data import DataLoader

from cmkd import CrossModalDistillation
from cmkd.callbacks.ridge import Ridge, r_squared
from cmkd.compare.parser import build, parse_run
from cmkd.compare.plan import Run
from cmkd.compare.store import Store
from cmkd.compare.teacher import shared_teacher
from cmkd.objectives import (
    AdversarialConditionalEntropy,
    Objective,
    Probe,
    gaussian_conditional_entropy,
)
from cmkd.representation import Representation
from datamodules.base import CrossModalDataModule, Split

ROLES = ("student", "teacher")


@dataclass(frozen=True)
class Diagnosis:
    """What is measured of one run, as the module describes it. None: the term has no such thing."""

    key: str
    group: str
    method: str
    fold: str
    d_train: float | None
    d_val: float | None
    g_train: float | None
    g_val: float | None
    ridge_val: float
    h_train: float
    h_val: float
    prior: float
    accuracy: float


def diagnose(run: Run, store: Store) -> Diagnosis:
    """Train a run's student again and look into it.

    Raises:
        ValueError: when the comparison has not trained its teacher.
    """
    parsed = parse_run(run)
    teacher = shared_teacher(build(parsed))
    if teacher is None or not store.teacher(teacher.key).is_file():
        raise ValueError(
            f"{store.folder} has no teacher for '{run.name}': run its `cmkd compare` (--again "
            "if its code has changed since), or name its folder's folder with --runs"
        )
    # The probe draws nothing and pulls nothing: the student is the same as without it.
    built = build(
        parsed,
        model__teacher_checkpoint=str(store.teacher(teacher.key)),
        model__entropy_probe=True,
    )
    bare = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(**built.trainer | bare | {"num_sanity_val_steps": 0, "devices": 1})
    trainer.fit(built.model, datamodule=built.data)
    if not isinstance(built.data, CrossModalDataModule):
        raise TypeError(f"{type(built.data).__name__} is no CrossModalDataModule")
    model = built.model.eval()
    train, val = represent(model, built.data, "train"), represent(model, built.data, "val")
    objectives = model.stage.terms.by_name()
    probe = objectives.pop("entropy")
    assert isinstance(probe, Probe)  # noqa: S101 - for the type checker
    width = val.by_role["teacher"].embedding.shape[1]
    d_train, g_train = game(objectives.values(), train.by_role)
    d_val, g_val = game(objectives.values(), val.by_role)
    h_train, h_val = (
        float(probe.inner(part.by_role, {}).logs["nats"]) / width for part in (train, val)
    )
    guessed = val.by_role["student"].logits.argmax(dim=1)
    return Diagnosis(
        key=run.key,
        group=run.group,
        method=run.method,
        fold=run.fold,
        d_train=d_train,
        d_val=d_val,
        g_train=g_train,
        g_val=g_val,
        ridge_val=linear(train.by_role, val.by_role),
        h_train=h_train,
        h_val=h_val,
        prior=prior(train.by_role["teacher"].embedding, val.by_role["teacher"].embedding),
        accuracy=100 * float((guessed == val.label).double().mean()),
    )


@dataclass(frozen=True)
class Part:
    """A split's rows: label (N,) and representations by role, without hidden layers."""

    label: Tensor
    by_role: dict[str, Representation]


@torch.no_grad()
def represent(model: CrossModalDistillation, data: CrossModalDataModule, split: Split) -> Part:
    """Return what student and teacher make of a split, in its order."""
    dataset: Any = data.dataset(split)
    labels: list[Tensor] = []
    found: dict[str, list[Representation]] = {role: [] for role in ROLES}
    for batch in DataLoader(dataset, batch_size=256, collate_fn=data.collate_fn):
        labels.append(batch["label"])
        for role in ROLES:
            found[role].append(model.network(role)(batch))
    joined = {
        role: Representation(
            embedding=torch.cat([part.embedding for part in parts]),
            logits=torch.cat([part.logits for part in parts]),
            hidden={},
            valid=torch.cat([part.valid for part in parts]),
        )
        for role, parts in found.items()
    }
    return Part(torch.cat(labels), joined)


def game(
    objectives: Iterable[Objective], by_role: dict[str, Representation]
) -> tuple[float | None, float | None]:
    """Return the discriminator's accuracy and the reconstruction's R^2; None without a game."""
    for objective in objectives:
        if isinstance(objective, AdversarialConditionalEntropy):
            _, target, reconstructed, _ = objective.reconstruct(by_role)
            accuracy = objective(by_role, {}).logs["accuracy"]
            return float(accuracy), r_squared(reconstructed.detach(), target)
    return None, None


def linear(train: dict[str, Representation], val: dict[str, Representation]) -> float:
    """Return the R^2 of the teacher's standardised embedding by a ridge on the student's."""
    fitted, wanted = (
        layer_norm(part["teacher"].embedding, part["teacher"].embedding.shape[1:])
        for part in (train, val)
    )
    ridge = Ridge.fit(train["student"].embedding, fitted)
    return r_squared(ridge.predict(val["student"].embedding), wanted.double())


def prior(train: Tensor, val: Tensor) -> float:
    """Return the bound on H(T), nats a dimension, of a diagonal Gaussian fitted to train."""
    mean = train.mean(dim=0).expand_as(val)
    # No narrower than the probe allows itself to be.
    log_variance = train.var(dim=0).log().clamp(min=-8).expand_as(val)
    return float(gaussian_conditional_entropy(val, mean, log_variance).mean()) / val.shape[1]
