import math
from functools import partial

import pytest
import torch
from torch.nn.functional import normalize

from cmkd.objectives import CRD, noise_contrastive_loss
from cmkd.objectives.memory_bank import MemoryBank
from cmkd.objectives.numerics import unit_vectors
from tests.cmkd.objectives.checks import every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations
from tests.cmkd.objectives.stateful import StatefulContract, context


@every(
    crd=partial(CRD, dim=3, negatives=7),
    crd_shared=partial(CRD, dim=3, negatives=7, shared_negatives=True),
)
class TestContract(StatefulContract):
    pass


def made(samples=12, **arguments):
    torch.manual_seed(0)
    objective = CRD(SIZES, **({"dim": 3, "negatives": 5} | arguments))
    objective.allocate(context(samples))
    return objective


def loop(log_normaliser, samples):
    """The published form: probabilities of the own entry and of the drawn ones."""

    def losses(scores):
        values = []
        for own, *drawn in scores:
            noise = len(drawn) / samples
            p = math.exp(own - log_normaliser)
            value = -math.log(p / (p + noise))
            for score in drawn:
                p = math.exp(score - log_normaliser)
                value -= math.log(noise / (p + noise))
            values.append(value)
        return values

    return losses


@pytest.mark.parametrize(("rows", "negatives", "samples"), [(1, 1, 2), (3, 4, 4), (5, 16, 9)])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_loss_is_that_of_a_plain_loop(rows, negatives, samples, temperature):
    torch.manual_seed(rows)
    scores = (2 * torch.rand(rows, 1 + negatives, dtype=torch.float64) - 1) / temperature
    log_z = math.log(samples) + 0.3
    assert_equals_loop(
        lambda x: noise_contrastive_loss(x, torch.tensor(log_z, dtype=x.dtype), samples),
        loop(log_z, samples),
        scores,
    )


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    assert_gradient_is_exact(
        lambda x: noise_contrastive_loss(x, torch.tensor(1.3), 7), torch.randn(4, 6)
    )


def test_half_precision_scores_are_raised_to_float32():
    torch.manual_seed(0)
    assert_computed_in_float32(
        lambda x: noise_contrastive_loss(x, torch.tensor(1.3), 7), torch.randn(4, 6)
    )


def test_a_perfect_match_among_opposites_costs_nothing_and_struck_out_draws_as_little():
    scores = torch.tensor([[1000.0, -1000.0, -1000.0], [1000.0, -math.inf, -1000.0]])
    scores.requires_grad_()
    loss = noise_contrastive_loss(scores, torch.tensor(0.0), 10)
    assert loss.tolist() == [0, 0]
    loss.sum().backward()
    assert scores.grad.isfinite().all()
    wrong = noise_contrastive_loss(-scores.detach()[:1], torch.tensor(0.0), 10)
    assert wrong.isfinite().all()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("temperature", "negatives"), [(0.07, 5), (0.4, 30)])
def test_the_module_compares_both_sides_with_what_the_bank_held_before(
    shared, temperature, negatives
):
    objective = made(temperature=temperature, negatives=negatives, shared_negatives=shared)
    objective.double()
    given, index = representations(rows=4), torch.tensor([3, 0, 11, 7])
    s = objective.source_projection(given["student"].embedding)
    t = objective.target_projection(given["teacher"].embedding)
    s, t = (normalize(z.double(), dim=1).tolist() for z in (s, t))
    bank_s, bank_t = objective.bank.source.tolist(), objective.bank.target.tolist()
    torch.manual_seed(3)
    drawn = objective.draw(index, 12).expand(4, -1).tolist()

    def side(anchors, bank):
        scores = []
        for anchor, own, draws in zip(anchors, index.tolist(), drawn, strict=True):
            entries = [own, *(n for n in draws if n != own)]
            products = [sum(a * b for a, b in zip(anchor, bank[n], strict=True)) for n in entries]
            scores.append([x / temperature for x in products])
        means = [sum(map(math.exp, row)) / len(row) for row in scores]
        log_z = math.log(12 * sum(means) / len(means))
        values = []
        for own, *others in scores:
            noise, p = negatives / 12, math.exp(own - log_z)
            value = -math.log(p / (p + noise))
            value -= sum(math.log(noise / (math.exp(x - log_z) + noise)) for x in others)
            values.append(value)
        return values, log_z

    (forth, z_source), (back, z_target) = side(s, bank_t), side(t, bank_s)
    torch.manual_seed(3)
    loss = objective(given, batch(4) | {"index": index}).loss
    assert loss.item() == pytest.approx((sum(forth) + sum(back)) / 4, rel=1e-5)
    assert objective.log_normaliser.tolist() == pytest.approx([z_source, z_target], rel=1e-5)


