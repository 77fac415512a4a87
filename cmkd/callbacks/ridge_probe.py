"""How much of what only the auxiliary modality knows can be read from an embedding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from cmkd.batch import Batch, batch_modalities
from cmkd.callbacks.ridge import Ridge, r_squared
from cmkd.distillation import CrossModalDistillation


@runtime_checkable
class ProbedData(Protocol):
    """What the probe needs of a datamodule: the samples of a split, in order, unaugmented."""

    student_modalities: list[str]
    auxiliary_modalities: list[str]
    batch_size: int
    collate_fn: Any

    def dataset(self, split: Any) -> Any:
        """Return the samples of ``train`` or ``test``."""
        ...


@runtime_checkable
class KnownLatents(Protocol):
    """A datamodule that knows what the auxiliary modality alone sees."""

    def auxiliary_only(self, split: Any) -> Tensor:
        """Return (N, K), row i of the sample with ``index`` i."""
        ...


@dataclass(frozen=True)
class _Part:
    """The samples of a split that have all modalities, by row.

    Attributes:
        index: (N,) their numbers.
        features: (N, D) by side, ``student`` and ``auxiliary``; empty where they are not needed.
        embeddings: (N, D) by role.
    """

    index: Tensor
    features: dict[str, Tensor]
    embeddings: dict[str, Tensor]


class RidgeProbe(Callback):
    """Logs at test ``test/<role>_auxiliary_only_r2``: what a linear probe reads of the auxiliary.

    A ridge regression learns, on the training samples' embeddings, to predict what the auxiliary
    modality knows and the student's does not; its R^2 is measured on the test samples. Nothing of
    it reaches the networks. A teacher that made itself as weak as the student shows it here, the
    student itself is the floor. After Alain & Bengio, "Understanding intermediate layers using
    linear classifier probes", ICLR workshop 2017.

    The test batches have to hold the auxiliary modality: ``data.init_args.auxiliary_at_test:
    true``. A teacher that was not trained is left out.

    Args:
        roles: whose embeddings are probed.
        components: None: the target is what the datamodule's ``auxiliary_only`` gives, latents
            that a simulation knows. A number: the target is made from feature vectors. A ridge
            regression predicts the auxiliary modality from the student's, leaving each training
            sample out of its own prediction, and this many principal components of what it leaves
            over are the target; fitted on the training samples.

    Raises:
        ValueError: for no role or component; at test for data that do not give what is needed, or
            several devices.
    """

    def __init__(
        self, roles: Sequence[str] = ("teacher", "student"), components: int | None = None
    ) -> None:
        if not roles:
            raise ValueError("RidgeProbe.roles is empty: name a network, for example teacher")
        if components is not None and components < 1:
            raise ValueError(f"RidgeProbe.components: has to be 1 or more, got {components}")
        self.roles = list(roles)
        self.components = components

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit the probes and log what they read."""
        if not isinstance(pl_module, CrossModalDistillation):
            raise TypeError(
                f"RidgeProbe: probes CrossModalDistillation, not {type(pl_module).__name__}"
            )
        if trainer.world_size > 1:
            raise ValueError("RidgeProbe: sees one device's samples; set trainer.devices to 1")
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, ProbedData):
            raise ValueError(
                "RidgeProbe: needs a datamodule with `dataset(split)`, as a CrossModalDataModule "
                f"has; got {type(data).__name__}"
            )
        roles = self._roles(pl_module)
        train, test = (self._part(data, split, roles, pl_module) for split in ("train", "test"))
        if self.components is None:
            known, wanted = _known(data, train, test)
        else:
            known, wanted = _beyond_the_student(train, test, self.components)
        for role in roles:
            ridge = Ridge.fit(train.embeddings[role], known)
            score = r_squared(ridge.predict(test.embeddings[role]), wanted)
            pl_module.log(f"test/{role}_auxiliary_only_r2", score, batch_size=1)

    def _roles(self, module: CrossModalDistillation) -> list[str]:
        if unknown := [role for role in self.roles if role not in module.networks]:
            raise ValueError(
                f"RidgeProbe.roles: there is no network {', '.join(unknown)}; this run has "
                f"{', '.join(module.networks)}"
            )
        return [role for role in self.roles if role == "student" or module.has_teacher]

    def _part(
        self, data: ProbedData, split: str, roles: Sequence[str], module: CrossModalDistillation
    ) -> _Part:
        sides = {"student": data.student_modalities, "auxiliary": data.auxiliary_modalities}
        found = []
        for batch in DataLoader(data.dataset(split), data.batch_size, collate_fn=data.collate_fn):
            held = set(batch_modalities(batch))
            if not sides["auxiliary"] or not held.issuperset(sides["auxiliary"]):
                raise ValueError(
                    f"RidgeProbe: the {split} samples hold no auxiliary modality; name it in "
                    "auxiliary_modalities and set data.init_args.auxiliary_at_test to true"
                )
            complete = torch.stack(list(batch["present"].values())).all(0)
            features = {} if self.components is None else _features(batch, sides)
            moved = module.transfer_batch_to_device(batch, module.device, 0)
            embeddings = {role: module.network(role)(moved).embedding.cpu() for role in roles}
            found.append(
                _Part(
                    batch["index"][complete],
                    {side: values[complete] for side, values in features.items()},
                    {role: values[complete] for role, values in embeddings.items()},
                )
            )
        return _Part(
            torch.cat([part.index for part in found]),
            {side: torch.cat([p.features[side] for p in found]) for side in found[0].features},
            {role: torch.cat([p.embeddings[role] for p in found]) for role in roles},
        )


def _features(batch: Batch, sides: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    for name in (name for names in sides.values() for name in names):
        if batch[name].ndim != 2:
            raise ValueError(
                f"RidgeProbe.components: '{name}' has shape {tuple(batch[name].shape)}; only "
                "feature vectors (B, D) can be regressed on each other. Leave components out where "
                "the datamodule knows the latents."
            )
    return {side: torch.cat([batch[name] for name in names], 1) for side, names in sides.items()}


def _known(data: ProbedData, *parts: _Part) -> tuple[Tensor, ...]:
    """Return the latents (N, K) of each part's samples."""
    if not isinstance(data, KnownLatents):
        raise ValueError(
            f"RidgeProbe.components: {type(data).__name__} does not know what the auxiliary "
            "modality alone sees; give the number of principal components to take for it"
        )
    splits = ("train", "test")
    latents = [data.auxiliary_only(split).double() for split in splits]
    return tuple(rows[part.index] for rows, part in zip(latents, parts, strict=True))


def _beyond_the_student(train: _Part, test: _Part, components: int) -> tuple[Tensor, Tensor]:
    """Return (N, K) leading components of what the student's features say nothing about."""
    ridge = Ridge.fit(train.features["student"], train.features["auxiliary"])
    left = test.features["auxiliary"] - ridge.predict(test.features["student"])
    width = left.shape[1]
    if components > width:
        raise ValueError(
            f"RidgeProbe.components: {components} of an auxiliary modality of {width} features; "
            f"give {width} or fewer"
        )
    centre = ridge.residual.mean(0)
    directions = torch.linalg.svd(ridge.residual - centre, full_matrices=False).Vh[:components].T
    return (ridge.residual - centre) @ directions, (left - centre) @ directions
