"""InfoNCE over two processes against the one process that holds all rows."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cmkd.objectives import InfoNCE
from tests.cmkd.objectives.helpers import SIZES, batch, representations
from tests.cmkd.objectives.two_ranks import RANKS, of_two_ranks

ROWS = 3
#: Valid student rows of the joint batch, rank 0's first.
MASKS = {
    "all rows": [True] * 6,
    "a row masked": [True, True, False, True, True, True],
    "a rank of one row": [True, True, True, False, True, False],
    "a rank without rows": [True, True, True, False, False, False],
    "no row": [False] * 6,
}


def compute(part: slice, mask: list[bool]) -> dict[str, Tensor]:
    """Value and gradients of some rows of the joint batch."""
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, dim=4, learn_temperature=True).double()
    given = representations(RANKS * ROWS)
    parts = {}
    for role, r in given.items():
        valid = torch.tensor(mask) if role == "student" else r.valid
        embedding = r.embedding.detach()[part].double().requires_grad_()
        parts[role] = type(r)(embedding, r.logits[part], {}, valid[part])
    output = objective(parts, batch(parts["student"].valid.shape[0]))
    output.loss.backward()
    found = {f"logs {name}": value for name, value in output.logs.items()}
    found["loss"] = output.loss.detach()
    for name, p in objective.named_parameters():
        assert p.grad is not None
        found[f"parameter {name}"] = p.grad
    for role in ("student", "teacher"):
        grad = parts[role].embedding.grad
        assert grad is not None
        found[f"rows {role}"] = grad
    return found


def of_rank(rank: int) -> dict[str, dict[str, Tensor]]:
    part = slice(rank * ROWS, (rank + 1) * ROWS)
    return {name: compute(part, mask) for name, mask in MASKS.items()}


@pytest.mark.slow
def test_two_ranks_give_value_and_gradient_of_the_joint_batch(tmp_path: Path) -> None:
    ranks = of_two_ranks(of_rank, tmp_path)
    for name, mask in MASKS.items():
        joint = compute(slice(None), mask)
        # What DDP does with values and parameters: the mean over ranks.
        found = {
            key: sum(r[name][key] for r in ranks) / RANKS
            for key in joint
            if not key.startswith("rows")
        }
        for key in joint.keys() - found.keys():
            found[key] = torch.cat([r[name][key] for r in ranks]) / RANKS
        torch.testing.assert_close(found, joint, msg=lambda text, name=name: f"{name}: {text}")
        assert joint["logs ceiling"] == pytest.approx(math.log(max(1, sum(mask))))
        if any(mask):
            assert joint["loss"] > 0
            assert joint["rows teacher"].any()
