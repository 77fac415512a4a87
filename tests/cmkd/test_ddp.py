"""Two processes train as one with the joint batch does."""

from functools import partial

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy

from cmkd import Term
from cmkd.objectives import (
    AdversarialConditionalEntropy,
    GaussianConditionalEntropy,
    InfoNCE,
    KnowledgeDistillation,
)
from tests.cmkd.setting import make_data, make_model, make_trainer, weights

TERMS = {
    "teacher_terms": {
        "mi_ts": Term(partial(InfoNCE, dim=8), 0.1),
        "mi_ta": Term(partial(InfoNCE, source="auxiliary", dim=8), 0.1),
    },
    "student_terms": {
        "mi_ts": Term(partial(InfoNCE, dim=8), 0.1),
        # Without noise: each rank draws its own.
        "h_ts": Term(partial(AdversarialConditionalEntropy, width=16, noise_dim=0), 0.1),
        "gaussian": Term(partial(GaussianConditionalEntropy, width=16), 0.1),
        "kd": Term(KnowledgeDistillation, 0.1),
    },
}


def fit(folder, ranks, absent_every):
    # SGD: its steps are proportional to the gradients, so a wrong factor shows.
    model = make_model(optimizer=partial(torch.optim.SGD, lr=0.05), **TERMS)
    strategy = DDPStrategy(start_method="spawn", process_group_backend="gloo")
    trainer = make_trainer(
        folder, devices=ranks, strategy=strategy if ranks > 1 else "auto", num_sanity_val_steps=0
    )
    trainer.fit(model, datamodule=make_data(batch_size=8 // ranks, absent_every=absent_every))
    return weights(model), trainer.callback_metrics


@pytest.mark.slow
@pytest.mark.parametrize("absent_every", [0, 3])
def test_two_ranks_end_with_the_weights_and_metrics_of_one_process(tmp_path, absent_every):
    one, one_metrics = fit(tmp_path, 1, absent_every)
    two, two_metrics = fit(tmp_path, 2, absent_every)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)
    key = "val/student_accuracy"
    assert float(one_metrics[key]) == float(two_metrics[key])
