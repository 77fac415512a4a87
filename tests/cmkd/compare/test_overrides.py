"""Overrides: which wins, and those inside the stages of a method."""

import pytest

from cmkd.compare.overrides import as_arguments, merged, with_whole_stages
from cmkd.compare.parser import build, parse_run
from tests.cmkd.compare.setting import make_run

CONTENTS = [{"model": {"stages": {"old": {}}}}, {"model": {"stages": {"student": {"x": 1}}}}, {}]


def test_later_layers_win_and_come_last():
    layers = [{"a.x": 1, "a.y": 2}, {"a.x": 3}]
    assert list(merged(layers).items()) == [("a.y", 2), ("a.x", 3)]


def test_arguments_are_what_the_command_line_takes():
    overrides = {"a.b": None, "a.c": True, "a.d": "1e-3", "a.e": [1, "x"], "a.f": 0.5}
    assert as_arguments(overrides) == [
        "--a.b=null", "--a.c=true", "--a.d=1e-3", '--a.e=[1, "x"]', "--a.f=0.5",
    ]  # fmt: skip


def test_what_is_inside_the_stages_is_put_into_those_of_the_last_config():
    overrides = {"model.stages.student.terms.kd.weight": 2, "model.dropout": 0.1}
    assert with_whole_stages(overrides, CONTENTS) == {
        "model.dropout": 0.1,
        "model.stages": {"student": {"x": 1, "terms": {"kd": {"weight": 2}}}},
    }
    assert CONTENTS[1] == {"model": {"stages": {"student": {"x": 1}}}}


def test_a_method_without_stages_is_named():
    with pytest.raises(ValueError, match=r"stages\.student\.x: no config .* has model\.stages"):
        with_whole_stages({"model.stages.student.x": 1}, [{"model": {}}, None])


def test_a_term_of_a_stage_is_weighted(tmp_path):
    key = "model__stages__student__terms__ccl__weight"
    model = build(parse_run(make_run(tmp_path, "ccl", **{key: 3.0}))).model
    assert model.stage_terms["student"].weights["ccl"] == 3.0
    assert model.stage_terms["student"].objectives["ccl"].source == "student"


def test_a_term_of_a_stage_that_is_not_there_is_refused(tmp_path):
    key = "model__stages__student__terms__cll__weight"
    with pytest.raises(ValueError, match=r"model\.stages: .*objective"):
        parse_run(make_run(tmp_path, "ccl", **{key: 3.0}))
