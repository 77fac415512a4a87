"""What is evaluated: the student by its own modalities, the teacher where it can be."""

import pytest
import torch

from cmkd.metrics.evaluation import Rows
from cmkd.metrics.running import RunningMeans
from cmkd.representation import Representation
from cmkd.tasks import Classification
from tests.cmkd.setting import kd_terms, make_amid, make_data, make_model, make_trainer


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    model = make_model(student_terms=kd_terms())
    trainer = make_trainer(tmp_path_factory.mktemp("run"))
    trainer.fit(model, datamodule=make_data())
    return model, trainer


def test_the_test_batches_hold_no_auxiliary_modality_and_score_the_student(fitted):
    model, trainer = fitted
    data = make_data()
    (results,) = trainer.test(model, datamodule=data, verbose=False)
    assert set(results) == {
        "test/student_accuracy",
        "test/student_unweighted_accuracy",
        "test/student_macro_f1",
    }
    assert results["test/student_accuracy"] > 0.5
    assert "audio" not in next(iter(data.test_dataloader()))


def test_the_teacher_is_scored_where_the_test_holds_its_modalities(fitted):
    model, trainer = fitted
    (results,) = trainer.test(model, datamodule=make_data(auxiliary_at_test=True), verbose=False)
    assert results["test/teacher_accuracy"] > 0.5
    (alone,) = trainer.test(model, datamodule=make_data(), verbose=False)
    assert results["test/student_accuracy"] == alone["test/student_accuracy"]


def test_the_result_does_not_depend_on_the_batch_size(fitted):
    model, trainer = fitted
    results = [
        trainer.test(model, datamodule=make_data(batch_size=size), verbose=False)[0]
        for size in (1, 5, 32)
    ]
    assert results[0] == results[1] == results[2]


def test_predictions_come_with_sample_number_and_embedding(fitted):
    model, trainer = fitted
    batches = trainer.predict(model, datamodule=make_data())
    assert batches[0].keys() == {"index", "prediction", "embedding"}
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(32))
    prediction = torch.cat([batch["prediction"] for batch in batches])
    torch.testing.assert_close(prediction.sum(1), torch.ones(32))
    assert batches[0]["embedding"].shape == (8, 8)


def test_predictions_of_windows_say_which_window(fitted):
    model, trainer = fitted
    batches = trainer.predict(model, datamodule=make_data(samples=5, windows=3))
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [
        clip for clip in range(5) for _ in range(3)
    ]
    assert torch.cat([batch["window"] for batch in batches]).tolist() == [0, 1, 2] * 5


def test_a_clip_is_scored_by_the_mean_over_its_windows(fitted):
    model, trainer = fitted
    data = make_data(samples=60, windows=3)
    (results,) = trainer.test(model, datamodule=data, verbose=False)
    batches = trainer.predict(model, datamodule=data)
    prediction = torch.cat([batch["prediction"] for batch in batches]).view(60, 3, -1)
    label = torch.arange(60) % 3
    by_clip = (prediction.mean(1).argmax(1) == label).float().mean()
    by_window = (prediction.argmax(2) == label[:, None]).float().mean()
    assert results["test/student_accuracy"] == by_clip
    assert by_clip != by_window


def rows(prediction, target, index, window=None, valid=None):
    return Rows(
        prediction=prediction,
        embedding=prediction,
        target=torch.tensor(target),
        index=torch.tensor(index),
        window=torch.tensor(window or [0] * len(index)),
        valid=torch.tensor(valid or [True] * len(index)),
    )


def test_windows_of_a_clip_are_averaged_and_repeated_samples_count_once():
    metrics = Classification(3).metrics()
    # Clip 0 in two windows that disagree, the surer one right, the other one repeated as a sampler
    # does: with double weight it would win.
    prediction = torch.tensor([[0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.3, 0.7, 0.0], [0.0, 0.0, 1.0]])
    metrics.update(rows(prediction, [0, 0, 0, 1], [0, 0, 0, 1], [0, 1, 1, 0]))
    assert metrics.compute()["accuracy"] == 0.5


def test_rows_that_are_not_valid_do_not_count():
    metrics = Classification(2).metrics()
    prediction = torch.tensor([[1.0, 0.0], [float("nan"), float("nan")]])
    metrics.update(rows(prediction, [0, 1], [0, 1], valid=[True, False]))
    assert metrics.compute()["accuracy"] == 1
    assert metrics.left_out == 1


def test_metrics_without_any_valid_row_are_left_out():
    metrics = Classification(2).metrics()
    assert metrics.compute() == {}
    metrics.update(rows(torch.zeros(2, 2), [0, 0], [0, 1], valid=[False, False]))
    assert metrics.compute() == {}


def test_samples_without_the_networks_modality_are_reported_by_network(tmp_path):
    data = make_data(absent_every=4)
    with pytest.warns(UserWarning, match=r"8 samples have none of the auxiliary's modalities"):
        make_trainer(tmp_path, max_epochs=1).fit(make_amid(), datamodule=data)


def test_top5_comes_with_more_than_five_classes():
    for classes in (5, 6):
        metrics = Classification(classes).metrics()
        metrics.update(rows(torch.randn(2, classes), [0, 1], [0, 1]))
        assert ("top5_accuracy" in metrics.compute()) == (classes == 6)


def test_a_gallery_is_refused_by_a_task_that_searches_nothing(fitted):
    model, trainer = fitted
    with pytest.raises(ValueError, match=r"Classification searches nothing; set data\.init_args"):
        trainer.test(model, datamodule=make_data(gallery=True), verbose=False)


def test_a_label_out_of_range_names_the_sample(tmp_path):
    data = make_data(classes=4)
    with pytest.raises(ValueError, match=r"label 3 of sample \d+ is outside 0\.\.2"):
        make_trainer(tmp_path).fit(make_model(), datamodule=data)


def test_the_loss_is_the_mean_over_valid_rows():
    task = Classification(3, label_smoothing=0.1)
    logits = torch.randn(4, 3, dtype=torch.float64)
    valid = torch.tensor([True, False, True, True])
    logits[1] = float("nan")
    representation = Representation(logits, logits, {}, valid)
    label = torch.tensor([0, 1, 2, 0])
    rows = []
    for row in (0, 2, 3):
        log_p = logits[row].float().log_softmax(0)
        smooth = torch.full((3,), 0.1 / 3)
        smooth[label[row]] += 0.9
        rows.append(-(smooth * log_p).sum())
    loss = task.loss(representation, {"label": label})
    torch.testing.assert_close(loss, torch.stack(rows).mean())


def test_a_task_refuses_settings_out_of_range():
    with pytest.raises(ValueError, match=r"at least 2 classes, got 1; .*cmkd\.tasks\.Regression"):
        Classification(1)
    with pytest.raises(ValueError, match="label_smoothing"):
        Classification(3, label_smoothing=1.0)


def test_running_means_are_means_since_the_last_call():
    means = RunningMeans()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(10.0)})
    means.add({"a": torch.tensor(3.0)})
    assert means.pop("train/") == {"train/a": 2.0, "train/b": 10.0}
    assert means.pop() == {}
