"""Rows, paired differences and tables, from records written by hand."""

import csv
from statistics import fmean, stdev

import pytest
from scipy import stats

from cmkd.compare.plan import Selection
from cmkd.compare.results import compare, missing, outcomes, write_results
from cmkd.compare.store import Record, Store
from cmkd.compare.tables import ResultTable
from tests.cmkd.compare.setting import make_plan


@pytest.fixture
def runs(tmp_path):
    return make_plan(tmp_path, selection=Selection(seeds=[0, 1, 2])).runs()


def record(run, score, teacher=None, metric="accuracy"):
    test = {f"student_{metric}": score}
    if teacher is not None:
        test[f"teacher_{metric}"] = teacher
    return Record(run.key, 0.5, "max", 3, test, 1.25, None, run.command(), {})


def scored(run):
    """Give each run a score that differs by method, fold and seed."""
    return 0.5 + 0.02 * run.seed + (0.1 if run.fold == "40" else 0) + gain(run)


def gain(run):
    return 0.0 if run.method == "none" else 0.03 + 0.01 * run.seed * (1 if run.fold == "40" else -2)


@pytest.fixture
def store(tmp_path, runs):
    store = Store(tmp_path / "out")
    for run in runs:
        store.save(record(run, scored(run), 0.9 if run.method == "kd" else None))
    return store


def test_differences_are_paired_by_fold_and_seed(runs, store):
    none, kd = compare(outcomes(runs, store), "accuracy", "none")
    gains = [gain(run) for run in runs if run.method == "kd"]
    mine = [scored(run) for run in runs if run.method == "kd"]
    low, high = stats.t.interval(0.95, 5, fmean(gains), stdev(gains) / 6**0.5)
    assert kd.runs == 6
    assert (kd.mean, kd.deviation) == pytest.approx((fmean(mine), stdev(mine)))
    assert kd.difference.mean == pytest.approx(fmean(gains))
    assert kd.difference.half_width == pytest.approx((high - low) / 2)
    assert kd.difference.count == 6
    assert kd.teacher == pytest.approx(0.9)
    assert none.difference is None
    assert none.teacher is None
    assert missing(outcomes(runs, store), "none") == []


def test_pairs_are_incomplete_and_say_so_where_a_run_is_missing(runs, store):
    gone = [run for run in runs if (run.method, run.seed) in {("none", 0), ("kd", 1)}]
    for run in gone:
        store.forget(run.key)
    finished = outcomes(runs, store)
    _, kd = compare(finished, "accuracy", "none")
    left = [gain(run) for run in runs if run.method == "kd" and run.seed == 2]
    assert kd.runs == 4
    assert kd.difference.count == 2
    assert kd.difference.mean == pytest.approx(fmean(left))
    assert missing(finished, "none") == [
        "none: 2 of 6 runs are missing: fold 24 seed 0; fold 40 seed 0",
        "kd: 2 of 6 runs are missing: fold 24 seed 1; fold 40 seed 1",
        "kd: 2 of 6 runs have no none to be paired with: fold 24 seed 0; fold 40 seed 0",
    ]


def test_without_a_baseline_there_is_no_difference_and_a_note(tmp_path, store):
    runs = make_plan(tmp_path, selection=Selection(methods=["kd"], seeds=[0])).runs()
    finished = outcomes(runs, store)
    assert compare(finished, "accuracy", "none")[0].difference is None
    assert missing(finished, "none") == ["kd: the baseline none is not among the runs"]


def test_the_csv_has_a_row_for_each_finished_run(tmp_path, runs, store):
    store.forget(runs[0].key)
    write_results(tmp_path / "results.csv", outcomes(runs, store), ["accuracy"])
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(runs) - 1
    assert list(rows[0]) == [
        "group", "method", "fold", "seed", "val", "accuracy", "teacher_accuracy", "seconds", "key",
    ]  # fmt: skip
    for row, run in zip(rows, runs[1:], strict=True):
        assert (row["method"], row["fold"], row["seed"]) == (run.method, run.fold, str(run.seed))
        assert float(row["accuracy"]) == pytest.approx(scored(run), abs=1e-6)
        assert row["teacher_accuracy"] == ("0.9" if run.method == "kd" else "")
        assert row["key"] == run.key


def test_a_half_written_csv_is_written_anew(tmp_path, runs, store):
    path = tmp_path / "results.csv"
    path.write_text("group,method,fo")
    write_results(path, outcomes(runs, store), ["accuracy"])
    assert len(path.read_text().splitlines()) == len(runs) + 1
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_unknown_metric_is_answered_with_those_there_are(tmp_path, runs, store):
    with pytest.raises(ValueError, match=r"no test metric 'f1'.*accuracy"):
        write_results(tmp_path / "results.csv", outcomes(runs, store), ["f1"])


def test_the_markdown_table_shows_percent_signs_and_the_interval(runs, store):
    lines = compare(outcomes(runs, store), "accuracy", "none")
    text = ResultTable("accuracy", lines, "none", factor=100).markdown()
    half = 100 * lines[1].difference.half_width
    mean = 100 * lines[1].difference.mean
    assert text.splitlines()[2] == (
        "| method | teacher | student | ± sd | runs | - none | 95 % interval | pairs |"
    )
    assert f"| {mean:+.1f} | {mean - half:+.1f} to {mean + half:+.1f} | 6 |" in text
    assert "| none |  | 57.0 | 5.8 | 6 |  |  |  |" in text


def test_one_pair_has_a_difference_and_no_interval(tmp_path, store):
    runs = make_plan(tmp_path, selection=Selection(folds=["24"], seeds=[0])).runs()
    table = ResultTable("accuracy", compare(outcomes(runs, store), "accuracy", "none"), "none", 100)
    assert "95 % interval" not in table.columns
    assert "+3.0" in table.rows[1]


def test_a_damaged_record_is_no_record_and_is_named(runs, store):
    (store.folder / "runs" / f"{runs[0].key}.json").write_text('{"key": "ab')
    with pytest.warns(UserWarning, match=rf"{runs[0].key}\.json is damaged.*made again"):
        assert store.record(runs[0].key) is None


def test_a_record_is_read_as_it_was_written(runs, store):
    assert store.record(runs[-1].key) == record(runs[-1], scored(runs[-1]), 0.9)
