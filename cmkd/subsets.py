"""Networks that see a subset of their modalities: names, and the batch they are given.

Objectives ask for ``teacher`` or for ``teacher@audio``, the teacher given nothing but the audio.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from cmkd.batch import Batch

_MARK = "@"


def subset_role(role: str, modalities: Collection[str]) -> str:
    """Return the name of a network given only some of its modalities."""
    return f"{role}{_MARK}{'+'.join(sorted(modalities))}"


def network_of(role: str) -> str:
    """Return the network's own role, without the subset."""
    return role.partition(_MARK)[0]


def modalities_of(role: str, every: Sequence[str]) -> list[str]:
    """Return the modalities that the network of a role is given, of ``every`` it has."""
    subset = role.partition(_MARK)[2]
    return [name for name in every if not subset or name in subset.split("+")]


def without(batch: Batch, absent: Mapping[str, Tensor]) -> Batch:
    """Return the batch with modalities made absent in some rows.

    Args:
        batch: the batch; it is not changed.
        absent: by modality, (B,) bool.
    """
    present = dict(batch["present"])
    for name, rows in absent.items():
        present[name] = present[name] & ~rows
    return batch | {"present": present}


def restricted(batch: Batch, role: str, every: Sequence[str]) -> Batch:
    """Return the batch as the network of a role is given it: absent what its subset leaves out."""
    given = modalities_of(role, every)
    gone = {n: torch.ones_like(batch["present"][n]) for n in every if n not in given}
    return without(batch, gone) if gone else batch


def drop_modalities(batch: Batch, modalities: Sequence[str], probability: float) -> Batch:
    """Return the batch with each of the modalities absent at random; one that is there stays.

    Args:
        batch: the batch.
        modalities: which may be dropped.
        probability: of each modality and row.
    """
    present = torch.stack([batch["present"][name] for name in modalities])
    dropped = torch.rand(present.shape, device=present.device) < probability
    # The one of the highest draw among those that are there is spared where all would go.
    draws = torch.rand(present.shape, device=present.device).where(present, -1.0)
    spared = torch.zeros_like(present).scatter_(0, draws.argmax(0, keepdim=True), True)
    all_gone = ~(present & ~dropped).any(0)
    dropped = dropped & ~(spared & all_gone)
    return without(batch, dict(zip(modalities, dropped, strict=True)))
