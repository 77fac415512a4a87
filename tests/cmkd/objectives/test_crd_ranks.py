"""CRD on two ranks is CRD on the joint batch."""

from functools import partial
from pathlib import Path

import pytest
import torch

from cmkd.objectives import CRD
from tests.cmkd.objectives.helpers import SIZES, representations
from tests.cmkd.objectives.stateful import context
from tests.cmkd.objectives.two_ranks import of_two_ranks


class EveryOther(CRD):
    """Its draws do not depend on how many rows a rank holds."""

    def draw(self, index, samples):
        return (index[:, None] + torch.arange(1, samples)) % samples


def steps(rank, ranks, rows=3):
    """Three steps on a rank's rows of the joint batch; state, losses and gradients."""
    torch.manual_seed(0)
    objective = EveryOther(SIZES, dim=4, negatives=9).double()
    objective.allocate(context(10))
    found = {"losses": [], "gradients": []}
    for step in range(3):
        part = slice(rank * rows, (rank + 1) * rows) if ranks > 1 else slice(None)
        joint = representations(2 * rows, seed=step)
        given = {
            role: type(r)(r.embedding.detach()[part].double(), r.logits[part], {}, r.valid[part])
            for role, r in joint.items()
        }
        # The first step leaves a rank without a row; sample 1 is there twice.
        valid = torch.ones(2 * rows, dtype=torch.bool)
        valid[[[3, 4, 5], [1], []][step]] = False
        given["student"].valid.copy_(valid[part])
        objective.zero_grad()
        loss = objective(given, {"index": torch.tensor([1, 3, 5, 9, 1, 0])[part]}).loss
        loss.backward()
        found["losses"].append(loss.detach())
        found["gradients"] += [p.grad for p in objective.parameters()]
    return found | {"state": dict(objective.named_buffers())}


@pytest.mark.slow
def test_two_ranks_hold_the_bank_of_the_joint_batch_and_have_its_loss_and_gradient(tmp_path: Path):
    ranks = of_two_ranks(partial(steps, ranks=2), tmp_path)
    joint = steps(0, 1)
    torch.testing.assert_close(ranks[0]["state"], ranks[1]["state"], atol=0, rtol=0)
    torch.testing.assert_close(ranks[0]["state"], joint["state"])
    for key in ("losses", "gradients"):
        mean = [(a + b) / 2 for a, b in zip(ranks[0][key], ranks[1][key], strict=True)]
        torch.testing.assert_close(mean, joint[key])
