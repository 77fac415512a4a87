"""What every objective has to keep, as a class of tests that each objective's tests inherit.

@every(rkd=RKD, rkd_angles=partial(RKD, distance_weight=0.0))
class TestContract(ObjectiveContract): ...
"""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cmkd.objectives import Objective, ObjectiveFactory
from cmkd.representation import Representation
from tests.cmkd.objectives.helpers import (
    CLASSES,
    SIZES,
    batch,
    gradients,
    leaves,
    pulled,
    representations,
    total,
)


def every(**factories: ObjectiveFactory) -> pytest.MarkDecorator:
    """Run a class of tests for each objective, by the name it is given."""
    return pytest.mark.parametrize("factory", list(factories.values()), ids=list(factories))


def assert_absent_modality_changes_nothing(objective: Objective, modality: str) -> None:
    """Rows in which a hidden layer's modality is absent reach neither value nor gradient.

    They stay valid: both networks have another modality of theirs.
    """
    kept, absent = [0, 1, 4], [2, 3]
    full = representations(rows=5)
    alone = {role: rows_of(r, kept) for role, r in full.items()}
    loss = total(objective(alone, batch(3)))
    loss.backward()

    data = batch(5)
    data["present"][modality] = torch.tensor([row in kept for row in range(5)])
    with torch.no_grad():
        for r in full.values():
            for hidden in r.hidden.get(modality, []):
                hidden[absent] = float("nan")
    found = total(objective(full, data))
    found.backward()
    torch.testing.assert_close(found, loss)
    for r, expected in zip(full.values(), alone.values(), strict=True):
        for x, y in zip(leaves(r), leaves(expected), strict=True):
            assert (x.grad is None) == (y.grad is None)
            if x.grad is not None and y.grad is not None:
                torch.testing.assert_close(x.grad[kept], y.grad)
                assert not x.grad[absent].any()


