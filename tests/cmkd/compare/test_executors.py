"""Which run a process takes next."""

import pytest

from cmkd.compare.executors import next_run
from tests.cmkd.compare.setting import make_plan


@pytest.fixture
def runs(tmp_path):
    """Return none and kd of the folds 24 and 40, in the plan's order."""
    made = make_plan(tmp_path).runs()
    assert [(run.method, run.fold) for run in made] == [
        ("none", "24"), ("none", "40"), ("kd", "24"), ("kd", "40"),
    ]  # fmt: skip
    return made


def test_the_first_run_is_the_first_of_the_plan(runs):
    assert next_run(runs, None, [None]) == 0


def test_a_process_stays_with_the_data_it_has(runs):
    assert next_run(runs[1:], runs[0], []) == 1


def test_a_process_begins_with_data_that_no_other_one_uses(runs):
    assert next_run(runs[1:], None, [runs[0]]) == 0
    assert next_run(runs[2:], None, [runs[0]]) == 1


def test_a_process_helps_out_when_all_data_is_in_use(runs):
    assert next_run(runs[2:3], runs[1], [runs[0], None]) == 0
