from functools import partial

import pytest
import torch

from cmkd.objectives.categorical import knowledge_distillation
from cmkd.objectives.modality_specific import ModalitySpecificKD
from cmkd.objectives.modality_weighting import (
    InstanceWeighting,
    LearnedWeighting,
    ModalityWeighting,
    PopulationWeighting,
    UniformWeighting,
    modality_saliency,
    softmax_over_present,
)
from cmkd.representation import Representation, Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations
from tests.cmkd.objectives.neighbours import as_subset, with_subsets
from tests.cmkd.objectives.test_divergences import kl

#: A student with both modalities, so that there is something to weigh.
TWO = SIZES | {"student": Sizes(6, 4, {"video": [3, 4], "audio": [2, 3]})}


def two(factory):
    """Build the objective for a student of two modalities."""
    return with_subsets(lambda sizes, **arguments: factory(TWO, **arguments))


@every(
    one_modality=with_subsets(ModalitySpecificKD),
    uniform=two(ModalitySpecificKD),
    instance=two(partial(ModalitySpecificKD, weighting=InstanceWeighting)),
    learned=two(partial(ModalitySpecificKD, weighting=LearnedWeighting)),
    population=two(partial(ModalitySpecificKD, weighting=PopulationWeighting)),
)
class TestContract(ObjectiveContract):
    pass


def given(rows=5):
    """Both networks, whole and by single modality."""
    found = representations(rows)
    for role in ("student", "teacher"):
        for name in ("video", "audio"):
            found[f"{role}@{name}"] = as_subset(found[role], f"{role}@{name}")
    return found


def divergence(source: Representation, target: Representation, tau=4.0):
    return knowledge_distillation(source.logits, target.logits.detach(), tau)


def test_a_student_of_one_modality_learns_what_the_teacher_says_of_it_alone():
    objective = ModalitySpecificKD(SIZES, temperature=2.0)
    assert objective.roles() == {"student", "teacher@video"}
    r = given()
    expected = divergence(r["student"], r["teacher@video"], 2.0).mean()
    output = objective(r, batch())
    torch.testing.assert_close(output.loss, expected)
    assert output.logs == {"weight_video": 1}


def test_modalities_are_averaged_by_the_uniform_weights():
    objective = ModalitySpecificKD(TWO)
    assert objective.roles() == {
        "student@video", "student@audio", "teacher@video", "teacher@audio",
    }  # fmt: skip
    r = given()
    parts = [divergence(r[f"student@{m}"], r[f"teacher@{m}"]) for m in ("video", "audio")]
    output = objective(r, batch())
    torch.testing.assert_close(output.loss, torch.stack(parts).mean())
    output.loss.backward()
    assert pulled(r["student"], r["teacher"]) == [True, False]


def test_a_modality_that_a_row_lacks_gives_its_weight_to_the_other():
    r = given()
    for role in ("student@video", "teacher@video"):
        valid = torch.tensor([True, True, False, True, False])
        logits = r[role].logits.detach().clone()
        logits[~valid] = float("nan")
        r[role] = Representation(r[role].embedding, logits, {}, valid)
    video, audio = (divergence(r[f"student@{m}"], r[f"teacher@{m}"]) for m in ("video", "audio"))
    rows = ((video + audio) / 2).where(valid, audio)
    output = ModalitySpecificKD(TWO)(r, batch())
    torch.testing.assert_close(output.loss, rows.mean())
    torch.testing.assert_close(output.logs["weight_audio"], torch.tensor((3 * 0.5 + 2) / 5))


def test_identical_networks_cost_nothing_under_every_weighting():
    r = given()
    for name in ("video", "audio"):
        r[f"student@{name}"] = r[f"teacher@{name}"]
    for weighting in (UniformWeighting, InstanceWeighting, PopulationWeighting, LearnedWeighting):
        loss = ModalitySpecificKD(TWO, weighting=weighting)(r, batch()).loss
        torch.testing.assert_close(loss, torch.zeros(()))


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (5, 7)])
def test_saliency_is_that_of_a_plain_loop(rows, classes):
    torch.manual_seed(rows)
    whole, without = 2 * torch.randn(2, rows, classes, dtype=torch.float64)

    def loop(whole, without):
        softmax = [
            [x.softmax(0).tolist() for x in torch.tensor(z).double()] for z in (whole, without)
        ]
        return [kl(p, q) for p, q in zip(*softmax, strict=True)]

    assert_equals_loop(modality_saliency, loop, whole, without)
    assert_gradient_is_exact(modality_saliency, whole, without)
    assert_computed_in_float32(modality_saliency, whole, without)
    assert not modality_saliency(whole, whole).any()


