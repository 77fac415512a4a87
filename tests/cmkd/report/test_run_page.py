"""The report of a run holds what the run did."""

import csv
import shutil

import pytest
import yaml

from cmkd.checkpoints import read_checkpoint
from cmkd.report.canvas import Canvas
from cmkd.report.command import main
from cmkd.report.folders import read_run
from cmkd.report.page import Gallery, Text
from cmkd.report.run_page import RunOptions, run_page
from cmkd.report.training_sections import terms_of
from tests.cmkd.report.reading import blocks, drawings, networks, section, table

FIGURES = {
    "validation",
    "task_loss",
    "terms",
    "information",
    "conditional_entropy_entropy",
    "discriminator",
    "confusion_matrix",
    "per_class_accuracy",
    "embedding_student",
    "embedding_teacher",
    "samples",
}


@pytest.fixture(scope="module")
def made(run_folder, tmp_path_factory):
    """Return the page of the run and the folder of its figures."""
    figures = tmp_path_factory.mktemp("figures")
    page, reason = run_page(read_run(run_folder), Canvas(figures), RunOptions())
    assert reason is None
    return page, figures


def words(page):
    return " ".join(block.text for block in blocks(section(page, "Results"), Text))


def copy_of(run_folder, folder):
    shutil.copytree(run_folder, folder, ignore=shutil.ignore_patterns("report.html", "figures"))
    return folder


def test_the_metrics_are_those_that_chose_the_checkpoint(made, run_folder):
    found = networks(section(made[0], "Results"))
    best = read_checkpoint(str(run_folder / "checkpoints" / "best.ckpt"))
    with (run_folder / "metrics.csv").open() as file:
        logged = [
            float(row["val/student_accuracy"])
            for row in csv.DictReader(file)
            if row["val/student_accuracy"] and int(row["epoch"]) == best["epoch"]
        ]
    accuracy = found["student"]["accuracy"]
    assert [accuracy["value"]] == [f"{value:.3f}" for value in logged]
    low, high = map(float, accuracy["95 % interval"].split(" to "))
    assert low <= logged[0] <= high


def test_an_auxiliary_model_that_no_term_trained_is_not_scored(made):
    assert set(networks(section(made[0], "Results"))) == {"student", "teacher"}


def test_terms_stages_and_epochs_are_told(made):
    what = section(made[0], "What was run")
    facts = dict(what.blocks[0].pairs)
    assert facts["student sees"] == "video"
    assert facts["epochs"] == "1 of the stages before the student's, 3 in all, 3 reached"
    assert {(row["stage"], row["term"], row["weight"]) for row in table(what)} == {
        ("teacher", "mi_ts", "0.1"),
        ("student", "mi_ts", "0.1"),
        ("student", "h_ts", "0.1"),
    }


def test_of_a_wrapped_objective_the_terms_name_what_it_holds():
    pair = {"source": "student", "target": "teacher"}
    inner = {"class_path": "cmkd.objectives.KnowledgeDistillation", "init_args": pair}
    outer = {"class_path": "cmkd.objectives.Unlabelled", "init_args": {"objective": inner}}
    model = {"student_terms": {"h_label": {"weight": 0.5, "objective": outer}}}
    name = "Unlabelled: KnowledgeDistillation"
    assert terms_of(model) == [["student", "h_label", name, "student", "teacher", "0.5"]]


def test_every_figure_is_on_the_page_and_in_both_formats(made):
    page, folder = made
    svgs = drawings(page)
    assert set(svgs) == FIGURES
    files = {path.name for path in folder.iterdir()}
    expected = FIGURES | {"retrieval_gallery"}
    assert files == {f"{name}.{suffix}" for name in expected for suffix in ("png", "svg")}
    assert "student stage" in svgs["validation"]
    assert all(f">{name}<" in svgs["validation"] for name in ("student", "teacher"))
    assert "macro" not in svgs["validation"]
    # A batch has 8 samples.
    assert "log 8" in svgs["information"]


