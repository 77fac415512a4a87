"""Metrics with intervals for a card."""

import csv

import pytest
import torch

from cmkd import Student
from cmkd.export.evaluation import evaluate, from_comparison
from cmkd.networks import MLP, Concatenation, ModalityNetwork
from cmkd.preprocessing import ReadyTensors
from tests.cmkd.setting import make_data


def student(outputs: int = 3, task: str = "classification") -> Student:
    torch.manual_seed(0)
    network = ModalityNetwork({"face": MLP(6, 16)}, Concatenation, 8, outputs)
    return Student(network, ReadyTensors({"face": [6]}), task=task)


def test_the_interval_of_an_accuracy_is_about_that_of_a_binomial():
    data = make_data(samples=400)
    evaluated = evaluate(student(), data.predict_dataloader())
    accuracy = next(one for one in evaluated.metrics if one.name == "accuracy")
    batch = next(iter(make_data(samples=400, batch_size=400).predict_dataloader()))
    hits = student().network(batch).logits.argmax(1) == batch["label"]
    p = float(hits.float().mean())
    assert accuracy.value == pytest.approx(p, abs=1e-6)
    half = 1.96 * (p * (1 - p) / 400) ** 0.5
    assert accuracy.high - accuracy.value == pytest.approx(half, rel=0.15)
    assert accuracy.value - accuracy.low == pytest.approx(half, rel=0.15)
    assert "400 test samples" in evaluated.protocol


def test_windows_of_a_clip_are_one_sample():
    data = make_data(samples=20, windows=3)
    assert "20 test samples" in evaluate(student(), data.predict_dataloader()).protocol


def test_a_regression_has_its_own_metrics():
    data = make_data(samples=40, regression=True)
    evaluated = evaluate(student(1, "regression"), data.predict_dataloader(), low=-1, high=1)
    metrics = {one.name: one for one in evaluated.metrics}
    assert {"mae", "pearson", "accuracy_3"} <= metrics.keys()
    assert metrics["mae"].low < metrics["mae"].value < metrics["mae"].high


def write_results(folder, accuracies):
    columns = ["group", "method", "fold", "seed", "val", "accuracy", "teacher_accuracy", "key"]
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for (group, method), values in accuracies.items():
            for seed, value in enumerate(values):
                row = {"group": group, "method": method, "seed": seed, "accuracy": value}
                writer.writerow(dict.fromkeys(columns, "") | row)


def test_a_comparison_gives_the_mean_over_the_runs_and_its_t_interval(tmp_path):
    write_results(tmp_path, {("a", "kd"): [0.5, 0.6, 0.7], ("a", "none"): [0.1, 0.1, 0.1]})
    (accuracy,) = from_comparison(tmp_path, "kd", None).metrics
    assert accuracy.value == pytest.approx(0.6)
    # t of 2 degrees of freedom, 4.303, times 0.1 / sqrt(3)
    assert accuracy.high - accuracy.value == pytest.approx(0.2484, abs=1e-4)


def test_a_comparison_without_the_method_or_with_several_groups_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"results\.csv"):
        from_comparison(tmp_path, "kd", None)
    write_results(tmp_path, {("a", "kd"): [0.5], ("b", "kd"): [0.6]})
    with pytest.raises(ValueError, match=r"no runs of 'amid'.*it has kd"):
        from_comparison(tmp_path, "amid", None)
    with pytest.raises(ValueError, match="compare_group: name one of a, b"):
        from_comparison(tmp_path, "kd", None)
    (single,) = from_comparison(tmp_path, "kd", "b").metrics
    assert (single.value, single.low) == (0.6, None)
