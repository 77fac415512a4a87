"""Retrieval: learned as a classification, evaluated by search."""

from functools import partial

import pytest
import torch
from torch.nn.functional import normalize

from cmkd.metrics.evaluation import Rows
from cmkd.metrics.retrieval import retrieval_metrics
from cmkd.tasks import Retrieval
from tests.cmkd.setting import kd_terms, make_data, make_model, make_trainer

NAMES = {
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "recall_at_20",
    "median_rank",
    "mean_average_precision",
    "queries_without_match",
    "accuracy",
    "unweighted_accuracy",
    "macro_f1",
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    model = make_model(task=Retrieval, student_terms=kd_terms())
    trainer = make_trainer(tmp_path_factory.mktemp("run"))
    trainer.fit(model, datamodule=make_data())
    return model, trainer


def scores(fitted, **settings):
    """Return what a test gives, by metric; Lightning lists it once for each loader."""
    model, trainer = fitted
    results = trainer.test(model, datamodule=make_data(**settings), verbose=False)
    assert all(result == results[0] for result in results)
    return results[0]


def embeddings(network, loader):
    """Return the embedding of each clip, the mean over its windows, and its label."""
    network.eval()
    with torch.no_grad():
        batches = [(network(batch).embedding, batch["label"], batch["index"]) for batch in loader]
    embedding, label, index = (torch.cat(parts) for parts in zip(*batches, strict=True))
    clips = range(int(index.max()) + 1)
    means = torch.stack([embedding[index == clip].mean(0) for clip in clips])
    return normalize(means, dim=1), torch.stack([label[index == clip][0] for clip in clips])


def assert_scores(results, prefix, expected):
    for name, value in expected.items():
        assert results[f"{prefix}_{name}"] == pytest.approx(float(value), abs=1e-5), name


@pytest.mark.parametrize("windows", [None, 3])
def test_test_clips_are_searched_in_the_gallery(fitted, windows):
    results = scores(fitted, gallery=True, windows=windows)
    assert set(results) == {f"test/student_{name}" for name in NAMES}
    loaders = make_data(gallery=True, windows=windows).test_dataloader()
    query, query_label = embeddings(fitted[0], loaders["test"])
    gallery, label = embeddings(fitted[0], loaders["gallery"])
    assert not torch.equal(query, gallery)
    assert_scores(results, "test/student", retrieval_metrics(query, query_label, gallery, label))
    assert results["test/student_recall_at_1"] > 0.5


def test_without_a_gallery_test_clips_are_searched_among_themselves(fitted):
    clips, label = embeddings(fitted[0], make_data(windows=2).test_dataloader())
    expected = retrieval_metrics(clips, label, clips, label, exclude_self=True)
    assert_scores(scores(fitted, windows=2), "test/student", expected)


def test_the_classification_counts_the_queries_alone(fitted):
    searched, alone = scores(fitted, gallery=True), scores(fitted)
    assert searched["test/student_accuracy"] == alone["test/student_accuracy"]
    precision = "test/student_mean_average_precision"
    assert searched[precision] != alone[precision]


def test_the_teacher_searches_with_its_own_embeddings(fitted):
    results = scores(fitted, gallery=True, auxiliary_at_test=True)
    assert set(results) == {f"test/{role}_{n}" for role in ("student", "teacher") for n in NAMES}
    precision = "mean_average_precision"
    assert results[f"test/student_{precision}"] != results[f"test/teacher_{precision}"]


@pytest.mark.parametrize("given", [True, False])
def test_the_result_does_not_depend_on_the_batch_size(fitted, given):
    results = [scores(fitted, gallery=given, windows=3, batch_size=size) for size in (1, 7, 96)]
    for other in results[1:]:
        assert other == pytest.approx(results[0], abs=1e-6)


def test_validation_searches_and_keeps_the_best_teacher_by_it(tmp_path):
    model, trainer = make_model(task=Retrieval), make_trainer(tmp_path)
    trainer.fit(model, datamodule=make_data())
    assert {f"val/student_{name}" for name in NAMES} <= set(trainer.callback_metrics)
    clips, label = embeddings(model, make_data().val_dataloader())
    expected = retrieval_metrics(clips, label, clips, label, exclude_self=True)
    assert_scores(trainer.callback_metrics, "val/student", expected)
    # The teacher now is the best one.
    clips, label = embeddings(model.network("teacher"), make_data().val_dataloader())
    expected = retrieval_metrics(clips, label, clips, label, exclude_self=True)
    assert model.progress.best("teacher").score == pytest.approx(
        float(expected["recall_at_1"]), abs=1e-6
    )


def test_a_repeated_window_does_not_weigh_double():
    embedding = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
    # Clip 0 in two windows, the second one repeated: its mean lies between clips 1 and 2.
    rows = Rows(
        prediction=torch.eye(2)[[0, 0, 0, 1, 0]],
        embedding=embedding,
        target=torch.tensor([0, 0, 0, 1, 0]),
        index=torch.tensor([0, 0, 0, 1, 2]),
        window=torch.tensor([0, 1, 1, 0, 0]),
        valid=torch.ones(5, dtype=torch.bool),
    )
    metrics = Retrieval(2).metrics()
    metrics.update(rows)
    values = metrics.compute()
    # Equally near to both, clip 0 finds the other label first; clip 2 finds clip 1 first.
    assert values["median_rank"] == 2
    assert values["queries_without_match"] == 1
    assert values["accuracy"] == 1


def test_a_gallery_clip_with_a_querys_number_is_another_clip():
    metrics = Retrieval(2).metrics()
    everything = torch.ones(2, dtype=torch.bool)
    number, zero = torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long)
    query, gallery = torch.eye(2), torch.eye(2).flip(0)
    metrics.update(Rows(query, query, number, number, zero, everything))
    metrics.update_gallery(Rows(gallery, gallery, number.flip(0), number, zero, everything))
    assert metrics.compute()["recall_at_1"] == 1


def test_absent_gallery_clips_are_left_out_and_counted():
    metrics = Retrieval(2).metrics()
    number, zero = torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long)
    query, valid = torch.eye(2), torch.tensor([True, True])
    metrics.update(Rows(query, query, number, number, zero, valid))
    metrics.update_gallery(Rows(query, query, number, number, zero, torch.tensor([True, False])))
    values = metrics.compute()
    assert metrics.left_out == 1
    assert values["queries_without_match"] == 1
    assert values["recall_at_1"] == 0.5


def test_a_gallery_without_any_valid_clip_gives_no_search():
    metrics = Retrieval(2).metrics()
    number, zero = torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long)
    query, valid = torch.eye(2), torch.tensor([True, True])
    metrics.update(Rows(query, query, number, number, zero, valid))
    metrics.update_gallery(Rows(query, query, number, number, zero, ~valid))
    assert metrics.compute().keys() == {"accuracy", "unweighted_accuracy", "macro_f1"}
    assert metrics.left_out == 2


def test_the_first_k_is_monitored_and_wrong_ones_are_refused(tmp_path):
    task = Retrieval(3, ks=[5, 2])
    assert task.monitor == "recall_at_5"
    for ks in ([], [0], [1, 1]):
        with pytest.raises(ValueError, match=r"Retrieval\.ks"):
            Retrieval(3, ks=ks)
    model = make_model(task=partial(Retrieval, ks=[2]), teacher_epochs=0)
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(model, datamodule=make_data())
    assert "val/student_recall_at_2" in trainer.callback_metrics
