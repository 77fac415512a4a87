"""Small representations for the objectives' tests."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cmkd.batch import Batch
from cmkd.objectives import ObjectiveOutput
from cmkd.representation import Representation, Sizes

EMBEDDING = {"student": 6, "teacher": 5, "auxiliary": 4}
CHANNELS = {"student": {"video": [3, 4]}, "teacher": {"video": [3, 4], "audio": [2, 3]}}
CLASSES = 4
SIZES = {role: Sizes(width, CLASSES, CHANNELS.get(role, {})) for role, width in EMBEDDING.items()}


def representation(
    role: str, rows: int = 5, seed: int = 0, valid: Iterable[int] | None = None
) -> Representation:
    """A representation of leaves that require grad; valid holds the valid rows, None means all."""
    generator = torch.Generator().manual_seed(seed + 1000 * (sorted(EMBEDDING).index(role) + 1))

    def leaf(*shape: int) -> Tensor:
        return torch.randn(rows, *shape, generator=generator).requires_grad_()

    mask = torch.ones(rows, dtype=torch.bool)
    if valid is not None:
        kept = list(valid)
        mask = torch.tensor([row in kept for row in range(rows)])
    return Representation(
        embedding=leaf(EMBEDDING[role]),
        logits=leaf(CLASSES),
        hidden={
            name: [leaf(channels, 2, 3) for channels in layers]
            for name, layers in CHANNELS.get(role, {}).items()
        },
        valid=mask,
    )


def representations(rows: int = 5, seed: int = 0) -> dict[str, Representation]:
    return {role: representation(role, rows, seed) for role in EMBEDDING}


def batch(rows: int = 5) -> Batch:
    everything = torch.ones(rows, dtype=torch.bool)
    return {
        "label": torch.arange(rows) % CLASSES,
        "index": torch.arange(rows),
        "present": {"video": everything, "audio": everything.clone()},
    }


def leaves(r: Representation) -> list[Tensor]:
    return [r.embedding, r.logits, *(h for layers in r.hidden.values() for h in layers)]


def pulled(*roles: Representation) -> list[bool]:
    """Say of each representation whether any of it got a gradient other than 0."""
    return [any(x.grad is not None and bool(x.grad.any()) for x in leaves(r)) for r in roles]


def total(output: ObjectiveOutput) -> Tensor:
    return output.loss if output.critic_loss is None else output.loss + output.critic_loss


def gradients(module: nn.Module) -> dict[str, Tensor | None]:
    return {name: p.grad for name, p in module.named_parameters()}


def double_list(x: Tensor) -> list[list[float]]:
    """The same numbers in float64, as plain Python."""
    return x.detach().double().tolist()
