import pytest
import torch

from cmkd.objectives.base import StageContext
from cmkd.objectives.curriculum import (
    InstanceCurriculum,
    curriculum_weight,
    relative_confidence,
)
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import assert_equals_loop
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations


def curriculum(sizes=SIZES, samples=32, **arguments):
    objective = InstanceCurriculum(sizes, **arguments)
    objective.allocate(StageContext({}, samples, 4))
    return objective


@every(curriculum=curriculum)
class TestContract(ObjectiveContract):
    # The expert's absence does not mask a row: it takes the place of the task loss.
    @pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
    @pytest.mark.parametrize("role", ["student"])
    def test_masked_rows_change_neither_value_nor_gradient(self, objective, role, garbage):
        super().test_masked_rows_change_neither_value_nor_gradient(objective, role, garbage)


@pytest.mark.parametrize("samples", [1, 5, 60])
def test_relative_confidence_is_that_of_a_plain_loop(samples):
    torch.manual_seed(samples)
    confidence = torch.rand(samples, dtype=torch.float64)
    confidence[::4] = -1
    label = torch.randint(5, (samples,))

    def loop(confidence, label):
        found = []
        for value, of in zip(confidence, label, strict=True):
            same = [c for c, y in zip(confidence, label, strict=True) if y == of and c >= 0]
            if value < 0 or min(same) == max(same):
                found.append(1)
            else:
                found.append((value - min(same)) / (max(same) - min(same)))
        return found

    assert_equals_loop(lambda c, y: relative_confidence(c, y, 7), loop, confidence, label)


def test_the_weight_grows_to_1_by_half_time_and_stays():
    confidence = torch.tensor([0.0, 0.4, 1.0])
    found = [curriculum_weight(confidence, p).tolist() for p in (0.0, 0.25, 0.5, 1.0)]
    assert found[0] == confidence.tolist()
    assert found[1] == pytest.approx([0.5, 0.7, 1.0])
    assert found[2] == found[3] == [1, 1, 1]


def expected_loss(given, data, weights):
    losses = torch.nn.functional.cross_entropy(
        given["student"].logits.detach(), data["label"], reduction="none"
    )
    return (torch.tensor(weights) * losses).mean()


def test_easy_samples_count_first_by_their_place_among_all_seen_of_the_class():
    objective = curriculum()
    given, data = representations(rows=8), batch(8)
    output = objective(given, data)
    sure = given["teacher"].logits.softmax(1)[torch.arange(8), data["label"]].tolist()
    weights = [float(sure[row] > sure[(row + 4) % 8]) for row in range(8)]
    torch.testing.assert_close(output.loss.detach(), expected_loss(given, data, weights))
    torch.testing.assert_close(output.logs["weight"], torch.tensor(0.5))
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]

    # A class's range stays that of all its samples when a batch holds but one of them.
    first = {
        role: type(r)(r.embedding[:4], r.logits[:4], {}, r.valid[:4]) for role, r in given.items()
    }
    objective.set_epoch(2, 8)
    torch.testing.assert_close(
        objective(first, batch(4)).loss.detach(),
        expected_loss(first, batch(4), [0.5 + w / 2 for w in weights[:4]]),
    )
    objective.set_epoch(4, 8)
    whole = objective(given, data).loss.detach()
    torch.testing.assert_close(whole, expected_loss(given, data, [1.0] * 8))


def test_a_sample_that_the_expert_cannot_see_counts_in_full_and_is_not_remembered():
    objective = curriculum()
    given, data = representations(rows=8), batch(8)
    given["teacher"].valid[:] = torch.tensor([False] + [True] * 7)
    given["teacher"].logits.data[0] = float("nan")
    output = objective(given, data)
    assert output.loss.isfinite()
    # Row 0 is unknown, so row 4 is alone in its class.
    assert objective.confidence[[0, 8, -1]].tolist() == [-1, -1, -1]
    torch.testing.assert_close(output.logs["weight"], torch.tensor((1 + 1 + 3) / 8))


def test_confidences_are_saved_and_a_new_allocation_forgets_them():
    objective = curriculum()
    given, data = representations(rows=8), batch(8)
    loss = objective(given, data).loss
    resumed = curriculum()
    resumed.load_state_dict(objective.state_dict())
    torch.testing.assert_close(resumed.confidence, objective.confidence)
    torch.testing.assert_close(resumed(given, data).loss, loss)
    resumed.allocate(StageContext({}, 10, 4))
    assert resumed.confidence.tolist() == [-1] * 11


def test_data_of_unknown_size_is_refused():
    with pytest.raises(ValueError, match="give the datamodule a train_samples"):
        curriculum(samples=0)
