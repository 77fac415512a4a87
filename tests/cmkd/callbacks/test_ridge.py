"""Ridge regression."""

import pytest
import torch

from cmkd.callbacks.ridge import Ridge, r_squared


def problem(rows, features, targets=2, noise=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator).double() + 3
    weight = torch.randn(features, targets, generator=generator).double()
    return x, x @ weight - 1 + noise * torch.randn(rows, targets, generator=generator)


def solve(x, y, penalty):
    """Return the prediction of a ridge regression by its normal equations."""
    mean_x, mean_y = x.mean(0), y.mean(0)
    gram = (x - mean_x).T @ (x - mean_x) + penalty * torch.eye(x.shape[1]).double()
    weight = torch.linalg.solve(gram, (x - mean_x).T @ (y - mean_y))
    return lambda new: mean_y + (new - mean_x) @ weight


@pytest.mark.parametrize(("rows", "features"), [(40, 5), (12, 30)])
def test_the_closed_form_solves_the_normal_equations(rows, features):
    x, y = problem(rows, features)
    ridge = Ridge.fit(x, y)
    torch.testing.assert_close(ridge.predict(x), solve(x, y, ridge.penalty)(x))


@pytest.mark.parametrize(("rows", "features"), [(25, 4), (12, 20)])
def test_the_residuals_are_those_of_regressions_that_never_saw_the_row(rows, features):
    x, y = problem(rows, features)
    ridge = Ridge.fit(x, y)
    for row in range(rows):
        others = torch.arange(rows) != row
        left_out = solve(x[others], y[others], ridge.penalty)(x[row])
        torch.testing.assert_close(ridge.residual[row], y[row] - left_out)


def test_the_penalty_is_large_where_nothing_can_be_learnt_and_small_where_all_can():
    x, y = problem(60, 20, noise=0.01)
    nonsense = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
    assert Ridge.fit(x, y).penalty < 1e-2 * Ridge.fit(x, nonsense).penalty


def test_nothing_is_predicted_from_nothing():
    _, y = problem(200, 30, seed=2)
    fresh = torch.randn(200, 30, generator=torch.Generator().manual_seed(3)).double()
    score = r_squared(Ridge.fit(fresh[:100], y[:100]).predict(fresh[100:]), y[100:])
    assert -0.1 < score < 0.05


def test_inputs_that_do_not_vary_predict_the_mean():
    _, y = problem(10, 3)
    ridge = Ridge.fit(torch.ones(10, 3), y)
    torch.testing.assert_close(ridge.predict(torch.ones(4, 3)), y.mean(0).expand(4, -1))


def test_r_squared_is_one_for_the_truth_and_zero_for_the_mean():
    _, y = problem(20, 3)
    assert r_squared(y, y) == 1
    assert r_squared(y.mean(0).expand_as(y), y) == pytest.approx(0)
    assert r_squared(-y, y) < 0


def test_what_cannot_be_fitted_is_refused():
    x, y = problem(10, 3)
    with pytest.raises(ValueError, match="at least three rows, got"):
        Ridge.fit(x[:2], y[:2])
    with pytest.raises(ValueError, match=r"got \(10, 3\) and \(9, 2\)"):
        Ridge.fit(x, y[:9])
    with pytest.raises(ValueError, match="NaN or infinity"):
        Ridge.fit(x * torch.nan, y)
    with pytest.raises(ValueError, match="the targets do not vary"):
        r_squared(y, torch.ones_like(y))
