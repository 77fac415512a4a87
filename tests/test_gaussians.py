"""The closed forms of the evidence on correlated Gaussians, and its quick run."""

import csv
import math
import sys
from pathlib import Path

import pytest
import torch

from cmkd.objectives import CRD
from cmkd.objectives.base import StageContext
from cmkd.objectives.crd import noise_contrastive_loss

EVIDENCE = Path(__file__).parents[1] / "experiments" / "evidence"
sys.path.insert(0, str(EVIDENCE))

import gaussian_bounds  # noqa: E402
import gaussian_figure  # noqa: E402
import gaussians  # noqa: E402
from gaussian_pair import GaussianPair  # noqa: E402

PAIRS = [GaussianPair(1, 0.1), GaussianPair(5, 4.0), GaussianPair(20, 12.0)]


def entropy(covariance):
    """Differential entropy of a Gaussian by the determinant of its covariance, nats."""
    return 0.5 * torch.linalg.slogdet(2 * math.pi * math.e * covariance).logabsdet.item()


@pytest.mark.parametrize("pair", PAIRS)
def test_the_closed_forms_are_those_of_the_joint_covariance(pair):
    own = torch.eye(pair.dim, dtype=torch.float64)
    cross = pair.correlation * own
    joint = torch.cat([torch.cat([own, cross], 1), torch.cat([cross, own], 1)])
    assert 2 * entropy(own) - entropy(joint) == pytest.approx(pair.information, rel=1e-9)
    assert entropy(joint) - entropy(own) == pytest.approx(pair.conditional_entropy, rel=1e-9)


@pytest.mark.parametrize("pair", PAIRS)
def test_samples_have_the_covariance_of_which_the_closed_forms_are(pair):
    torch.manual_seed(0)
    source, target = pair.draw(100_000)
    expected = torch.eye(2 * pair.dim)
    expected[: pair.dim, pair.dim :] = expected[pair.dim :, : pair.dim] = (
        pair.correlation * torch.eye(pair.dim)
    )
    found = torch.cov(torch.cat([source, target], 1).T)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def log_density_ratio(pair, source, target):
    """log p(s, t) / (p(s) p(t)) of every source with every target."""
    rho = pair.correlation
    squares = source.square().sum(1)[:, None] + target.square().sum(1)
    cross = 2 * rho * source @ target.T - rho**2 * squares
    return pair.information + cross / (2 * (1 - rho**2))


@pytest.mark.parametrize(("pair", "negatives"), [(PAIRS[0], 64), (PAIRS[1], 256), (PAIRS[1], 2048)])
def test_with_the_posterior_as_critic_both_forms_of_crd_are_bounds_up_to_one_nat_apart(
    pair, negatives
):
    torch.manual_seed(0)
    rows = 4096
    ratio = log_density_ratio(pair, *(x.double() for x in pair.draw(rows)))
    met = (torch.arange(rows)[:, None] + torch.arange(1 + negatives)) % rows
    # h = ratio / (ratio + K), whatever the number of samples in the bank.
    scores = ratio.gather(1, met)
    log_z = torch.tensor(math.log(rows), dtype=torch.float64)
    bound = math.log(negatives) - noise_contrastive_loss(scores, log_z, rows).mean()
    own = scores.clone()
    own[:, 1:] = -math.inf
    estimate = math.log(negatives) - noise_contrastive_loss(own, log_z, rows).mean()
    assert bound < estimate < min(pair.information, math.log(negatives)) + 0.05
    assert estimate - bound < 1.05


def trained_crd(pair, negatives):
    torch.manual_seed(0)
    objective = CRD(pair.sizes(), dim=8, negatives=negatives)
    objective.allocate(StageContext(networks={}, train_samples=64, num_classes=1))
    gaussian_bounds.train(objective, gaussian_bounds.revisited(pair, 64, 16), 10, 0.01)
    return objective