def test_a_sample_is_never_drawn_as_its_own_negative_and_every_other_is():
    objective = made(negatives=400)
    index = torch.tensor([0, 5, 11])
    drawn = objective.draw(index, 12)
    for own, draws in zip(index.tolist(), drawn.tolist(), strict=True):
        assert set(draws) == set(range(12)) - {own}
    assert made(negatives=400, shared_negatives=True).draw(index, 12).shape == (1, 400)


def test_draws_follow_torchs_seed():
    objective = made(negatives=50)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(objective.draw(torch.arange(3), 12))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_visited_entries_move_towards_the_embeddings_and_the_others_stay():
    objective = made(momentum=0.25)
    before = [objective.bank.source.clone(), objective.bank.target.clone()]
    given, index = representations(rows=3), torch.tensor([4, 9, 1])
    given["teacher"].valid[2] = False
    objective(given, batch(3) | {"index": index})
    s = normalize(objective.source_projection(given["student"].embedding), dim=1)
    t = normalize(objective.target_projection(given["teacher"].embedding), dim=1)
    after = [objective.bank.source, objective.bank.target]
    for old, new, rows in zip(before, after, (s, t), strict=True):
        expected = old.clone()
        expected[[4, 9]] = normalize(0.25 * old[[4, 9]] + 0.75 * rows[:2].detach(), dim=1)
        torch.testing.assert_close(new, expected)


def test_of_several_rows_of_one_sample_the_last_valid_one_is_kept():
    bank = MemoryBank(2, momentum=0.5)
    bank.allocate(4, torch.zeros(()))
    old = bank.source.clone()
    rows = unit_vectors(torch.randn(5, 2))
    mask = torch.tensor([True, True, False, True, False])
    bank.update(rows, -rows, torch.tensor([2, 2, 2, 0, 1]), mask)
    expected = old.clone()
    expected[2] = normalize(old[2] + rows[1], dim=0)
    expected[0] = normalize(old[0] + rows[3], dim=0)
    torch.testing.assert_close(bank.source, expected)


def test_the_constants_come_from_the_first_batch_with_a_valid_row_and_stay():
    objective = made()
    given = representations()
    given["student"].valid[:] = False
    assert objective(given, batch()).loss == 0
    assert objective.log_normaliser.isnan().all()
    objective(representations(seed=1), batch())
    first = objective.log_normaliser.clone()
    assert first.isfinite().all()
    objective(representations(seed=2), batch())
    assert torch.equal(objective.log_normaliser, first)


def test_bank_and_constants_are_saved_and_a_resumed_objective_goes_on_with_them():
    objective = made()
    objective(representations(seed=1), batch())
    resumed = CRD(SIZES, dim=3, negatives=5)
    resumed.allocate(context(12))
    resumed.load_state_dict(objective.state_dict())
    losses = []
    for module in (objective, resumed):
        torch.manual_seed(5)
        losses.append(module(representations(seed=2), batch()).loss)
    torch.testing.assert_close(*losses, atol=0, rtol=0)
    torch.testing.assert_close(resumed.state_dict(), objective.state_dict(), atol=0, rtol=0)


def test_only_the_source_is_pulled():
    given = representations()
    made()(given, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_steps_with_a_moving_bank_bring_source_and_target_together():
    objective = made(samples=16, negatives=15)
    given = representations(rows=16)
    frozen = given | {"teacher": given["teacher"].detach()}
    parameters = [given["student"].embedding, *objective.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective(frozen, batch(16)).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_without_a_bank_the_remedy_is_named():
    with pytest.raises(RuntimeError, match="call allocate"):
        CRD(SIZES, dim=3)(representations(), batch())


def test_a_sample_number_beyond_the_bank_is_refused():
    with pytest.raises(ValueError, match="'index' holds 4, but there are 4 training samples"):
        made(samples=4)(representations(), batch())


@pytest.mark.parametrize("samples", [0, 1])
def test_an_unknown_or_single_training_sample_is_refused(samples):
    with pytest.raises(ValueError, match=f"at least 2, and got {samples}; give the datamodule"):
        CRD(SIZES).allocate(context(samples))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, r"CRD\.dim must be"),
        ({"negatives": 0}, r"CRD\.negatives must be"),
        ({"temperature": -1.0}, r"CRD\.temperature must be"),
        ({"momentum": 1.0}, r"CRD\.momentum must be from 0 to below 1, got 1\.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CRD(SIZES, **arguments)
