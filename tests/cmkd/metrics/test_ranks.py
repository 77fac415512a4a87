"""Ranks score as one process does, to the last bit."""

from pathlib import Path
from typing import Any

import pytest

from cmkd.tasks import Classification, Regression, Retrieval
from tests.cmkd.ddp.launch import gloo, on_ranks
from tests.cmkd.setting import make_amid, make_data, make_trainer

#: Arguments of model and data.
TASKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "classification": ({"task": Classification}, {}),
    "regression": ({"task": Regression, "num_classes": 1}, {"regression": True}),
    "retrieval": ({"task": Retrieval}, {}),
    "retrieval from a gallery": ({"task": Retrieval}, {"gallery": True}),
}


def score(task: str, folder: Path, ranks: int) -> dict[str, float]:
    model_arguments, data_arguments = TASKS[task]
    trainer = make_trainer(folder, devices=ranks, strategy=gloo() if ranks > 1 else "auto")
    # 31 clips of 3 windows: the sampler repeats windows, and ranks share clips. Every fourth row
    # lacks the auxiliary modality, all of them rows of rank 0; of four ranks it has no others.
    # One row a batch: how a product is rounded depends on the number of its rows.
    data = make_data(batch_size=1, samples=31, windows=3, absent_every=4, **data_arguments)
    evaluate = trainer.test if data.gallery else trainer.validate
    return evaluate(make_amid(**model_arguments), datamodule=data, verbose=False)[0]


def score_all(folder: Path, ranks: int) -> dict[str, dict[str, float]]:
    return {task: score(task, folder, ranks) for task in TASKS}


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_give_the_scores_of_one_process(tmp_path, ranks):
    one = score_all(tmp_path, 1)
    assert {"val/auxiliary_accuracy", "val/student_accuracy"} <= one["classification"].keys()
    assert {"val/auxiliary_mae", "val/student_mae"} <= one["regression"].keys()
    assert {"val/auxiliary_recall_at_1", "val/student_recall_at_1"} <= one["retrieval"].keys()
    assert "test/student_mean_average_precision" in one["retrieval from a gallery"]
    for found in on_ranks(score_all, ranks, tmp_path):
        assert found == one