def test_the_bounds_of_crd_are_those_of_a_plain_double_loop():
    pair, negatives = GaussianPair(3, 1.0), 4
    objective = trained_crd(pair, negatives)
    samples = pair.draw(7)
    with torch.no_grad():
        s = objective.source_projection(samples[0])
        t = objective.target_projection(samples[1])
    s, t = (torch.nn.functional.normalize(x, dim=1) for x in (s, t))
    bound = estimate = 0.0
    for side, (anchors, others) in enumerate(((s, t), (t, s))):
        scale = math.exp(objective.log_normaliser[side].item()) / 64
        for i in range(7):
            own = 0.0
            loss = 0.0
            for j in range(negatives + 1):
                cosine = float(anchors[i] @ others[(i + j) % 7])
                ratio = math.exp(cosine / objective.temperature) / scale
                h = ratio / (ratio + negatives)
                if j == 0:
                    own = -math.log(h)
                    loss += own
                else:
                    loss -= math.log(1 - h)
            bound += (math.log(negatives) - loss) / 14
            estimate += (math.log(negatives) - own) / 14
    found = gaussian_bounds.crd_bounds(objective, *samples)
    assert found == pytest.approx((bound, estimate), rel=1e-4)


def test_the_bounds_of_crd_refuse_fewer_samples_than_they_meet():
    pair = GaussianPair(3, 1.0)
    with pytest.raises(ValueError, match="4 negatives of each sample need more than 4 samples"):
        gaussian_bounds.crd_bounds(trained_crd(pair, 4), *pair.draw(4))


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder and the rows of a quick run."""
    folder = tmp_path_factory.mktemp("evidence")
    gaussians.main(["--quick", "--out", str(folder)])
    with (folder / "gaussians.csv").open(newline="") as file:
        return folder, list(csv.DictReader(file))


def values(rows, bound):
    """By the true value, what a bound gave and its ceiling."""
    found = {
        float(row["truth"]): (float(row["value"]), float(row["ceiling"] or "inf"))
        for row in rows
        if row["bound"] == bound
    }
    assert len(found) == 3
    return found


# Standard errors on fresh samples are below 0.03 nats.
TOLERANCE = 0.1


@pytest.mark.parametrize(
    "bound", ["InfoNCE, N = 64", "InfoNCE, N = 512", "InfoNCE, N = 64 + 960", "CRD, log K - L"]
)
def test_lower_bounds_lie_below_the_information_and_their_ceiling(quick, bound):
    for truth, (value, ceiling) in values(quick[1], bound).items():
        assert value < truth + TOLERANCE
        assert value < ceiling


def test_info_nce_is_close_to_a_small_information_and_to_its_ceiling_for_a_large_one(quick):
    for bound in ("InfoNCE, N = 64", "InfoNCE, N = 512"):
        small, _, large = sorted(values(quick[1], bound).items())
        assert small[1][0] > small[0] - 0.2
        assert large[1][0] > large[1][1] - 0.8
        assert large[0] > large[1][1] + 4


def test_the_gaussian_lies_above_the_conditional_entropy_and_close_to_it(quick):
    for truth, (value, _) in values(quick[1], "Gaussian").items():
        assert truth - TOLERANCE < value < truth + 0.4


def test_one_seed_gives_the_same_numbers_again():
    runs = [gaussian_bounds.bounds(PAIRS[0], seed, effort=0.02) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_the_figure_is_small_names_its_axes_and_is_the_same_for_the_same_rows(quick, tmp_path):
    written = (quick[0] / "gaussians.svg").read_bytes()
    assert len(written) < 100_000
    for text in (b"true I(T;S) (nats)", b"true H(T|S) (nats)", b"log 512"):
        assert text in written
    rows = [
        gaussians.Row(
            dim=int(row["dim"]),
            correlation=float(row["correlation"]),
            information=float(row["information"]),
            quantity=row["quantity"],
            truth=float(row["truth"]),
            bound=row["bound"],
            seed=int(row["seed"]),
            value=float(row["value"]),
            ceiling=float(row["ceiling"]) if row["ceiling"] else None,
        )
        for row in quick[1]
    ]
    gaussian_figure.draw(rows, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == written
