import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import kl_div

from cmkd import objectives
from cmkd.objectives import (
    CategoricalConditionalEntropy,
    KnowledgeDistillation,
    categorical_conditional_entropy,
    knowledge_distillation,
)
from cmkd.representation import Sizes
from tests.cmkd.objectives.helpers import SIZES, batch, double_list, pulled, representations


def softened(logits: list[float], temperature: float) -> list[float]:
    odds = [math.exp(z / temperature) for z in logits]
    return [o / sum(odds) for o in odds]


def by_hand(source: Tensor, target: Tensor, temperature: float) -> tuple[list[float], list[float]]:
    """Cross-entropy and tau^2 KL of every row by a plain double loop."""
    entropies, divergences = [], []
    for s, t in zip(double_list(source), double_list(target), strict=True):
        q, p = softened(s, temperature), softened(t, temperature)
        entropies.append(-sum(p[c] * math.log(q[c]) for c in range(len(p))))
        divergences.append(
            temperature**2 * sum(p[c] * math.log(p[c] / q[c]) for c in range(len(p)))
        )
    return entropies, divergences


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (3, 4), (6, 10)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_the_losses_are_those_of_a_plain_double_loop(
    rows: int, classes: int, temperature: float
) -> None:
    torch.manual_seed(rows)
    s, t = 3 * torch.randn(2, rows, classes, dtype=torch.float64)
    entropy, divergence = (torch.tensor(x, dtype=torch.float64) for x in by_hand(s, t, temperature))
    torch.testing.assert_close(categorical_conditional_entropy(s, t, temperature), entropy)
    torch.testing.assert_close(knowledge_distillation(s, t, temperature), divergence)
    torch.testing.assert_close(
        knowledge_distillation(s.float(), t.float(), temperature),
        divergence.float(),
        atol=1e-4 * temperature**2,
        rtol=1e-4,
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_torchs_kl_divergence(temperature: float) -> None:
    torch.manual_seed(0)
    s, t = 3 * torch.randn(2, 6, 5, dtype=torch.float64)
    expected = temperature**2 * kl_div(
        (s / temperature).log_softmax(1), (t / temperature).softmax(1), reduction="none"
    ).sum(1)
    torch.testing.assert_close(knowledge_distillation(s, t, temperature), expected)


def test_the_gradient_on_the_source_is_tau_times_the_difference_of_predictions() -> None:
    torch.manual_seed(0)
    s, t = torch.randn(2, 4, 5, dtype=torch.float64)
    s.requires_grad_()
    knowledge_distillation(s, t, 3.0).sum().backward()
    torch.testing.assert_close(s.grad, 3.0 * ((s / 3).softmax(1) - (t / 3).softmax(1)).detach())


@pytest.mark.parametrize("loss", [categorical_conditional_entropy, knowledge_distillation])
def test_the_gradient_is_that_of_finite_differences(loss: object) -> None:
    torch.manual_seed(0)
    inputs = [x.clone().requires_grad_() for x in torch.randn(2, 3, 4, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda s, t: loss(s, t, 2.0), inputs)


def test_distillation_is_zero_for_equal_predictions_and_positive_otherwise() -> None:
    torch.manual_seed(0)
    s, t = torch.randn(2, 5, 3)
    torch.testing.assert_close(knowledge_distillation(t, t), torch.zeros(5))
    torch.testing.assert_close(knowledge_distillation(t + 7, t), torch.zeros(5), atol=1e-5, rtol=0)
    assert (knowledge_distillation(s, t) > 1e-3).all()


def test_sure_and_wrong_predictions_are_finite() -> None:
    s = torch.tensor([[1e4, 0.0, 0.0]])
    t = torch.tensor([[0.0, 1e4, 0.0]])
    assert categorical_conditional_entropy(s, t) == pytest.approx(1e4)
    assert categorical_conditional_entropy(t, t) == 0


def test_the_true_conditional_of_a_joint_table_gives_its_conditional_entropy() -> None:
    # p(t, s) over 3 labels of the teacher and 4 states of the student.
    joint = torch.tensor(
        [[0.20, 0.01, 0.05, 0.10], [0.02, 0.15, 0.05, 0.10], [0.01, 0.04, 0.25, 0.02]],
        dtype=torch.float64,
    )
    joint /= joint.sum()
    marginal = joint.sum(0)
    true = joint / marginal
    entropy = -sum(
        float(joint[t, s]) * math.log(float(true[t, s])) for t in range(3) for s in range(4)
    )
    # Samples in exact proportion: one row for each cell, weighted by its probability. A label
    # that was drawn is a teacher that is sure of it.
    cells = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    sure = torch.full((12, 3), -1e3, dtype=torch.float64)
    sure[torch.arange(12), cells[:, 0]] = 1e3

    def bound(conditional: Tensor) -> float:
        losses = categorical_conditional_entropy(conditional.log().T[cells[:, 1]], sure)
        return float((joint[cells[:, 0], cells[:, 1]] * losses).sum())

    assert bound(true) == pytest.approx(entropy, rel=1e-12)
    torch.manual_seed(0)
    for _ in range(20):
        other = (true.log() + torch.randn(3, 4, dtype=torch.float64)).softmax(0)
        assert bound(other) > entropy + 1e-3
    # And from samples: the soft prediction p(t|s) itself as the teacher says the same.
    states = torch.multinomial(marginal, 200_000, replacement=True)
    soft = true.log().T[states]
    assert categorical_conditional_entropy(soft, soft).mean() == pytest.approx(entropy, abs=0.01)


def test_logged_nats_are_the_cross_entropy_at_temperature_one() -> None:
    given = representations()
    output = CategoricalConditionalEntropy(SIZES, temperature=4.0)(given, batch())
    entropies, _ = by_hand(given["student"].logits, given["teacher"].logits, 1.0)
    _, divergences = by_hand(given["student"].logits, given["teacher"].logits, 4.0)
    assert output.logs["nats"] == pytest.approx(sum(entropies) / 5, rel=1e-5)
    assert output.loss.detach() == pytest.approx(sum(divergences) / 5, rel=1e-4)


def test_only_the_source_is_pulled() -> None:
    given = representations()
    KnowledgeDistillation(SIZES)(given, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_it_has_no_parameters_and_two_names() -> None:
    assert not list(KnowledgeDistillation(SIZES).parameters())
    assert objectives.KnowledgeDistillation is objectives.CategoricalConditionalEntropy


def test_twenty_steps_lower_the_loss() -> None:
    given = representations()
    optimizer = torch.optim.SGD([given["student"].logits], lr=0.5)
    objective = KnowledgeDistillation(SIZES)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = objective(given, batch()).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"\.temperature must be a finite number above 0"):
        KnowledgeDistillation(SIZES, temperature=temperature)


def test_different_numbers_of_classes_are_refused() -> None:
    sizes = {"student": Sizes(4, 10), "teacher": Sizes(4, 51)}
    with pytest.raises(ValueError, match="student has 10 logits and the teacher 51"):
        KnowledgeDistillation(sizes)


def test_one_output_is_refused() -> None:
    sizes = {role: Sizes(embedding=4, logits=1) for role in ("student", "teacher")}
    with pytest.raises(ValueError, match=r"CategoricalConditionalEntropy.*2"):
        CategoricalConditionalEntropy(sizes)
