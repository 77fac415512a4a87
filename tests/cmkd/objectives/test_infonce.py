import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from cmkd.objectives import InfoNCE, info_nce, masked_mean, mutual_information_bound
from cmkd.representation import Representation, Sizes
from tests.cmkd.objectives.helpers import SIZES, batch, double_list, pulled, representations


def by_hand(x: Tensor, y: Tensor, temperature: float, valid: list[bool]) -> list[float]:
    """The loss of every valid row by a plain double loop."""
    rows = len(valid)

    def cosine(a: list[float], b: list[float]) -> float:
        dot = sum(p * q for p, q in zip(a, b, strict=True))
        return dot / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))

    def one_way(anchors: list[list[float]], others: list[list[float]], i: int) -> float:
        odds = [
            math.exp(cosine(anchors[i], others[j]) / temperature) for j in range(rows) if valid[j]
        ]
        return -math.log(math.exp(cosine(anchors[i], others[i]) / temperature) / sum(odds))

    xs, ys = double_list(x), double_list(y)
    return [(one_way(xs, ys, i) + one_way(ys, xs, i)) / 2 for i in range(rows) if valid[i]]


@pytest.mark.parametrize(("rows", "dim"), [(1, 3), (2, 1), (4, 2), (7, 5)])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0])
def test_the_loss_is_that_of_a_plain_double_loop(rows: int, dim: int, temperature: float) -> None:
    torch.manual_seed(rows)
    x, y = torch.randn(2, rows, dim, dtype=torch.float64)
    expected = torch.tensor(by_hand(x, y, temperature, [True] * rows), dtype=torch.float64)
    torch.testing.assert_close(info_nce(x, y, temperature), expected)
    torch.testing.assert_close(
        info_nce(x.float(), y.float(), temperature), expected.float(), atol=1e-4, rtol=1e-4
    )


def test_masked_rows_are_no_candidates() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 6, 3, dtype=torch.float64)
    valid = [True, False, True, True, False, True]
    mask = torch.tensor(valid)
    expected = torch.tensor(by_hand(x, y, 0.2, valid), dtype=torch.float64)
    x[~mask] = float("nan")
    x.requires_grad_()
    losses = info_nce(x, y, 0.2, mask)
    torch.testing.assert_close(losses[mask], expected)
    masked_mean(losses, mask).backward()
    assert x.grad is not None
    assert x.grad[mask].all()
    assert not x.grad[~mask].any()


@pytest.mark.parametrize("mask", [None, torch.tensor([True, False, True, True])])
def test_the_gradient_is_that_of_finite_differences(mask: Tensor | None) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 4, 3, dtype=torch.float64)
    temperature = torch.tensor(0.3, dtype=torch.float64)
    inputs = [z.clone().requires_grad_() for z in (x, y, temperature)]
    assert torch.autograd.gradcheck(lambda x, y, t: info_nce(x, y, t, mask), inputs)


def test_autocast_does_not_lower_the_precision_of_the_logits() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 8, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = info_nce(x, y, 0.05)
    torch.testing.assert_close(found, info_nce(x, y, 0.05), atol=0, rtol=0)


def test_inputs_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape \(B, D\), got \(4, 3\) and \(4, 2\)"):
        info_nce(torch.randn(4, 3), torch.randn(4, 2), 0.1)


