"""The evidence on the weak teacher: its comparisons, table and figure."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from cmkd.compare.command import main as compare
from cmkd.compare.statistics import t_interval

EVIDENCE = Path(__file__).parents[1] / "experiments" / "evidence"
sys.path.insert(0, str(EVIDENCE))

import weak_teacher  # noqa: E402
import weak_teacher_figure  # noqa: E402

WEAK, CURED = "I(T;S) 10", "I(T;S) 10 + I(T;A) 10"
SHORT = ["--model.teacher_epochs", "2", "--trainer.max_epochs", "3"]


def run(folder, data, *more):
    name = f"weak_teacher_{data}"
    config = EVIDENCE / f"{name}.yaml"
    compare(["--config", str(config), "--out", str(folder / f"evidence-{name}"), *more])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two folds of four methods, too short to show anything."""
    folder = tmp_path_factory.mktemp("runs")
    methods = ["--methods", weak_teacher.ALONE, "I(T;S) 0", WEAK, CURED]
    small = ["--data.init_args.train", "128", "--data.init_args.test", "200"]
    run(folder, "world", "--folds", "0", "1", *methods, *small, *SHORT)
    return folder


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory):
    """What the script wrote."""
    folder = tmp_path_factory.mktemp("results")
    weak_teacher.main(["--data", "world", "--runs", str(runs), "--out", str(folder)])
    return folder


def rows_of(folder):
    """Return the CSV's rows as the script has them."""

    def number(text):
        return float(text) if text else None

    with (folder / "weak_teacher.csv").open(newline="") as file:
        return [
            weak_teacher.Row(
                data=row["data"],
                mi_ts=number(row["mi_ts"]),
                mi_ta=number(row["mi_ta"]),
                metric=row["metric"],
                mean=float(row["mean"]),
                half_width=number(row["half_width"]),
                runs=int(row["runs"]),
            )
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("data", weak_teacher.DATA)
def test_the_weight_is_swept_without_and_with_the_cure(data):
    found = weak_teacher.weights(EVIDENCE / f"weak_teacher_{data}.yaml")
    assert found.pop(weak_teacher.ALONE) == (None, None)
    swept = (0.0, 0.3, 1.0, 3.0, 10.0)
    for *_, mi_ta in weak_teacher_figure.CURVES.values():
        assert {(mi_ts, mi_ta(mi_ts)) for mi_ts in swept} <= set(found.values())


def test_the_table_holds_the_records_paired_by_fold(runs, written):
    records: dict[str, dict[str, dict[str, float]]] = {}
    folder = runs / "evidence-weak_teacher_world"
    with (folder / "results.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            record = json.loads((folder / "runs" / f"{line['key']}.json").read_text())
            records.setdefault(line["method"], {})[line["fold"]] = record["test"]
    found = {(row.mi_ts, row.mi_ta, row.metric): row for row in rows_of(written)}
    for metric in ("teacher_accuracy", "student_accuracy", "teacher_auxiliary_only_r2"):
        expected = t_interval([test[metric] for test in records[WEAK].values()])
        row = found[10, 0, metric]
        assert row.mean == pytest.approx(expected.mean, rel=1e-4)
        assert row.half_width == pytest.approx(expected.half_width, rel=1e-4)
        assert row.runs == 2
    gains = [
        records[CURED][fold]["student_accuracy"] - alone["student_accuracy"]
        for fold, alone in records[weak_teacher.ALONE].items()
    ]
    assert found[10, 10, "student_gain"].mean == pytest.approx(np.mean(gains), abs=1e-5)
    assert (None, None, "student_gain") not in found
    assert (None, None, "teacher_accuracy") not in found


def test_the_figure_is_small_names_its_axes_and_is_the_same_for_the_same_rows(written, tmp_path):
    figure = (written / "weak_teacher.svg").read_bytes()
    assert len(figure) < 100_000
    for text in (
        b"teacher: accuracy (%)",
        b"weight of I(T;S) in the teacher stage",
        b"without I(T;A)",
    ):
        assert text in figure
    weak_teacher_figure.draw(rows_of(written), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == figure


def test_results_that_are_not_there_are_named_with_the_command_that_makes_them(runs, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cmkd compare --config .*weak_teacher_ravdess"):
        weak_teacher.main(["--runs", str(runs), "--out", str(tmp_path)])


def test_a_lost_record_is_named(runs, tmp_path):
    lost = tmp_path / "evidence-weak_teacher_world"
    lost.mkdir()
    (lost / "results.csv").write_bytes((runs / lost.name / "results.csv").read_bytes())
    with pytest.raises(ValueError, match=r"student alone, run .*, has no record"):
        weak_teacher.main(["--data", "world", "--runs", str(tmp_path), "--out", str(tmp_path)])


def test_the_sweep_on_ravdess_runs_on_a_file_of_its_layout(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "ravdess.npz"
    actor, emotion = (grid.ravel() for grid in np.meshgrid(np.arange(1, 25), np.arange(1, 9)))
    audio = rng.normal(size=(192, 259)).astype(np.float32)
    # Of few causes, so that some training samples are enough to find them again.
    face = (rng.normal(size=(192, 3)) @ rng.normal(size=(3, 35))).astype(np.float32)
    np.savez(file, face_au=face, audio_mfcc=audio, actor=actor, emotion=emotion)
    chosen = ["--methods", weak_teacher.ALONE, CURED, "--folds", "0", "--seeds", "0"]
    run(tmp_path, "ravdess", *chosen, "--data.init_args.file", str(file), *SHORT)
    weak_teacher.main(["--data", "ravdess", "--runs", str(tmp_path), "--out", str(tmp_path)])
    found = {(row.mi_ts, row.metric): row for row in rows_of(tmp_path)}
    # The audio is noise: the student's embedding says nothing of the face, the teacher's does.
    assert found[10, "teacher_auxiliary_only_r2"].mean > 0.1
    assert found[10, "student_auxiliary_only_r2"].mean < 0.05


@pytest.mark.slow
def test_a_heavy_term_makes_the_teacher_weak_and_the_auxiliary_model_cures_it(tmp_path):
    run(tmp_path, "world", "--folds", "0", "--methods", "I(T;S) 0", WEAK, CURED)
    found = {
        (row.mi_ts, row.mi_ta, row.metric): row.mean
        for row in weak_teacher.read(
            "world", EVIDENCE / "weak_teacher_world.yaml", tmp_path / "evidence-weak_teacher_world"
        )
    }
    for metric, fall in (("teacher_accuracy", 0.2), ("teacher_auxiliary_only_r2", 0.15)):
        strong, weak, cured = (found[*pair, metric] for pair in ((0, 0), (10, 0), (10, 10)))
        assert weak < strong - fall
        assert cured > weak + fall / 2
