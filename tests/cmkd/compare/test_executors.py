"""Which run a process takes next, and how long the processes live."""

import os
from contextlib import closing

import pytest

from cmkd.compare.executors import Finished, SeveralAtOnce, next_run
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


class SaysWhere:
    """A worker whose runs fail with the number of their process."""

    def prepare(self):
        pass

    def __call__(self, run):
        return str(os.getpid())


@pytest.mark.slow
def test_processes_stay_for_the_runs_of_the_next_phase(runs):
    with closing(SeveralAtOnce(SaysWhere(), 2)) as executor:
        places = [
            {event.failure for event in executor.do(phase) if isinstance(event, Finished)}
            for phase in (runs[:1], runs, runs)
        ]
        assert [len(found) for found in places] == [1, 2, 2]
        assert places[0] < places[1] == places[2]
        assert str(os.getpid()) not in places[1]
