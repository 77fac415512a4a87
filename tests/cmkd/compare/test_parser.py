"""Parsing runs: once for all seeds."""

import pytest

from cmkd.compare import parser
from cmkd.compare.parser import build, parse, parse_run
from tests.cmkd.compare.setting import make_run


@pytest.fixture(autouse=True)
def nothing_parsed():
    parser._parsed.cache_clear()


@pytest.mark.parametrize("method", ["none", "ccl"])
def test_a_run_is_parsed_as_its_command_line_is(tmp_path, method):
    for seed in (0, 3):
        run = make_run(tmp_path, method, seed=seed)
        found = parse_run(run)
        assert found == parse(run.arguments())
        assert found.seed_everything == found.data.init_args.seed == seed


def test_runs_that_differ_by_seed_alone_are_parsed_once(tmp_path, monkeypatch):
    parsed = []
    monkeypatch.setattr(
        parser, "parse", lambda settings: parsed.append(settings) or parse(settings)
    )
    for seed in range(3):
        parse_run(make_run(tmp_path, seed=seed))
    assert len(parsed) == 1
    parse_run(make_run(tmp_path, model__student_terms__kd__weight=2.0))
    assert len(parsed) == 2


def test_what_a_run_does_with_its_config_does_not_reach_the_next(tmp_path):
    first = parse_run(make_run(tmp_path, seed=1))
    build(first, trainer__max_epochs=7)
    first.model.student_terms["kd"].weight = 5.0
    second = make_run(tmp_path, seed=2)
    assert parse_run(second) == parse(second.arguments())
