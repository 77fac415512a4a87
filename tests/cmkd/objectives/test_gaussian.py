import math

import pytest
import torch
from torch import Tensor

from cmkd.objectives import GaussianConditionalEntropy, gaussian_conditional_entropy
from cmkd.objectives.gaussian import smooth_bounds
from cmkd.representation import Representation, Sizes
from tests.cmkd.objectives.helpers import SIZES, batch, double_list, pulled, representations


def by_hand(target: Tensor, mean: Tensor, log_variance: Tensor) -> list[float]:
    """-log N by a plain double loop."""
    losses = []
    for t, m, v in zip(*(double_list(x) for x in (target, mean, log_variance)), strict=True):
        loss = 0.0
        for j in range(len(t)):
            density = math.exp(-((t[j] - m[j]) ** 2) / (2 * math.exp(v[j])))
            loss -= math.log(density / math.sqrt(2 * math.pi * math.exp(v[j])))
        losses.append(loss)
    return losses


@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (3, 2), (5, 7)])
def test_the_loss_is_that_of_a_plain_double_loop(rows: int, dim: int) -> None:
    torch.manual_seed(rows)
    inputs = torch.randn(3, rows, dim, dtype=torch.float64)
    expected = torch.tensor(by_hand(*inputs), dtype=torch.float64)
    torch.testing.assert_close(gaussian_conditional_entropy(*inputs), expected)
    torch.testing.assert_close(gaussian_conditional_entropy(*inputs.float()), expected.float())


def test_the_loss_is_the_negative_log_density_of_torchs_normal() -> None:
    torch.manual_seed(0)
    t, m, v = torch.randn(3, 4, 3, dtype=torch.float64)
    expected = -torch.distributions.Normal(m, (v / 2).exp()).log_prob(t).sum(1)
    torch.testing.assert_close(gaussian_conditional_entropy(t, m, v), expected)


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    inputs = [x.clone().requires_grad_() for x in torch.randn(3, 4, 3, dtype=torch.float64)]
    assert torch.autograd.gradcheck(gaussian_conditional_entropy, inputs)


def correlated(rows: int, dim: int, rho: float) -> tuple[Tensor, Tensor, float]:
    """T and S, standard normal with correlation rho by coordinate, and H(T|S) in nats."""
    s, noise = torch.randn(2, rows, dim, dtype=torch.float64)
    t = rho * s + math.sqrt(1 - rho**2) * noise
    return t, s, dim / 2 * math.log(2 * math.pi * math.e * (1 - rho**2))


@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.95])
def test_the_true_conditional_gives_the_conditional_entropy_and_any_other_more(
    dim: int, rho: float
) -> None:
    torch.manual_seed(0)
    t, s, entropy = correlated(100_000, dim, rho)
    log_variance = torch.full_like(t, math.log(1 - rho**2))
    losses = gaussian_conditional_entropy(t, rho * s, log_variance)
    error = 4 * float(losses.std()) / math.sqrt(len(losses))
    assert losses.mean() == pytest.approx(entropy, abs=error)
    wrong = [(rho * s + 0.3, log_variance), (rho * s, log_variance + 0.5)]
    wrong += [(rho * s, log_variance - 0.5), (-0.5 * s, log_variance)]
    for mean, variance in wrong:
        assert gaussian_conditional_entropy(t, mean, variance).mean() > entropy + error


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_a_trained_bound_approaches_the_conditional_entropy_from_above(rho: float) -> None:
    torch.manual_seed(0)
    sizes = {"student": Sizes(3, 2), "teacher": Sizes(3, 2)}
    objective = GaussianConditionalEntropy(sizes, width=32)
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)

    def nats(rows: int) -> tuple[Tensor, Tensor, float]:
        t, s, entropy = correlated(rows, 3, rho)
        valid = torch.ones(rows, dtype=torch.bool)
        given = {
            role: Representation(x.float(), x.float(), {}, valid)
            for role, x in {"student": s, "teacher": t}.items()
        }
        output = objective(given, {})
        return output.loss, output.logs["nats"], entropy

    for _ in range(400):
        optimizer.zero_grad()
        nats(256)[0].backward()
        optimizer.step()
    with torch.no_grad():
        _, found, entropy = nats(50_000)
    assert entropy - 0.02 <= found <= entropy + 0.1


def test_the_loss_is_the_logged_nats_over_the_width() -> None:
    torch.manual_seed(0)
    output = GaussianConditionalEntropy(SIZES)(representations(), batch())
    torch.testing.assert_close(output.loss * 5, output.logs["nats"])


def test_it_starts_near_the_standard_normal() -> None:
    torch.manual_seed(0)
    given = representations(rows=64)
    found = GaussianConditionalEntropy(SIZES)(given, batch(64)).logs["nats"]
    t = given["teacher"].embedding.detach()
    standard = gaussian_conditional_entropy(t, 0 * t, 0 * t).mean()
    assert found == pytest.approx(float(standard), rel=0.01)


def test_only_the_source_is_pulled() -> None:
    torch.manual_seed(0)
    given = representations()
    GaussianConditionalEntropy(SIZES)(given, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_the_log_variance_is_bounded_smoothly_and_never_loses_its_gradient() -> None:
    x = torch.tensor([-1e3, -5.0, -1e-3, 0.0, 1e-3, 5.0, 1e3], dtype=torch.float64)
    x.requires_grad_()
    y = smooth_bounds(x, -2.0, 6.0)
    y.sum().backward()
    assert (y > -2).all()
    assert (y < 6).all()
    assert (y.diff() > 0).all()
    assert x.grad is not None
    assert x.grad[3] == 1
    assert (x.grad > 1e-6).all()
    torch.testing.assert_close(y[2:5], x[2:5], rtol=1e-3, atol=0)
    assert torch.autograd.gradcheck(
        lambda x: smooth_bounds(x, -2.0, 6.0), x[[1, 5]].detach().requires_grad_()
    )


def test_a_target_that_is_known_exactly_has_a_bounded_loss() -> None:
    torch.manual_seed(0)
    sizes = {"student": Sizes(2, 2), "teacher": Sizes(2, 2)}
    objective = GaussianConditionalEntropy(sizes, min_log_variance=-3.0)
    valid = torch.ones(8, dtype=torch.bool)
    constant = Representation(torch.zeros(8, 2), torch.zeros(8, 2), {}, valid)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-1)
    for _ in range(200):
        optimizer.zero_grad()
        output = objective({"student": constant, "teacher": constant}, {})
        output.loss.backward()
        optimizer.step()
    least = (math.log(2 * math.pi) - 3.0) / 2
    assert least <= output.loss <= least + 0.3


def test_twenty_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    objective = GaussianConditionalEntropy(SIZES)
    given = representations(rows=16)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = objective(given, batch(16)).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, r"GaussianConditionalEntropy\.width must be"),
        ({"depth": -1}, r"GaussianConditionalEntropy\.depth must be 0 or more, got -1"),
        ({"min_log_variance": 0.0}, "min_log_variance must be below 0"),
        ({"max_log_variance": -1.0}, "max_log_variance above; got -8.0 and -1.0"),
        ({"max_log_variance": float("inf")}, "got -8.0 and inf"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianConditionalEntropy(SIZES, **arguments)


def test_a_linear_predictor_can_be_asked_for() -> None:
    torch.manual_seed(0)
    objective = GaussianConditionalEntropy(SIZES, depth=0)
    x, y = torch.randn(2, 4, 6)
    f = objective.predictor
    torch.testing.assert_close(f(x) + f(y), f(x + y) + f(0 * x))
