"""The YAML of a comparison: what it says, and what is refused."""

from pathlib import Path

import pytest
import yaml

from cmkd.compare.config import read_comparison
from cmkd.compare.reading import integers
from tests.cmkd.compare.setting import METHODS, SEARCH, TINY, write

EXPERIMENTS = METHODS.parent
COMPARISONS = sorted(EXPERIMENTS.rglob("*compare.yaml"))


def test_paths_are_relative_to_the_file_and_overrides_stand_beside_them(tmp_path):
    (tmp_path / "base.yaml").write_text(TINY.read_text())
    methods = {"soft": {"configs": "base.yaml", "model.teacher_epochs": 1}, "plain": None}
    comparison = read_comparison(write(tmp_path, configs=["base.yaml"], methods=methods))
    assert comparison.base.configs == (str(tmp_path / "base.yaml"),)
    soft = comparison.methods["soft"]
    assert soft.configs == (str(tmp_path / "base.yaml"),)
    assert soft.overrides == {"model.teacher_epochs": 1}
    assert comparison.methods["plain"].configs == ()
    assert comparison.baseline == "soft"


def test_an_included_file_gives_what_the_file_does_not_say(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "soft.yaml").write_text(TINY.read_text())
    methods = {"none": None, "soft": "soft.yaml", "hard": {"configs": ["soft.yaml"]}}
    grids = {name: {"model.x.y": [1, 2]} for name in methods}
    shared = {"methods": methods, "seeds": 3, "tune": {"budget": 2, "grids": grids}}
    (tmp_path / "shared" / "all.yaml").write_text(yaml.safe_dump(shared, sort_keys=False))
    own = {
        "include": "shared/all.yaml",
        "methods": {"hard": None, "own": {"model.x.y": 5}},
        "tune": {
            "seeds": 4,
            "grids": {"own": {"model.x.y": [3, 4]}, "soft": {"model.x.y": [6, 7]}},
        },
    }
    comparison = read_comparison(write(tmp_path, **own))
    assert list(comparison.methods) == ["none", "soft", "own"]
    assert comparison.methods["soft"].configs == (str(tmp_path / "shared" / "soft.yaml"),)
    assert comparison.seeds == (3,)
    assert comparison.search.seeds == (4,)
    assert [s["model.x.y"] for s in comparison.search.trials["soft"]] == [6, 7]
    assert [s["model.x.y"] for s in comparison.search.trials["none"]] == [1, 2]


def test_an_included_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"include: there is no file .*nowhere.yaml"):
        read_comparison(write(tmp_path, include="nowhere.yaml"))


def test_a_fold_template_keeps_the_type_of_its_values(tmp_path):
    folds = {"values": "0..1", "overrides": {"data.fold": "{fold}", "data.list": ["f{fold}.txt"]}}
    (group,) = read_comparison(write(tmp_path, folds=folds)).groups.values()
    assert group.folds == {
        "0": {"data.fold": 0, "data.list": ["f0.txt"]},
        "1": {"data.fold": 1, "data.list": ["f1.txt"]},
    }


def test_folds_may_be_named_and_a_group_may_have_its_own(tmp_path):
    groups = {"one": {"folds": {"only": {"data.split": 1}}, "model.x.y": 2}, "two": {}}
    comparison = read_comparison(write(tmp_path, groups=groups))
    assert comparison.groups["one"].folds == {"only": {"data.split": 1}}
    assert comparison.groups["one"].variant.overrides == {"model.x.y": 2}
    assert set(comparison.groups["two"].folds) == {"24", "40"}


def test_data_without_folds_has_one(tmp_path):
    comparison = read_comparison(write(tmp_path, folds=None))
    assert comparison.groups[""].folds == {"": {}}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0..4", (0, 1, 2, 3, 4)), ("3", (3,)), ([1, "4..5"], (1, 4, 5)), (7, (7,))],
)
def test_ranges_name_both_ends(text, numbers):
    assert integers(text, "seeds") == numbers


@pytest.mark.parametrize("text", ["", "a", "4..0", "1,1", "0..2,1", "1.5"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ValueError, match="seeds"):
        integers(text, "seeds")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": ["accuracy"]}, "no key 'metric'; did you mean 'metrics'"),
        ({"methods": {"kd": "nowhere.yaml"}}, "methods.kd: there is no config .*nowhere.yaml"),
        ({"methods": {}}, "methods: has to be a mapping"),
        ({"methods": {"kd": 3}}, "methods.kd: has to be a path"),
        ({"methods": {"kd": {"teacher_epochs": 3}}}, "methods.kd: teacher_epochs is neither"),
        ({"baseline": "nine"}, "no method 'nine'; did you mean 'none'"),
        ({"metrics": {"accuracy": "%"}}, "metrics: accuracy needs a number"),
        ({"metrics": None}, "metrics: has to be"),
        ({"threads": 0}, "threads: has to be 1 or more"),
        ({"folds": {"values": "0..1", "overrides": {"data.fold": 0}}}, "the folds do not differ"),
        ({"folds": {"values": "0..1"}}, "a template has `values` and `overrides`"),
        ({"tune": {"budget": 2, "grids": {"kd": {"a.b": [1, 2]}}}}, "none has no grid"),
        ({"tune": SEARCH | {"budget": 0}}, "tune.budget"),
        ({"tune": SEARCH | {"grids": {"kdd": {}}}}, "no method 'kdd'; did you mean 'kd'"),
        ({"tune": SEARCH | {"shared": {"method": "amid"}}}, "tune.shared.method: there is no"),
    ],
)
def test_what_does_not_fit_is_named_with_the_file(tmp_path, changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=rf"compare\.yaml: .*{message}"):
        read_comparison(write(tmp_path, **changes))


def test_a_file_that_is_not_there_or_no_yaml_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        read_comparison(tmp_path / "nowhere.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match=r"broken\.yaml is not YAML"):
        read_comparison(tmp_path / "broken.yaml")


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_the_comparisons_of_the_experiments_are_whole(path):
    comparison = read_comparison(path)
    assert comparison.baseline == "none"
    assert comparison.search is not None
    assert comparison.search.trials.keys() == comparison.methods.keys()
    assert len({len(trials) for trials in comparison.search.trials.values()}) == 1


def test_there_are_comparisons_to_look_at():
    assert {path.relative_to(EXPERIMENTS) for path in COMPARISONS} >= {Path("ravdess/compare.yaml")}
    assert yaml.safe_load(COMPARISONS[0].read_text())
