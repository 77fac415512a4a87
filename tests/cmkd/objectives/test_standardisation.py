import copy
import math

import pytest
import torch

from cmkd.objectives import RowStandardisation, RunningStandardisation, Standardisation

ALL = torch.ones(6, dtype=torch.bool)


def test_the_base_leaves_its_input_as_it_is() -> None:
    x = torch.randn(6, 1)
    assert Standardisation(1)(x, ALL) is x


@pytest.mark.parametrize("width", [2, 7])
def test_every_row_gets_mean_0_and_variance_1(width: int) -> None:
    torch.manual_seed(width)
    x = 5 + 3 * torch.randn(6, width, dtype=torch.float64)
    expected = [
        [(v - sum(row) / width) / math.sqrt(spread(row) + 1e-5) for v in row] for row in x.tolist()
    ]
    found = RowStandardisation(width)(x, ALL)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def spread(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / len(values)


def test_a_single_number_has_no_row_to_standardise() -> None:
    with pytest.raises(ValueError, match="single number"):
        RowStandardisation(1)


def test_the_first_batch_is_standardised_with_itself() -> None:
    torch.manual_seed(0)
    x = 5 + 3 * torch.randn(6, 2, dtype=torch.float64)
    found = RunningStandardisation(2).double()(x, ALL)
    expected = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(found, expected)


def test_equal_batches_give_the_statistics_of_all_rows_together() -> None:
    torch.manual_seed(0)
    batches = [i + (i + 1) * torch.randn(6, 3, dtype=torch.float64) for i in range(4)]
    running = RunningStandardisation(3).double()
    for x in batches:
        running(x, ALL)
    rows = torch.cat(batches)
    torch.testing.assert_close(running.mean, rows.mean(0))
    torch.testing.assert_close(running.variance, rows.var(0, correction=0))


def test_a_target_that_moves_is_followed() -> None:
    torch.manual_seed(0)
    running = RunningStandardisation(1, momentum=0.5)
    for centre in [0.0] * 20 + [10.0] * 20:
        running(centre + torch.randn(6, 1), ALL)
    assert running.mean.item() == pytest.approx(10, abs=1.5)


def test_masked_rows_take_no_part_in_the_statistics() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 2)
    mask = torch.tensor([True, True, True, True, False, False])
    masked, alone = RunningStandardisation(2), RunningStandardisation(2)
    spoiled = x.clone()
    spoiled[4:] = 1e6
    found = masked(spoiled, mask)
    torch.testing.assert_close(found[:4], alone(x[:4], mask[:4]))
    torch.testing.assert_close(masked.state_dict(), alone.state_dict())


def test_a_batch_without_valid_rows_changes_nothing() -> None:
    running = RunningStandardisation(2)
    running(torch.randn(6, 2), ALL)
    before = copy.deepcopy(running.state_dict())
    assert running(torch.zeros(6, 2), ~ALL).isfinite().all()
    torch.testing.assert_close(running.state_dict(), before)


def test_statistics_stand_still_in_evaluation() -> None:
    running = RunningStandardisation(2).eval()
    x = torch.randn(6, 2)
    torch.testing.assert_close(running(x, ALL), x, atol=1e-4, rtol=1e-4)
    assert running.batches == 0


@pytest.mark.parametrize("momentum", [0.0, 1.5])
def test_a_momentum_out_of_range_is_refused(momentum: float) -> None:
    with pytest.raises(ValueError, match=r"momentum has to lie in \(0, 1\]"):
        RunningStandardisation(2, momentum)
