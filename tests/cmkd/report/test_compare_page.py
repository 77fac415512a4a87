"""The report of a comparison holds its tables."""

import shutil

import pytest

from cmkd.report.canvas import Canvas
from cmkd.report.compare_page import compare_page
from cmkd.report.page import Table
from tests.cmkd.report.reading import blocks, drawings, section, table


@pytest.fixture(scope="module")
def page(compare_folder, tmp_path_factory):
    return compare_page(compare_folder, Canvas(tmp_path_factory.mktemp("figures")))


def test_the_table_is_the_one_that_compare_printed(page, compare_folder):
    found = blocks(section(page, "Test accuracy"), Table)[0]
    lines = [" | ".join(["", *row, ""]).strip() for row in [found.columns, *found.rows]]
    printed = (compare_folder / "table.md").read_text().splitlines()
    assert found.caption == "test accuracy in %"
    assert [" ".join(line.split()) for line in lines] == [
        " ".join(line.split()) for line in printed if line.startswith("|") and "---" not in line
    ]


def test_differences_are_drawn_with_their_intervals(page):
    svg = drawings(page)["difference_accuracy_1"]
    assert ">kd<" in svg
    assert "difference to none, points" in svg


def test_every_run_is_listed_and_what_it_was_made_with(page):
    assert len(table(section(page, "Runs"))) == 8
    facts = dict(section(page, "What was run").blocks[0].pairs)
    assert facts["methods"] == "none, kd"
    assert facts["baseline"] == "none"
    assert facts["folds"] == "24, 40"
    assert "torch" in facts["versions"]
    assert "--seeds 0..1" in facts["command"]


def test_results_alone_give_the_same_table_but_for_their_six_digits(page, compare_folder, tmp_path):
    shutil.copy(compare_folder / "results.csv", tmp_path)
    alone = compare_page(tmp_path, Canvas(tmp_path / "figures"))
    # Nothing says that the metric is a percentage.
    mine = table(section(alone, "Test accuracy"))
    theirs = table(section(page, "Test accuracy"))
    for one, other in zip(mine, theirs, strict=True):
        # Three digits after the point there, one of the percentage here.
        assert 100 * float(one["student"]) == pytest.approx(float(other["student"]), abs=0.11)


def test_results_of_another_kind_are_refused_by_name(tmp_path):
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"results\.csv has no column group, method"):
        compare_page(tmp_path, Canvas(tmp_path))
    header = "group,method,fold,seed,val,accuracy,seconds,key\n"
    (tmp_path / "results.csv").write_text(header)
    with pytest.raises(ValueError, match="holds no run"):
        compare_page(tmp_path, Canvas(tmp_path))
