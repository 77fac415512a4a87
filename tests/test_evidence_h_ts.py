"""The study of H(T|S): its configs, its tables, and what it looks into."""

import csv
import sys
from pathlib import Path

import pytest
import torch
import yaml

from cmkd.compare.command import main as compare
from cmkd.compare.config import read_comparison
from cmkd.compare.parser import build, parse
from cmkd.compare.plan import Plan, Selection
from cmkd.compare.store import Store

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
EVIDENCE = EXPERIMENTS / "evidence"
sys.path.insert(0, str(EVIDENCE))

import h_ts  # noqa: E402
import h_ts_diagnosis as diagnosis  # noqa: E402
import h_ts_measures  # noqa: E402


@pytest.mark.parametrize("name", ["h_ts", "h_ts_speech"])
def test_every_method_weighs_terms_that_there_are(name):
    terms = yaml.safe_load((EVIDENCE / "h_ts_terms.yaml").read_text())["model"]["student_terms"]
    methods = read_comparison(EVIDENCE / f"{name}.yaml").methods
    for method, variant in methods.items():
        weighed = {key.split(".")[2] for key in variant.overrides}
        assert weighed <= terms.keys(), method
    assert not methods["none"].overrides
    assert len({str(variant) for variant in methods.values()}) == len(methods)


def test_every_term_is_built():
    term = "--model.student_terms.{}.weight=1.0"
    config = EVIDENCE / "h_ts_terms.yaml"
    names = yaml.safe_load(config.read_text())["model"]["student_terms"]
    base = EXPERIMENTS / "latent_world" / "base.yaml"
    arguments = ["--config", str(base), "--config", str(config), *map(term.format, names)]
    model = build(parse(arguments)).model
    assert model.stage_terms["student"].by_name().keys() == names.keys() | {"entropy"}


def test_what_is_looked_into_is_in_the_comparison():
    assert set(diagnosis.METHODS) <= read_comparison(EVIDENCE / "h_ts.yaml").methods.keys()


def results(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "method", "fold", "seed", "val", "accuracy"])
        writer.writerows(rows)
    return path


ROWS = [
    ("world", "none", 0, 0, 0.50, 0.40),
    ("world", "none", 1, 0, 0.30, 0.60),
    ("world", "hinge 0.1", 0, 0, 0.54, 0.39),
    ("world", "hinge 0.1", 1, 0, 0.32, 0.57),
    ("world", "gaussian 0.1", 0, 0, 0.51, 0.50),
    ("world", "gaussian 0.1", 1, 0, 0.31, 0.70),
    ("world", "adversarial + gaussian 0.1", 0, 0, 0.40, 0.40),
]


def test_differences_are_paired_by_fold_and_seed(tmp_path):
    (rows,) = h_ts.read(results(tmp_path / "results.csv", ROWS)).values()
    by_method = {row.method: row for row in rows}
    assert by_method["hinge 0.1"].val_pairs == pytest.approx([4.0, 2.0])
    assert by_method["hinge 0.1"].test.mean == pytest.approx(-2.0)
    assert by_method["hinge 0.1"].accuracy == pytest.approx(48.0)
    assert by_method["adversarial + gaussian 0.1"].val_pairs == pytest.approx([-10.0])


def test_the_best_is_chosen_by_validation_though_another_is_better_on_test(tmp_path):
    (rows,) = h_ts.read(results(tmp_path / "results.csv", ROWS)).values()
    best = h_ts.choices(rows)
    assert "of all (3 tried): hinge 0.1, validation +3.0" in best[0]
    assert "of the adversary alone (1 tried): hinge 0.1" in best[1]
    assert "of the bounds alone (1 tried): gaussian 0.1" in best[2]


def test_pairs_of_all_data_sets_are_pooled(tmp_path):
    other = [("ravdess", *row[1:4], row[4] + 0.1, row[5]) for row in ROWS[:4]]
    groups = h_ts.read(results(tmp_path / "results.csv", ROWS + other))
    none, hinge = h_ts.pooled(groups)
    assert none.method == "none"
    assert hinge.val_pairs == pytest.approx([4.0, 2.0, 4.0, 2.0])