def run(
    objective: Objective, given: dict[str, Representation]
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """One backward of both losses; the noise is the same in every call."""
    objective.zero_grad()
    torch.manual_seed(7)
    loss = total(objective(given, batch(given["student"].valid.shape[0])))
    if loss.requires_grad:
        loss.backward()
    return loss.detach(), gradients(objective)


def all_gradients(objective: Objective, given: dict[str, Representation]) -> list[Tensor]:
    grads = [p.grad for p in objective.parameters()]
    grads += [x.grad for role in objective.roles() for x in leaves(given[role])]
    return [grad for grad in grads if grad is not None]


def with_garbage(r: Representation, rows: list[int], garbage: float) -> Representation:
    """The same leaves' values with garbage in some rows, which are marked invalid."""

    def spoil(x: Tensor) -> Tensor:
        x = x.detach().clone()
        x[rows] = garbage
        return x.requires_grad_()

    valid = r.valid.clone()
    valid[rows] = False
    return Representation(
        embedding=spoil(r.embedding),
        logits=spoil(r.logits),
        hidden={name: [spoil(x) for x in layers] for name, layers in r.hidden.items()},
        valid=valid,
    )


def rows_of(r: Representation, rows: list[int]) -> Representation:
    def take(x: Tensor) -> Tensor:
        return x.detach()[rows].clone().requires_grad_()

    return Representation(
        embedding=take(r.embedding),
        logits=take(r.logits),
        hidden={name: [take(x) for x in layers] for name, layers in r.hidden.items()},
        valid=r.valid[rows],
    )


class ObjectiveContract:
    """Inherit it under :func:`every`."""

    @pytest.fixture
    def objective(self, factory: ObjectiveFactory) -> Objective:
        torch.manual_seed(0)
        return factory(SIZES)

    @pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
    @pytest.mark.parametrize("role", ["student", "teacher"])
    def test_masked_rows_change_neither_value_nor_gradient(
        self, objective: Objective, role: str, garbage: float
    ) -> None:
        # The last rows are masked, so that the first rows get the same noise in both calls.
        kept, masked = [0, 1, 2], [3, 4]
        full = representations(rows=5)
        alone = {name: rows_of(r, kept) for name, r in full.items()}
        spoiled = {name: replace(r) for name, r in full.items()}
        spoiled[role] = with_garbage(full[role], masked, garbage)

        expected, expected_grads = run(objective, alone)
        found, found_grads = run(objective, spoiled)

        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(found_grads, expected_grads)
        for name in objective.roles():
            for x, y in zip(leaves(spoiled[name]), leaves(alone[name]), strict=True):
                assert (x.grad is None) == (y.grad is None)
                if x.grad is not None:
                    torch.testing.assert_close(x.grad[kept], y.grad)
                    assert not x.grad[masked].any()

    def test_logs_of_masked_rows_are_those_without_them(self, objective: Objective) -> None:
        full = representations(rows=5)
        alone = {name: rows_of(r, [0, 1, 2]) for name, r in full.items()}
        spoiled = full | {"student": with_garbage(full["student"], [3, 4], float("nan"))}
        torch.manual_seed(7)
        expected = objective(alone, batch(3)).logs
        torch.manual_seed(7)
        torch.testing.assert_close(objective(spoiled, batch(5)).logs, expected)

    def test_a_hidden_label_changes_nothing(self, objective: Objective) -> None:
        given = batch(5)
        labelled = torch.tensor([True, True, True, False, False])
        other = given["label"].where(labelled, (given["label"] + 1) % CLASSES)
        found = []
        for label in (given["label"], other):
            fresh = deepcopy(objective)  # some remember what they saw
            torch.manual_seed(7)
            output = fresh(representations(rows=5), given | {"label": label, "labelled": labelled})
            found.append([total(output), *output.logs.values()])
        torch.testing.assert_close(found[0], found[1], atol=0, rtol=0)

    def test_a_batch_without_a_valid_row_costs_nothing_and_reaches_every_parameter(
        self,
        objective: Objective,
    ) -> None:
        given = representations()
        given["student"] = with_garbage(given["student"], [0, 1, 2, 3, 4], float("nan"))
        output = objective(given, batch())
        loss, grads = run(objective, given)
        assert loss == 0
        assert all(value == 0 or key == "temperature" for key, value in output.logs.items())
        # DDP waits for every parameter: a gradient of None would hang or raise.
        assert all(grad is not None and not grad.any() for grad in grads.values())
        assert not any(grad.any() for grad in all_gradients(objective, given))

    def test_one_backward_reaches_every_parameter(self, objective: Objective) -> None:
        _, grads = run(objective, representations())
        assert all(grad is not None and grad.isfinite().all() for grad in grads.values())
        assert all(grad.any() for name, grad in grads.items() if name.endswith("weight"))

    @pytest.mark.parametrize("rows", [1, 4])
    @pytest.mark.parametrize("scale", [0.0, 1.0])
    def test_identical_rows_and_a_batch_of_one_are_finite(
        self, objective: Objective, rows: int, scale: float
    ) -> None:
        given = {
            name: Representation(
                embedding=(scale * r.embedding.detach()).requires_grad_(),
                logits=(scale * r.logits.detach()).requires_grad_(),
                hidden={
                    m: [(scale * x.detach()).requires_grad_() for x in layers]
                    for m, layers in r.hidden.items()
                },
                valid=r.valid,
            )
            for name, r in representations(rows=4).items()
        }
        given = {name: rows_of(r, [0] * rows) for name, r in given.items()}
        loss, _ = run(objective, given)
        assert loss.isfinite()
        assert all(grad.isfinite().all() for grad in all_gradients(objective, given))

    @pytest.mark.parametrize("autocast", [False, True])
    def test_half_precision_representations_give_finite_float32_losses(
        self, objective: Objective, autocast: bool
    ) -> None:
        given = {
            name: Representation(
                embedding=(10 * r.embedding.detach()).bfloat16().requires_grad_(),
                logits=(10 * r.logits.detach()).bfloat16().requires_grad_(),
                hidden={
                    m: [x.detach().bfloat16().requires_grad_() for x in layers]
                    for m, layers in r.hidden.items()
                },
                valid=r.valid,
            )
            for name, r in representations().items()
        }
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            output = objective(given, batch())
        loss = total(output)
        loss.backward()
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert all(grad.isfinite().all() for grad in all_gradients(objective, given))
        assert all(value.dtype == torch.float32 for value in output.logs.values())

    def test_a_module_in_half_precision_runs(self, objective: Objective) -> None:
        loss, grads = run(objective.bfloat16(), representations())
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert all(grad is not None for grad in grads.values())

    def test_logs_are_scalars_without_gradient(self, objective: Objective) -> None:
        for value in objective(representations(), batch()).logs.values():
            assert value.ndim == 0
            assert not value.requires_grad

    def test_representations_without_gradient_still_train_the_own_layers(
        self,
        objective: Objective,
    ) -> None:
        given = {name: r.detach() for name, r in representations().items()}
        _, grads = run(objective, given)
        assert all(grad is not None for grad in grads.values())

    @pytest.mark.parametrize(
        ("roles", "message"),
        [
            (
                {"source": "pupil"},
                r"\.source: there is no network 'pupil'; choose one of auxiliary",
            ),
            ({"target": "professor"}, r"\.target: there is no network 'professor'"),
            ({"target": "student"}, "source and target are both 'student'"),
        ],
    )
    def test_unknown_or_equal_roles_are_refused(
        self, factory: ObjectiveFactory, roles: dict[str, str], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            factory(SIZES, **roles)

    def test_the_source_is_pulled(self, objective: Objective) -> None:
        given = representations()
        run(objective, given)
        assert pulled(given[objective.source]) == [True]

    def test_twenty_steps_lower_the_loss(self, objective: Objective) -> None:
        given = representations(rows=16)
        # A critic stands still: it would learn against the loss.
        critic = {id(p) for p in objective.critic_parameters()}
        own = [p for p in objective.parameters() if id(p) not in critic]
        optimizer = torch.optim.Adam([*leaves(given[objective.source]), *own], lr=0.02)
        losses = []
        for _ in range(21):
            optimizer.zero_grad()
            torch.manual_seed(7)
            loss = objective(given, batch(16)).loss
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0] - 0.02 * abs(losses[0])