def test_a_softmax_over_what_is_there_is_finite_even_over_nothing():
    scores = torch.tensor([[1.0, 2.0, 3.0]] * 3, requires_grad=True)
    present = torch.tensor([[True, True, True], [True, False, True], [False] * 3])
    weights = softmax_over_present(scores, present)
    torch.testing.assert_close(weights[0], scores[0].softmax(0))
    torch.testing.assert_close(weights[1, [0, 2]], scores[1, [0, 2]].softmax(0))
    assert not weights[2].any()
    (weights * scores).sum().backward()
    assert scores.grad.isfinite().all()


def saliences(r):
    """Each modality's saliency for the teacher, which has two of them."""
    pairs = (("video", "audio"), ("audio", "video"))
    return torch.stack(
        [modality_saliency(r["teacher"].logits, r[f"teacher@{o}"].logits) for _, o in pairs], dim=1
    ).detach()


EVERYTHING = torch.ones(5, 2, dtype=torch.bool)


def test_instance_weights_are_a_softmax_of_each_rows_saliency():
    weighting = InstanceWeighting(TWO, "student", "teacher")
    assert weighting.roles() == {"teacher", "teacher@audio", "teacher@video"}
    r = given()
    weights = weighting(r, EVERYTHING)
    torch.testing.assert_close(weights, saliences(r).softmax(dim=1))
    # What is alone has all the weight, though it cannot be missed.
    r["teacher@audio"].valid[1] = False
    assert weighting(r, torch.tensor([[True, False]] * 5))[1].tolist() == [1, 0]


def test_population_weights_follow_the_mean_over_all_rows_seen_and_are_saved():
    weighting = PopulationWeighting(TWO, "student", "teacher")
    seen = []
    for rows in (5, 3):
        r = given(rows)
        r["teacher"].valid[0] = False
        present = torch.ones(rows, 2, dtype=torch.bool)
        seen.append(saliences(r)[1:])
        weights = weighting(r, present)
        mean = torch.cat(seen).mean(dim=0)
        torch.testing.assert_close(weights, mean.softmax(0).expand(rows, 2))
    assert weighting.rows.tolist() == [6, 6]
    other = PopulationWeighting(TWO, "student", "teacher")
    other.load_state_dict(weighting.state_dict())
    torch.testing.assert_close(other.mean, mean)


def test_learned_weights_begin_uniform_and_leave_the_modality_that_is_hard_to_match():
    torch.manual_seed(0)
    r = {role: x.detach() for role, x in given().items()}
    r["student@video"] = r["teacher@video"]
    objective = ModalitySpecificKD(TWO, weighting=LearnedWeighting)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.05)
    shares = []
    for _ in range(40):
        optimizer.zero_grad()
        output = objective(r, batch())
        output.loss.backward()
        optimizer.step()
        shares.append(float(output.logs["weight_video"]))
    assert shares[0] == 0.5
    assert 0.6 < shares[-1] < 1


def test_the_penalty_of_learned_weights_is_their_divergence_from_uniform():
    weighting = LearnedWeighting(TWO, "student", "teacher", strength=3.0)
    weights = torch.tensor([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    present = torch.tensor([[True, True]] * 3 + [[True, False], [False, False]])
    expected = [0, kl([0.9, 0.1], [0.5, 0.5]), kl([1.0], [0.5]), 0, 0]
    torch.testing.assert_close(weighting.penalty(weights, present), 3 * torch.tensor(expected))


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"LearnedWeighting\.strength must be"):
        LearnedWeighting(TWO, "student", "teacher", strength=0.0)
    with pytest.raises(ValueError, match=r"ModalitySpecificKD\.temperature must be"):
        ModalitySpecificKD(TWO, temperature=0.0)
    alone = {"student": Sizes(6, 4, {"video": []}), "teacher": Sizes(6, 4, {"video": []})}
    with pytest.raises(ValueError, match="has only video; use UniformWeighting"):
        ModalitySpecificKD(alone, weighting=InstanceWeighting)
    assert isinstance(ModalitySpecificKD(alone).weighting, ModalityWeighting)
    other = alone | {"teacher": Sizes(6, 4, {"audio": []})}
    with pytest.raises(ValueError, match="the teacher cannot be given video alone"):
        ModalitySpecificKD(other)
