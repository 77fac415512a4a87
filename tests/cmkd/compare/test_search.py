"""The trials of each method: equally many for all."""

import pytest

from cmkd.compare.search import settings


def test_a_grid_is_every_combination_of_its_values():
    grid = {"model.a": [1, 2], "both": {"keys": ["model.b", "model.c"], "values": [3, 4]}}
    assert settings(grid, 4, 0, "grid") == [
        {"model.a": a, "model.b": b, "model.c": b} for a in (1, 2) for b in (3, 4)
    ]


@pytest.mark.parametrize(("budget", "message"), [(3, "has 4 settings and the budget"), (5, "add")])
def test_a_grid_of_another_size_than_the_budget_is_refused(budget, message):
    with pytest.raises(ValueError, match=rf"grids\.kd: its grid.*{message}"):
        settings({"model.a": [1, 2], "model.b": [3, 4]}, budget, 0, "grids.kd")


def test_a_range_is_drawn_from_after_a_trial_that_changes_nothing():
    grid = {"model.a": {"range": [0.01, 10], "log": True}, "model.b": [1, 2]}
    drawn = settings(grid, 40, 0, "grid")
    assert drawn[0] == {}
    assert len(drawn) == 40
    values = [setting["model.a"] for setting in drawn[1:]]
    assert all(0.01 <= value <= 10 for value in values)
    # Half of the logarithm's range lies below its middle.
    assert 10 <= sum(value < 0.316 for value in values) <= 29
    assert {setting["model.b"] for setting in drawn[1:]} == {1, 2}


def test_draws_are_the_same_again_and_for_every_method_with_the_same_axis():
    axis = {"model.lr": {"range": [0, 1]}}
    first = settings(axis, 5, 0, "grid")
    other = settings({"model.w": {"range": [0, 1]}, **axis}, 5, 0, "grid")
    assert first == settings(axis, 5, 0, "grid")
    assert [s["model.lr"] for s in first[1:]] == [s["model.lr"] for s in other[1:]]
    assert [s["model.w"] for s in other[1:]] != [s["model.lr"] for s in other[1:]]
    assert first != settings(axis, 5, 1, "grid")


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"weight": [1]}, "no dotted key"),
        ({"model.a": 3}, "list of values"),
        ({"model.a": {"range": [0, 1], "values": [1]}}, "either `values` or `range`"),
        ({"model.a": {"range": [0, 1], "log": True}}, "no range"),
        ({"model.a": {"range": [1]}}, "lowest, highest"),
        ({"model.a": {"rnage": [0, 1]}}, "did you mean 'range'"),
        (None, "mapping"),
    ],
)
def test_an_axis_that_does_not_fit_is_named(grid, message):
    with pytest.raises(ValueError, match=rf"grid.*{message}"):
        settings(grid, 2, 0, "grid")
