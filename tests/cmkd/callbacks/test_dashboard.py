"""The figures of a run: what they show, when they are drawn, what they cost."""

import pytest
import torch

from cmkd.callbacks import Dashboard, epoch_figures
from cmkd.callbacks import dashboard as dashboard_module
from cmkd.callbacks.figure_data import FigureData, gallery, thumbnails
from cmkd.tasks import Regression
from tests.cmkd.setting import make_amid, make_data, make_trainer


@pytest.fixture
def drawn(monkeypatch):
    """Return what is drawn, in its order: instead of drawing, which takes long."""
    calls = []
    for name in (
        "confusion_matrix",
        "per_class_accuracy",
        "embedding_map",
        "retrieval_gallery",
        "samples",
        "curves",
    ):

        def keep(*given, name=name):
            calls.append((name, given))

        monkeypatch.setattr(epoch_figures, name, keep)
    monkeypatch.setattr(dashboard_module, "log_figure", lambda *given: None)
    return calls


def of(calls, name):
    return [given for called, given in calls if called == name]


def fit(tmp_path, callback, model=None, data=None, **trainer):
    trainer = make_trainer(tmp_path, callbacks=[callback], **trainer)
    trainer.fit(model or make_amid(), datamodule=data or make_data())
    return trainer


def test_the_confusion_matrix_counts_every_validation_sample_once(tmp_path, drawn):
    data = make_data(samples=31, windows=3)
    trainer = fit(tmp_path, Dashboard(samples=10, time_share=1.0), data=data)
    *_, (counts, names) = of(drawn, "confusion_matrix")
    assert counts.sum() == 31
    assert names == ["class 0", "class 1", "class 2"]
    accuracy = float(trainer.callback_metrics["val/student_accuracy"])
    assert float(counts.diagonal().sum()) / 31 == pytest.approx(accuracy)


def test_each_epoch_shows_the_network_that_the_stage_trains(tmp_path, drawn):
    fit(tmp_path, Dashboard(time_share=1.0))
    points = [given[0] for given in of(drawn, "embedding_map")]
    assert [list(roles) for roles in points] == [["teacher", "student"]] * 4
    assert all(len(rows) == 32 for roles in points for rows in roles.values())
    # Frozen in the student stage, the teacher stays where it is; the student moves.
    assert torch.equal(points[2]["teacher"], points[3]["teacher"])
    assert not torch.equal(points[2]["student"], points[3]["student"])


def test_the_frozen_teacher_is_run_in_one_validation_of_its_stage(tmp_path, drawn):
    passes = {}
    for name, callbacks in (("with", [Dashboard(time_share=1.0)]), ("without", [])):
        model, seen = make_amid(), []

        def note(*_, model=model, seen=seen):
            # In the steps of training the module itself is in training mode.
            if not model.training:
                seen.append(model.current_epoch)

        model.networks["teacher"].register_forward_hook(note)
        trainer = make_trainer(tmp_path, 5, callbacks=callbacks, num_sanity_val_steps=0)
        trainer.fit(model, datamodule=make_data())
        passes[name] = seen
    # 32 validation samples are four batches.
    assert len(passes["with"]) - len(passes["without"]) == 4


def test_samples_are_the_networks_inputs_of_the_epoch(tmp_path, drawn):
    fit(tmp_path, Dashboard(time_share=1.0), max_epochs=1)
    ((tensors, captions),) = of(drawn, "samples")
    assert {name: tuple(rows.shape) for name, rows in tensors.items()} == {
        "face": (4, 6),
        "audio": (4, 5),
    }
    assert set(captions) <= {"class 0", "class 1", "class 2"}


def test_bounds_are_drawn_below_their_ceilings(tmp_path, drawn):
    fit(tmp_path, Dashboard(time_share=1.0))
    *_, (series, _, ceilings) = of(drawn, "curves")
    assert list(series["teacher stage, mi_ts"][0]) == [0, 1]
    assert list(series["student stage, mi_ts"][0]) == [2, 3]
    # The student stage has no I(T;A), though its last value is still to be had.
    assert "student stage, mi_ta" not in series
    assert ceilings == {"log N = 2.08": pytest.approx(2.0794, abs=1e-4)}


