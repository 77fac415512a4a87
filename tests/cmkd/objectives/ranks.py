"""Objectives over two processes against the one process that holds all rows."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmkd.objectives import ObjectiveFactory
from cmkd.representation import Representation
from tests.cmkd.objectives.helpers import SIZES, batch, leaves, representations, total
from tests.cmkd.objectives.two_ranks import RANKS, of_two_ranks

ROWS = 4
EVERYTHING = [True] * (RANKS * ROWS)
RANK_1_ABSENT = [True] * ROWS + [False] * ROWS
#: Rows a rank, valid student rows of the joint batch, and rows that have the video; rank 0's first.
CASES: dict[str, tuple[int, list[bool], list[bool]]] = {
    "all rows": (ROWS, EVERYTHING, EVERYTHING),
    "a short last batch": (2, EVERYTHING[:4], EVERYTHING[:4]),
    "a last batch of one row a rank": (1, EVERYTHING[:2], EVERYTHING[:2]),
    "ranks of four and one valid rows": (ROWS, [*EVERYTHING[:5], *[False] * 3], EVERYTHING),
    "a modality absent on one rank": (ROWS, EVERYTHING, RANK_1_ABSENT),
    "a rank without valid rows": (ROWS, RANK_1_ABSENT, EVERYTHING),
    "no valid row": (ROWS, [False] * 8, EVERYTHING),
}


def compute(factory: ObjectiveFactory, case: str, rank: int | None) -> dict[str, Tensor]:
    """Value and gradients of a rank's rows of the joint batch; of all of them for None."""
    rows, valid, present = CASES[case]
    part = slice(None) if rank is None else slice(rank * rows, (rank + 1) * rows)
    torch.manual_seed(0)
    objective = factory(SIZES).double()

    def cut(x: Tensor) -> Tensor:
        return x.detach()[part].double().requires_grad_()

    given = {
        role: Representation(
            embedding=cut(r.embedding),
            logits=cut(r.logits),
            hidden={name: [cut(x) for x in layers] for name, layers in r.hidden.items()},
            valid=(torch.tensor(valid) if role == "student" else r.valid)[part],
        )
        for role, r in representations(RANKS * rows).items()
    }
    data: dict[str, Any] = batch(RANKS * rows)
    data = {
        "label": data["label"][part],
        "index": data["index"][part],
        "present": {"video": torch.tensor(present)[part], "audio": data["present"]["audio"][part]},
    }
    output = objective(given, data)
    loss = total(output)
    loss.backward()
    found = {f"logs {name}": value for name, value in output.logs.items()}
    found["loss"] = loss.detach()
    for name, p in objective.named_parameters():
        assert p.grad is not None
        found[f"parameter {name}"] = p.grad
    for role in sorted(objective.roles()):
        for number, x in enumerate(leaves(given[role])):
            found[f"rows {role} {number}"] = torch.zeros_like(x) if x.grad is None else x.grad
    return found


def cases_of(rank: int, factories: Mapping[str, ObjectiveFactory]) -> dict[str, dict[str, Tensor]]:
    return {
        f"{name}: {case}": compute(factory, case, rank)
        for name, factory in factories.items()
        for case in CASES
    }


def assert_ranks_equal_one_process(factories: Mapping[str, ObjectiveFactory], folder: Path) -> None:
    """DDP's means over ranks are the value and gradients of the one process, in every case."""
    ranks = of_two_ranks(partial(cases_of, factories=dict(factories)), folder)
    for name, factory in factories.items():
        for case in CASES:
            title = f"{name}: {case}"
            joint = compute(factory, case, None)
            found = {
                key: torch.cat([r[title][key] for r in ranks]) / RANKS
                if key.startswith("rows")
                else sum(r[title][key] for r in ranks) / RANKS
                for key in joint
            }
            torch.testing.assert_close(found, joint, msg=lambda text, t=title: f"{t}: {text}")
            if case == "all rows":
                assert joint["loss"].abs() > 1e-3
                assert any(joint[key].any() for key in joint if key.startswith("rows student"))
