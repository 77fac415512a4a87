"""Regression: one real number a sample, better where the error is lower."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from cmkd.callbacks import ResultsTable, StageCheckpoint
from cmkd.checkpoints import read_checkpoint
from cmkd.cli import run
from cmkd.objectives import AdversarialConditionalEntropy, InfoNCE
from cmkd.representation import Representation
from cmkd.tasks import Regression
from cmkd.terms import Term
from tests.cmkd.setting import make_data, make_model, make_trainer

TINY = str(Path(__file__).parents[1] / "tiny.yaml")
NAMES = {
    "mae",
    "pearson",
    "binary_accuracy",
    "binary_f1",
    "binary_accuracy_nonzero",
    "binary_f1_nonzero",
    "accuracy_7",
}


def make_regression(**overrides):
    terms = {
        "mi_ts": Term(partial(InfoNCE, dim=8), 0.1),
        "h_ts": Term(partial(AdversarialConditionalEntropy, width=16, noise_dim=4), 0.1),
    }
    arguments = {"num_classes": 1, "task": Regression, "student_terms": terms}
    return make_model(**(arguments | overrides))


def represent(values, valid):
    logits = torch.tensor(values)[:, None]
    return Representation(logits, logits, {}, torch.tensor(valid))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    checkpoint = StageCheckpoint("val/student_mae", "min", dirpath=str(folder))
    table = ResultsTable()
    trainer = make_trainer(
        folder, max_epochs=8, enable_checkpointing=True, callbacks=[checkpoint, table]
    )
    model = make_regression(teacher_epochs=4)
    scores = {"teacher": [], "student": []}
    log_metrics = model._log_metrics

    def recorded(split):
        values = log_metrics(split)
        for role, seen in scores.items():
            if f"val/{role}_mae" in values and not trainer.sanity_checking:
                seen.append(float(values[f"val/{role}_mae"]))
        return values

    model._log_metrics = recorded
    trainer.fit(model, datamodule=make_data(regression=True, classes=5))
    return model, trainer, checkpoint, scores


def test_a_fit_lowers_the_error_and_reports_every_figure(fitted):
    _, trainer, _, scores = fitted
    assert {f"val/student_{name}" for name in NAMES} <= set(trainer.callback_metrics)
    assert len(scores["student"]) == len(scores["teacher"]) == 4
    assert scores["student"][-1] < scores["student"][0]


def test_the_best_teacher_and_student_have_the_lowest_error(fitted):
    model, _, checkpoint, scores = fitted
    assert model.progress.best("teacher").score == min(scores["teacher"])
    assert float(checkpoint.best_model_score) == pytest.approx(min(scores["student"]))
    best = read_checkpoint(checkpoint.best_model_path)
    assert best["epoch"] == 4 + scores["student"].index(min(scores["student"]))


def test_the_results_table_shows_the_error(fitted, capsys):
    model, trainer, _, _ = fitted
    table = next(c for c in trainer.callbacks if isinstance(c, ResultsTable))
    table.on_fit_end(trainer, model)
    printed = capsys.readouterr().out
    assert "Best validation mae" in printed
    assert f"{model.progress.best('teacher').score:.4f}" in printed


def test_the_test_averages_predicted_values_over_windows(fitted):
    model, trainer, _, _ = fitted
    data = make_data(regression=True, classes=5, windows=3)
    (results,) = trainer.test(model, datamodule=data, verbose=False)
    batches = trainer.predict(model, datamodule=data)
    prediction = torch.cat([batch["prediction"] for batch in batches]).view(32, 3).mean(1)
    error = (prediction - (torch.arange(32) % 5 - 2)).abs().mean()
    assert results["test/student_mae"] == pytest.approx(float(error), abs=1e-5)


@pytest.mark.parametrize("criterion", [nn.L1Loss, nn.MSELoss, partial(nn.HuberLoss, delta=0.5)])
def test_the_loss_is_the_criterions_mean_over_valid_rows(criterion):
    representation = represent([0.5, 9.0, -2.0, 1.0], [True, False, True, True])
    label = torch.tensor([0.0, 1.0, -1.0, 2.5])
    loss = Regression(1, criterion).loss(representation, {"label": label})
    kept = torch.tensor([0, 2, 3])
    expected = criterion()(representation.logits[kept, 0], label[kept])
    torch.testing.assert_close(loss, expected)


def test_whole_numbers_are_labels_too():
    task, representation = Regression(), represent([0.5, 1.0], [True, True])
    batch = {"label": torch.tensor([0, 3]), "index": torch.arange(2)}
    task.check(batch)
    assert task.loss(representation, batch) == 1.25
    assert task.step_metrics(representation, batch)["mae"] == 1.25


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_label_that_is_no_number_names_the_sample(bad):
    batch = {"label": torch.tensor([0.0, bad]), "index": torch.tensor([4, 17])}
    with pytest.raises(ValueError, match="of sample 17 is not a finite number"):
        Regression().check(batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_outputs": 3}, "predicts one number, but the networks have 3 outputs"),
        ({"low": 3, "high": 3}, "low < high"),
        ({"low": 1, "high": 5}, "neutral between them"),
    ],
)
def test_a_task_refuses_settings_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        Regression(**arguments)


def test_the_command_line_runs_it(tmp_path):
    arguments = [
        "--config", TINY,
        "--data.init_args.regression", "true",
        "--model.task", "cmkd.tasks.Regression",
        "--model.task.init_args.criterion", "torch.nn.HuberLoss",
        "--model.task.init_args.criterion.delta", "0.5",
        "--model.task.init_args.high", "2",
        "--model.task.init_args.low", "-2",
        "--run.dir", str(tmp_path),
        "--run.wandb", "disabled",
    ]  # fmt: skip
    monitor = ["--checkpoint.monitor", "val/student_mae", "--checkpoint.mode", "min"]
    cli = run(["fit", *arguments, *monitor])
    assert isinstance(cli.model.task, Regression)
    assert cli.model.task.criterion.delta == 0.5
    assert cli.model.task.criterion.reduction == "none"
    best = tmp_path / "checkpoints" / "best.ckpt"
    tested = run(["test", "--config", str(tmp_path / "config.yaml"), "--ckpt_path", str(best)])
    assert "test/student_accuracy_5" in tested.trainer.callback_metrics
    assert "val/student_mae" in (tmp_path / "metrics.csv").read_text().splitlines()[0]
