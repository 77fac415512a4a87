import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from cmkd.objectives import (
    AdversarialConditionalEntropy,
    discrimination_loss,
    reconstruction_loss,
)
from cmkd.objectives.adversarial import read_fields
from cmkd.representation import Representation, Sizes
from tests.cmkd.objectives.helpers import (
    SIZES,
    batch,
    leaves,
    pulled,
    representation,
    representations,
)


def objective(**arguments: object) -> AdversarialConditionalEntropy:
    torch.manual_seed(0)
    return AdversarialConditionalEntropy(SIZES, width=8, **arguments)


def test_losses_and_accuracy_are_those_of_the_discriminators_logits() -> None:
    term = objective(fields=["logits", "embedding"])
    given = representations()
    torch.manual_seed(3)
    output = term(given, batch())

    torch.manual_seed(3)
    noise = torch.randn(5, 16)
    t = torch.cat(
        [
            (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
            for x in (given["teacher"].logits, given["teacher"].embedding)
        ],
        1,
    )
    fake = term.reconstructor(
        torch.cat([given["student"].logits, given["student"].embedding, noise], 1)
    )
    real_logit = term.discriminator.mlp(torch.cat([t, t], 1))[:, 0]
    fake_logit = term.discriminator.mlp(torch.cat([t, fake], 1))[:, 0]
    right = [float(r > 0) for r in real_logit] + [float(f < 0) for f in fake_logit]

    torch.testing.assert_close(output.loss, reconstruction_loss(fake_logit).mean())
    torch.testing.assert_close(
        output.critic_loss, discrimination_loss(real_logit, fake_logit).mean()
    )
    assert output.logs["accuracy"] == pytest.approx(sum(right) / 10)
    assert output.logs["critic_loss"] == output.critic_loss


def test_the_loss_pulls_source_and_reconstructor_alone() -> None:
    term, given = objective(), representations()
    term(given, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]
    assert all(p.grad is not None and p.grad.any() for p in term.reconstructor.parameters())
    assert all(p.grad is None for p in term.discriminator.parameters())


def test_the_critic_loss_pulls_the_discriminator_alone() -> None:
    term, given = objective(), representations()
    output = term(given, batch())
    assert output.critic_loss is not None
    output.critic_loss.backward()
    assert pulled(given["student"], given["teacher"]) == [False, False]
    assert all(p.grad is None for p in term.reconstructor.parameters())
    assert all(p.grad is not None and p.grad.any() for p in term.critic_parameters())


def test_one_backward_gives_each_side_the_gradient_of_its_own_loss() -> None:
    def grads(which: str) -> dict[str, Tensor | None]:
        term, given = objective(), representations()
        torch.manual_seed(3)
        output = term(given, batch())
        losses = {"loss": output.loss, "critic": output.critic_loss}
        losses["both"] = output.loss + output.critic_loss
        losses[which].backward()
        found = {name: p.grad for name, p in term.named_parameters()}
        return found | {f"student {i}": x.grad for i, x in enumerate(leaves(given["student"]))}

    loss, critic, both = grads("loss"), grads("critic"), grads("both")
    assert any(value is not None for value in loss.values())
    for name, value in both.items():
        alone = critic if name.startswith("discriminator") else loss
        torch.testing.assert_close(value, alone[name], rtol=0, atol=0)


def test_critic_parameters_are_the_discriminators() -> None:
    term = objective()
    critic = {id(p) for p in term.critic_parameters()}
    assert critic == {id(p) for p in term.discriminator.parameters()}
    assert critic.isdisjoint(id(p) for p in term.reconstructor.parameters())


@pytest.mark.parametrize("scale", [0.5, 100.0])
def test_the_scale_of_the_target_does_not_matter(scale: float) -> None:
    term, given = objective(fields=["embedding", "logits"]), representations()
    teacher = given["teacher"]
    scaled = Representation(
        scale * teacher.embedding, 3 + scale * teacher.logits, {}, teacher.valid
    )
    torch.manual_seed(3)
    expected = term(given, batch()).loss
    torch.manual_seed(3)
    found = term(given | {"teacher": scaled}, batch()).loss
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_fields_are_read_in_the_order_asked_for() -> None:
    teacher = representation("teacher")
    fields = read_fields(teacher, ["logits", "embedding"], teacher.valid)
    torch.testing.assert_close(fields, [teacher.logits, teacher.embedding])


@pytest.mark.parametrize(("field", "other"), [("embedding", "logits"), ("logits", "embedding")])
def test_a_field_that_was_not_chosen_gets_no_gradient(field: str, other: str) -> None:
    term, given = objective(fields=[field]), representations()
    term(given, batch()).loss.backward()
    assert getattr(given["student"], field).grad.any()
    assert getattr(given["student"], other).grad is None


def test_noise_comes_from_the_global_generator_and_none_from_a_deterministic_one() -> None:
    term, given = objective(), representations()
    torch.manual_seed(1)
    first, second = term(given, batch()).loss, term(given, batch()).loss
    torch.manual_seed(1)
    assert term(given, batch()).loss == first != second

    deterministic = objective(noise_dim=0)
    state = torch.get_rng_state()
    assert deterministic(given, batch()).loss == deterministic(given, batch()).loss
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("side", ["reconstructor", "discriminator"])
def test_twenty_steps_of_either_side_lower_its_loss(side: str) -> None:
    term, given = objective(noise_dim=0), representations(rows=16)
    optimizer = torch.optim.Adam(getattr(term, side).parameters(), lr=3e-2)
    losses = []
    for _ in range(20):
        term.zero_grad()
        output = term(given, batch(16))
        loss = output.loss if side == "reconstructor" else output.critic_loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fields": ["hidden"]}, r"fields must be a list of embedding and/or logits"),
        ({"fields": "embedding"}, r"got 'embedding'"),
        ({"fields": []}, r"got \[\]"),
        ({"fields": ["logits", "logits"]}, "each once"),
        ({"noise_dim": -1}, r"\.noise_dim must be 0 or more, got -1"),
        ({"width": 0}, r"\.width must be"),
        ({"depth": 0}, r"\.depth must be"),
        ({"gradient_penalty": -1.0}, r"\.gradient_penalty must be 0 or more, got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdversarialConditionalEntropy(SIZES, **arguments)


def test_a_target_of_a_single_number_is_refused() -> None:
    sizes = {"student": Sizes(4, 1), "teacher": Sizes(4, 1)}
    with pytest.raises(ValueError, match=r"\.fields, the teacher's logits: it is a single number"):
        AdversarialConditionalEntropy(sizes, fields=["logits"])


def test_the_game_ends_where_the_reconstruction_is_the_target() -> None:
    torch.manual_seed(0)
    sizes = {"student": Sizes(4, 2), "teacher": Sizes(4, 2)}
    term = AdversarialConditionalEntropy(sizes, noise_dim=4, width=64)
    mixing = torch.linalg.qr(torch.randn(4, 4))[0]
    optimizers = [
        torch.optim.Adam(parameters, lr=1e-3, betas=(0.5, 0.9))
        for parameters in (term.reconstructor.parameters(), term.critic_parameters())
    ]
    valid = torch.ones(128, dtype=torch.bool)

    def draw() -> dict[str, Representation]:
        """A target that is a function of the source: H(T|S) = 0 can be reached."""
        s = torch.randn(128, 4)
        return {
            "student": Representation(s, s, {}, valid),
            "teacher": Representation(s @ mixing, s, {}, valid),
        }

    def explained() -> float:
        """The share of the target's variance that the reconstruction explains."""
        given = draw()
        with torch.no_grad():
            _, t, fake, _ = term.reconstruct(given)
        torch.testing.assert_close(t, layer_norm(given["teacher"].embedding, (4,)))
        return 1 - float((fake - t).square().mean() / t.square().mean())

    assert explained() < 0.2
    for _ in range(400):
        output = term(draw(), {})
        for optimizer in optimizers:
            optimizer.zero_grad()
        # One backward for both sides, as in training.
        (output.loss + output.critic_loss).backward()
        for optimizer in optimizers:
            optimizer.step()
    assert explained() > 0.9