def optimal_critic(x: Tensor, y: Tensor, rho: float) -> tuple[Tensor, Tensor, float]:
    """Vectors of one norm whose cosine over the temperature is log p(y|x) - log p(y).

    x, y are standard normal with correlation rho by coordinate. The log ratio is bilinear in
    (x, |x|^2, 1) and (y, 1, |y|^2), up to a constant that no softmax sees; a coordinate that the
    other side holds at 0 brings all rows to one norm without changing any product.
    """
    c = rho / (1 - rho**2)
    one = torch.ones_like(x[:, :1])
    left = torch.cat([c * x, -c * rho / 2 * x.square().sum(1, keepdim=True), one], 1)
    right = torch.cat([y, one, -c * rho / 2 * y.square().sum(1, keepdim=True)], 1)

    def pad(v: Tensor, place: int) -> tuple[Tensor, Tensor]:
        norms = v.square().sum(1)
        radius = norms.max() + 1
        filler = torch.zeros(len(v), 2, dtype=v.dtype)
        filler[:, place] = (radius - norms).sqrt()
        return torch.cat([v, filler], 1), radius.sqrt()

    (left, r), (right, s) = pad(left, 0), pad(right, 1)
    return left, right, 1 / float(r * s)


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8, 0.95, 0.999])
def test_the_bound_of_the_optimal_critic_is_close_to_but_below_the_known_information(
    rho: float,
) -> None:
    dim, rows = 3, 256
    generator = torch.Generator().manual_seed(0)
    information = -dim / 2 * math.log(1 - rho**2)
    bounds = []
    for _ in range(40):
        x, noise = torch.randn(2, rows, dim, dtype=torch.float64, generator=generator)
        y = rho * x + math.sqrt(1 - rho**2) * noise
        left, right, temperature = optimal_critic(x, y, rho)
        loss = info_nce(left, right, temperature).mean()
        bounds.append(mutual_information_bound(loss, torch.tensor(rows)))
        assert bounds[-1] <= math.log(rows)
    bound = torch.stack(bounds)
    error = float(bound.std()) / math.sqrt(len(bounds))
    assert bound.mean() <= information + 3 * error
    if information < math.log(rows) / 2:
        assert bound.mean() >= information - 0.1 - 3 * error
    if information > 1.5 * math.log(rows):
        # The ceiling, not the information, is what holds the bound.
        assert bound.mean() >= 0.95 * math.log(rows)


def test_the_bound_is_never_above_its_ceiling_even_for_a_perfect_match() -> None:
    x = torch.eye(8)
    loss = info_nce(x, x, 0.01).mean()
    bound = mutual_information_bound(loss, torch.tensor(8))
    assert bound <= math.log(8)
    torch.testing.assert_close(bound, torch.tensor(math.log(8)))


def gaussian_pair(rows: int, rho: float) -> tuple[dict[str, Representation], Tensor]:
    """Source and target of 4 coordinates of correlation rho, as representations."""
    x, noise = torch.randn(2, rows, 4)
    y = rho * x + math.sqrt(1 - rho**2) * noise
    valid = torch.ones(rows, dtype=torch.bool)
    given = {
        role: Representation(z, z, {}, valid) for role, z in {"student": x, "teacher": y}.items()
    }
    return given, valid


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_a_trained_bound_approaches_the_known_information_from_below(rho: float) -> None:
    torch.manual_seed(0)
    sizes = {"student": Sizes(4, 4), "teacher": Sizes(4, 4)}
    objective = InfoNCE(sizes, dim=16, learn_temperature=True, projection_hidden=64)
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    for _ in range(300):
        given, _ = gaussian_pair(128, rho)
        optimizer.zero_grad()
        objective(given, {}).loss.backward()
        optimizer.step()
    with torch.no_grad():
        logs = [objective(gaussian_pair(128, rho)[0], {}).logs for _ in range(50)]
    bound = torch.stack([log["bound"] for log in logs])
    information = -4 / 2 * math.log(1 - rho**2)
    assert bound.mean() <= information + 3 * float(bound.std()) / math.sqrt(len(bound))
    assert bound.mean() >= 0.6 * information - 0.02
    assert all(log["ceiling"] == pytest.approx(math.log(128)) for log in logs)


def test_logs_hold_the_bound_of_the_valid_rows_and_its_ceiling() -> None:
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, dim=3)
    given = representations(rows=6)
    given["student"].valid[4:] = False
    output = objective(given, batch(6))
    assert output.logs["ceiling"] == pytest.approx(math.log(4))
    assert output.logs["bound"] == pytest.approx(math.log(4) - float(output.loss.detach()))
    assert set(output.logs) == {"bound", "ceiling"}


