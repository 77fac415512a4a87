"""Any number of ranks train as one process with the joint batch does."""

from functools import partial

import pytest
import torch

from cmkd import Term
from cmkd.objectives import InfoNCE
from tests.cmkd.ddp.cases import STEPS, cases_of, train, train_all, uninterrupted
from tests.cmkd.ddp.launch import on_ranks
from tests.cmkd.setting import batch_norm_encoders, make_model

#: Relative to the length of the tensor; of float32's rounding, which sums another order gives.
TOLERANCE = 1e-5
#: Of bfloat16's rounding, in all tensors together: a wrong factor of a term is more.
BF16_TOLERANCE = 3e-2


def assert_ranks_equal(ranks):
    for key in ("weights at the end, teacher", "weights at the end, student"):
        for other in ranks[1:]:
            torch.testing.assert_close(
                other["tensors"][key], ranks[0]["tensors"][key], rtol=0, atol=0, equal_nan=True
            )


def assert_close(found, expected, precision, what):
    assert found.keys() == expected.keys(), what
    errors, lengths = {}, {}
    for name, value in expected.items():
        if value.is_floating_point():
            # What is NaN is not set yet: CRD's constants before their stage.
            difference = (found[name] - value).where(~(found[name].isnan() & value.isnan()), 0)
            errors[name], lengths[name] = float(difference.norm()), float(value.nan_to_num().norm())
        else:
            assert torch.equal(found[name], value), f"{what}: {name}"
    if precision == "bf16-mixed":
        error, length = (torch.tensor([*x.values()]).norm() for x in (errors, lengths))
        assert error < BF16_TOLERANCE * length, f"{what}: {error / length:.1e}"
        return
    for name, error in errors.items():
        # Sums whose parts cancel, as a critic's bias has, are no more exact than their parts.
        assert error <= TOLERANCE * lengths[name] + 1e-7, f"{what}: {name}, {error:.1e}"


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_have_the_first_gradients_and_after_20_steps_the_weights_of_one_process(
    tmp_path, ranks
):
    found = on_ranks(train_all, ranks, tmp_path)
    for title, case in cases_of(ranks).items():
        of_ranks = [rank[title] for rank in found]
        # Buffers too: queue and bank hold the same on all of them.
        assert_ranks_equal(of_ranks)
        one = train(uninterrupted(case), tmp_path, ranks=1)
        assert one["steps"] == of_ranks[0]["steps"] == 2 * STEPS
        for key, tensors in one["tensors"].items():
            assert tensors
            what = f"{title}: {key}"
            assert_close(of_ranks[0]["tensors"][key], tensors, case.precision, what)
        # What all ranks write alike was sent in no step.
        sent = {name.split(".")[-2] for name in of_ranks[0]["sent"]}
        assert not sent & {"queue", "bank"}
        if case.precision == "32-true":
            key = "val/student_accuracy"
            assert of_ranks[0]["metrics"][key] == one["metrics"][key]
            if "crd" in case.objectives:
                assert "crd" in sent


def test_ddp_sends_batch_norm_statistics_of_rank_0_but_no_queue():
    terms = {"queue": Term(partial(InfoNCE, dim=8, queue_size=24))}
    model = make_model(encoders=batch_norm_encoders(), student_terms=terms)
    model.allocate(train_samples=32)
    kept_back = model._ddp_params_and_buffers_to_ignore
    queue = "stage_terms.student.objectives.queue.queue"
    assert kept_back == {f"{queue}.{name}" for name in ("source", "target", "sample", "oldest")}
    assert any("running_mean" in name for name, _ in model.named_buffers())