def test_a_query_finds_others_of_the_split_and_clips_move(made):
    gallery = blocks(section(made[0], "Retrieval gallery"), Gallery)[0]
    assert len(gallery.rows) == 6
    for query, *hits in gallery.rows:
        assert query.mark == "query"
        assert len(hits) == 5
        assert query.sample not in [hit.sample for hit in hits]
        assert [hit.mark == "hit" for hit in hits] == [hit.name == query.name for hit in hits]
        assert all(card.moving.startswith("data:image/webp") for card in (query, *hits))


def test_classes_are_listed_with_their_samples(made):
    rows = table(section(made[0], "Classes"))
    assert [row["class"] for row in rows] == [f"class {label}" for label in range(8)]
    assert sum(int(row["samples"]) for row in rows) == 32


@pytest.fixture(scope="module")
def other(run_folder, tmp_path_factory):
    """Return the page of the last checkpoint, which searches a gallery for fewer test samples."""
    run = read_run(run_folder, run_folder / "checkpoints" / "last.ckpt")
    changes = ("data.init_args.samples=12", "data.init_args.gallery=true")
    task = "model.task=cmkd.tasks.Retrieval"
    options = RunOptions(split="test", overrides=[f"--{one}" for one in (*changes, task)])
    page, reason = run_page(run, Canvas(tmp_path_factory.mktemp("other")), options)
    assert reason is None
    return page


def test_the_test_split_is_looked_at_only_where_asked_and_lacks_the_teacher(made, other):
    assert "32 validation samples" in words(made[0])
    assert "12 test samples" in words(other)
    assert set(networks(section(other, "Results"))) == {"student"}
    assert "auxiliary_at_test" in words(other)


def test_a_retrieval_run_is_scored_and_shown_in_the_gallery_of_its_data(other):
    student = networks(section(other, "Results"))["student"]
    assert {"recall_at_1", "median_rank", "mean_average_precision", "accuracy"} <= set(student)
    gallery = section(other, "Retrieval gallery")
    assert "nearest in the gallery" in blocks(gallery, Text)[0].text
    # A gallery is another split: its sample of a number is not the query.
    assert len(blocks(gallery, Gallery)[0].rows[0]) == 6


def test_another_checkpoint_can_be_named(other, run_folder):
    last = read_checkpoint(str(run_folder / "checkpoints" / "last.ckpt"))
    facts = dict(section(other, "What was run").blocks[0].pairs)
    assert facts["best checkpoint"].startswith(f"epoch {last['epoch']};")


def test_without_its_data_a_report_says_why_and_shows_the_rest(run_folder, tmp_path, capsys):
    folder = copy_of(run_folder, tmp_path / "run")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"]["class_path"] = "datamodules.UCF101"
    config["data"]["init_args"] = {"root": "/gone/clips", "list_folder": "/gone/lists"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    main([str(folder)])
    assert "there is no folder /gone/clips" in capsys.readouterr().err
    html = (folder / "report.html").read_text()
    assert "there is no folder /gone/clips" in html
    assert "Learning curves" in html
    assert "Confusion" not in html


def test_without_a_checkpoint_a_report_says_so(run_folder, tmp_path, capsys):
    folder = copy_of(run_folder, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints")
    main([str(folder), "--out", str(tmp_path / "out")])
    assert "there is no best.ckpt in checkpoints" in capsys.readouterr().err
    assert "Learning curves" in (tmp_path / "out" / "report.html").read_text()
    assert not (folder / "report.html").exists()


def test_a_report_needs_nothing_but_its_file(reports):
    html = reports["run"].read_text()
    assert "t-SNE" in html
    outside = [word for word in ("src=", "href=", "url(") for part in html.split(word)[1:]
               if not part.lstrip("\"'").startswith(("data:", "#"))]  # fmt: skip
    assert outside == []