def test_epochs_in_between_are_left_out_but_never_the_last_of_a_stage(tmp_path, drawn):
    callback = Dashboard(every_n_epochs=2, time_share=1.0)
    fit(tmp_path, callback, make_amid(teacher_epochs=3), max_epochs=6)
    # Epochs 1 and 2 of the teacher stage; 4 and 5 of the student's.
    assert len(of(drawn, "confusion_matrix")) == 4


def test_without_time_the_last_epoch_of_the_run_alone_is_drawn(tmp_path, drawn, monkeypatch):
    logged = []
    monkeypatch.setattr(
        dashboard_module, "log_figure", lambda *given: logged.append((given[2], given[3]))
    )
    fit(tmp_path, Dashboard(time_share=0.0))
    assert ("student_confusion_matrix", 3) in logged
    assert {epoch for _, epoch in logged} == {3}


def test_at_the_end_there_is_time_for_the_stages_before(tmp_path, drawn, monkeypatch):
    logged = []
    monkeypatch.setattr(
        dashboard_module, "log_figure", lambda *given: logged.append((given[2], given[3]))
    )
    # Time passes between the last epoch and the end.
    free = iter([False] * 4 + [True] * 4)
    monkeypatch.setattr(Dashboard, "_has_time", lambda self, sets: next(free))
    fit(tmp_path, Dashboard())
    assert {epoch for name, epoch in logged if name.startswith("student_conf")} == {3}
    assert {epoch for name, epoch in logged if name.startswith("teacher_conf")} == {1}


def test_a_task_without_classes_has_the_figures_that_need_none(tmp_path, drawn):
    model = make_amid(task=Regression, num_classes=1)
    fit(tmp_path, Dashboard(time_share=1.0), model, make_data(regression=True))
    assert {name for name, _ in drawn} == {"samples", "curves"}


def test_without_matplotlib_a_run_goes_on_without_figures(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(dashboard_module, "find_spec", lambda name: None)
    trainer = fit(tmp_path, Dashboard(time_share=1.0), max_epochs=1)
    assert trainer.current_epoch == 1
    assert not drawn


def test_a_figure_that_fails_ends_no_run(tmp_path, drawn, monkeypatch):
    def fail(*given):
        raise RuntimeError("no space left")

    monkeypatch.setattr(dashboard_module, "log_figure", fail)
    with pytest.warns(UserWarning, match="figures of epoch 0: RuntimeError: no space left"):
        trainer = fit(tmp_path, Dashboard(time_share=1.0), max_epochs=1)
    assert trainer.current_epoch == 1


def test_a_gallery_finds_neighbours_but_never_the_query():
    embeddings = {"student": torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])}
    label = torch.tensor([0, 0, 1, 0])
    data = FigureData("student", torch.zeros(2, 2), embeddings, torch.arange(4), label)
    rows = gallery(data, ["cat", "dog"], queries=3)
    assert len(rows) == 3
    assert [hit.relevant for hit in rows[0].hits] == [True, True, False]
    assert [hit.caption for hit in rows[2].hits] == ["cat"] * 3
    assert [hit.relevant for hit in rows[2].hits] == [False] * 3
    assert rows[0].query.relevant is None


def test_thumbnails_are_small_pictures_of_images_and_of_the_middle_of_videos():
    video = torch.zeros(2, 3, 5, 90, 80)
    video[:, :, 2, :45] = 1.0
    pictures = thumbnails(video)
    assert pictures.shape == (2, 3, 64, 64)
    assert pictures.dtype == torch.uint8
    assert pictures[:, :, 0].min() == 255
    assert pictures[:, :, -1].max() == 0
    assert thumbnails(torch.rand(3, 1, 28, 28)).shape == (3, 3, 28, 28)
    assert thumbnails(video[:0]).shape == (0, 3, 64, 64)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("every_n_epochs", 0), ("samples", 1), ("queries", 0), ("time_share", 2), ("projection", "a")],
)
def test_an_argument_out_of_its_range_is_named(argument, value):
    with pytest.raises(ValueError, match=rf"Dashboard\.{argument} must"):
        Dashboard(**{argument: value})