@pytest.mark.parametrize("rows", [1, 5])
def test_a_single_valid_row_has_nothing_to_learn_from(rows: int) -> None:
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, learn_temperature=True)
    given = representations(rows)
    given["teacher"].valid[1:] = False
    output = objective(given, batch(rows))
    output.loss.backward()
    assert output.loss == 0
    assert output.logs["bound"] == 0
    assert all(p.grad is not None and not p.grad.any() for p in objective.parameters())
    assert pulled(given["student"], given["teacher"]) == [False, False]


def test_the_teacher_is_pulled_only_where_it_comes_with_gradient() -> None:
    torch.manual_seed(0)
    objective = InfoNCE(SIZES)
    given = representations()
    objective(given, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, True]

    objective.zero_grad()
    given = representations()
    frozen = given | {"teacher": given["teacher"].detach()}
    objective(frozen, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]
    assert all(p.grad is not None and p.grad.any() for p in objective.parameters())


def test_other_roles_can_be_compared() -> None:
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, source="auxiliary", target="teacher")
    given = representations()
    objective(given, batch()).loss.backward()
    assert objective.roles() == {"auxiliary", "teacher"}
    assert pulled(given["auxiliary"], given["teacher"], given["student"]) == [True, True, False]


def test_the_module_is_the_function_of_the_projected_embeddings() -> None:
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, dim=3, temperature=0.2)
    given = representations()
    x = normalize(objective.source_projection(given["student"].embedding), dim=1)
    y = normalize(objective.target_projection(given["teacher"].embedding), dim=1)
    expected = torch.tensor(by_hand(x, y, 0.2, [True] * 5)).mean()
    assert objective(given, batch()).loss.detach() == pytest.approx(float(expected), rel=1e-4)


def test_projections_are_linear_unless_a_hidden_width_is_given() -> None:
    linear = InfoNCE(SIZES, dim=3).source_projection
    x, y = torch.randn(2, 4, 6)
    torch.testing.assert_close(linear(x) + linear(y), linear(x + y) + linear(0 * x))
    hidden = InfoNCE(SIZES, dim=3, projection_hidden=8).source_projection
    assert not torch.allclose(hidden(x) + hidden(y), hidden(x + y) + hidden(0 * x))


def test_a_learned_temperature_starts_where_it_was_set_is_logged_and_learns() -> None:
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, temperature=0.25, learn_temperature=True)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    output = objective(representations(), batch())
    assert output.logs["temperature"] == pytest.approx(0.25)
    output.loss.backward()
    optimizer.step()
    assert objective(representations(), batch()).logs["temperature"] != pytest.approx(0.25)


def test_a_learned_temperature_stays_at_or_above_a_hundredth_and_can_come_back() -> None:
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, learn_temperature=True)
    scale = objective.log_inverse_temperature
    assert scale is not None
    scale.data.fill_(20.0)
    output = objective(representations(), batch())
    assert output.logs["temperature"] == pytest.approx(0.01)
    output.loss.backward()
    assert scale.grad is not None
    assert scale.grad.any()


@pytest.mark.parametrize("learned", [False, True])
def test_twenty_steps_lower_the_loss(learned: bool) -> None:
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, learn_temperature=learned)
    given = representations(rows=16)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = objective(given, batch(16)).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_the_mean_over_masked_rows_is_the_mean_over_the_others() -> None:
    x, y = torch.randn(2, 5, 3)
    mask = torch.tensor([True, True, False, True, False])
    losses = info_nce(x, y, 0.1, mask)
    torch.testing.assert_close(masked_mean(losses, mask), losses[mask].mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, r"InfoNCE\.temperature must be a finite number above 0, got 0\.0"),
        ({"temperature": float("nan")}, r"InfoNCE\.temperature must be"),
        ({"dim": 0}, r"InfoNCE\.dim must be"),
        ({"projection_hidden": 0}, r"InfoNCE\.projection_hidden must be"),
        ({"temperature": 0.001, "learn_temperature": True}, "cannot start at 0.001"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InfoNCE(SIZES, **arguments)


def test_at_least_two_rows_are_asked_for() -> None:
    assert InfoNCE.minimum_rows == 2
