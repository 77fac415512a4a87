"""InfoNCE over two processes against the one process that holds all rows."""

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from cmkd.objectives import InfoNCE
from tests.cmkd.objectives.helpers import SIZES, batch, representations

RANKS, ROWS = 2, 3
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


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS
    )
    part = slice(rank * ROWS, (rank + 1) * ROWS)
    found = {name: compute(part, mask) for name, mask in MASKS.items()}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_give_value_and_gradient_of_the_joint_batch(tmp_path: Path) -> None:
    mp.spawn(work, args=(str(tmp_path),), nprocs=RANKS)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS)]
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