def test_a_data_set_without_the_baseline_is_refused(tmp_path):
    path = results(tmp_path / "results.csv", ROWS[2:])
    with pytest.raises(ValueError, match=r"results\.csv: 'world' has no run of 'none'"):
        h_ts.read(path)


def test_tables_and_figure_come_from_the_file_alone(tmp_path, capsys):
    folder = tmp_path / "runs" / "evidence-h_ts"
    folder.mkdir(parents=True)
    results(folder / "results.csv", ROWS)
    h_ts.main(["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    assert "| gaussian 0.1 | +1.0 ± 0.0 | 60.0 | +10.0 ± 0.0 |" in capsys.readouterr().out
    written = {row["method"]: row for row in csv.DictReader((tmp_path / "out" / "h_ts.csv").open())}
    assert float(written["hinge 0.1"]["val_gain"]) == pytest.approx(3.0)
    assert float(written["hinge 0.1"]["gain"]) == pytest.approx(-2.0)
    assert (tmp_path / "out" / "h_ts.svg").stat().st_size > 1000


def test_without_a_comparison_the_message_says_what_to_run(tmp_path, capsys):
    with pytest.raises(SystemExit):
        h_ts.main(["--runs", str(tmp_path)])
    assert "run the comparison first" in capsys.readouterr().err


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """The folder of a comparison of two students for two epochs in a small world."""
    folder = tmp_path_factory.mktemp("study")
    content = {
        "configs": [
            str(EXPERIMENTS / "latent_world" / "base.yaml"),
            str(EVIDENCE / "h_ts_terms.yaml"),
        ],
        "overrides": {
            "data.init_args.train": 200,
            "model.teacher_epochs": 2,
            "trainer.max_epochs": 4,
        },
        "methods": {"none": {}, "hinge": {"model.student_terms.hinge.weight": 1}},
        "metrics": ["accuracy"],
        "threads": 1,
    }
    path = folder / "h_ts.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare(["--config", str(path), "--out", str(folder / "evidence-h_ts")])
    return folder


def test_a_student_is_looked_into_with_the_comparisons_teacher(comparison, monkeypatch, capsys):
    monkeypatch.setattr(diagnosis, "HERE", comparison)
    # Its processes import it by its name.
    monkeypatch.syspath_prepend(EVIDENCE)
    out = comparison / "results"
    arguments = ["--runs", str(comparison), "--out", str(out), "--methods", "none", "hinge"]
    arguments += ["--jobs", "1"]
    diagnosis.main([*arguments, "--folds", ""])
    none, hinge = diagnosis.kept(out / "h_ts_diagnosis.csv").values()
    assert none.d_val is None
    assert 0 <= hinge.d_val <= 1
    assert hinge.g_val < 1
    assert none.prior == hinge.prior  # the same teacher
    assert none.ridge_val != hinge.ridge_val
    assert 10 < hinge.accuracy < 100

    def again(run, store):
        raise AssertionError("measured twice")

    monkeypatch.setattr(diagnosis, "diagnose", again)
    capsys.readouterr()
    diagnosis.main([*arguments, "--folds", ""])
    assert "| hinge | " in capsys.readouterr().out


def test_without_the_comparison_there_is_no_teacher_to_learn_from(comparison, tmp_path):
    plan = Plan(read_comparison(comparison / "h_ts.yaml"), Selection(methods=["none"]))
    with pytest.raises(ValueError, match="has no teacher for 'none, seed 0'"):
        diagnosis.diagnose(plan.runs()[0], Store(tmp_path))
    with pytest.raises(SystemExit):
        diagnosis.main(["--runs", str(tmp_path), "--out", str(tmp_path)])


def test_the_entropy_without_the_source_is_that_of_a_gaussian():
    torch.manual_seed(0)
    train, val = 3 * torch.randn(2, 20000, 2)
    expected = 0.5 * torch.tensor(2 * torch.pi * torch.e * 9).log().item()
    assert h_ts_measures.prior(train, val) == pytest.approx(expected, abs=0.02)
