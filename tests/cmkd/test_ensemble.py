import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from cmkd.ensemble import CalibratedEnsemble, confidence_weighted, fit_temperature
from tests.cmkd.setting import make_data, make_model, make_trainer


def overconfident(rows=400, classes=4, temperature=3.0):
    """Logits whose true temperature is known: labels are drawn from the softened prediction."""
    torch.manual_seed(0)
    logits = 5 * torch.randn(rows, classes)
    return logits, torch.multinomial((logits / temperature).softmax(1), 1).squeeze(1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_the_temperature_is_scipys_minimum_of_the_cross_entropy_and_near_the_truth(temperature):
    logits, label = overconfident(temperature=temperature)

    def loss(log_temperature):
        scaled = logits.double() / math.exp(log_temperature)
        return float(torch.nn.functional.cross_entropy(scaled, label))

    found = fit_temperature(logits, label)
    expected = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-8})
    assert math.log(found) == pytest.approx(expected.x, abs=1e-4)
    assert found == pytest.approx(temperature, rel=0.3)


def test_samples_that_are_all_right_or_all_wrong_have_a_finite_temperature():
    logits = 10 * torch.eye(4)
    assert 0.009 < fit_temperature(logits, torch.arange(4)) < 1
    assert 1 < fit_temperature(logits, torch.arange(4).flip(0)) < 101
    with torch.inference_mode():
        assert fit_temperature(logits, torch.arange(4)) < 1
    with pytest.raises(ValueError, match="at least one labelled sample"):
        fit_temperature(logits[:0], torch.arange(0))


def test_the_weighted_mean_is_that_of_a_plain_loop():
    torch.manual_seed(0)
    logits, valid = 3 * torch.randn(3, 6, 4), torch.rand(3, 6) < 0.6
    valid[:, 0], valid[:, 1] = False, True
    logits[~valid] = float("nan")
    temperatures = torch.tensor([0.5, 1.0, 4.0])
    found = confidence_weighted(logits, valid, temperatures)
    for row in range(6):
        present = [m for m in range(3) if valid[m, row]]
        p = [(logits[m, row] / temperatures[m]).softmax(0) for m in present]
        weights = [float(x.max()) for x in p]
        mean = sum(w * x for w, x in zip(weights, p, strict=True)) / sum(weights) if p else None
        expected = torch.full((4,), 0.25) if mean is None else mean
        torch.testing.assert_close(found[row], expected)


@pytest.fixture
def ensemble():
    model = make_model(stages=None, teacher_epochs=1)
    return CalibratedEnsemble({role: model.network(role) for role in model.roles.modalities})


def batches():
    data = make_data(absent_every=3, auxiliary_at_test=True)
    data.setup("fit")
    return list(data.val_dataloader())


def without(batch, *names):
    return {key: value for key, value in batch.items() if key not in names}


def test_any_subset_of_the_modalities_predicts(ensemble):
    batch = batches()[0]
    temperatures = ensemble.calibrate(batches())
    assert list(temperatures) == ["student", "teacher", "auxiliary"]
    everything, face, audio = (
        ensemble(x) for x in (batch, without(batch, "audio"), without(batch, "face"))
    )
    for p in (everything, face, audio):
        torch.testing.assert_close(p.sum(dim=1), torch.ones(len(p)))
    ensemble.eval()
    student = ensemble.networks["student"](batch).logits / temperatures["student"]
    torch.testing.assert_close(ensemble(without(batch, "audio")), student.softmax(1))
    auxiliary = ensemble.networks["auxiliary"](batch)
    assert not auxiliary.valid.all()
    expected = (auxiliary.logits / temperatures["auxiliary"]).softmax(1)
    expected[~auxiliary.valid] = 1 / 3
    torch.testing.assert_close(ensemble(without(batch, "face")), expected)
    with pytest.raises(ValueError, match=r"none of the networks \(student, teacher, auxiliary\)"):
        ensemble(without(batch, "face", "audio"))


def test_calibration_fits_each_network_on_the_rows_it_has_and_keeps_the_mode(ensemble):
    assert ensemble.training
    temperatures = ensemble.calibrate(iter(batches()))
    assert ensemble.training
    network = ensemble.networks["auxiliary"].eval()
    with torch.no_grad():
        found = [(network(batch), batch["label"]) for batch in batches()]
    logits = torch.cat([r.logits[r.valid] for r, _ in found])
    label = torch.cat([y[r.valid] for r, y in found])
    assert temperatures["auxiliary"] == pytest.approx(fit_temperature(logits, label))
    other = CalibratedEnsemble(dict(ensemble.networks))
    other.load_state_dict(ensemble.state_dict())
    assert other.temperatures.tolist() == ensemble.temperatures.tolist()


def test_after_training_the_ensemble_is_no_worse_calibrated_than_its_networks(tmp_path):
    model = make_model(teacher_epochs=3)
    data = make_data(samples=60)
    make_trainer(tmp_path, 4).fit(model, datamodule=data)
    ensemble = CalibratedEnsemble({"teacher": model.network("teacher")}).eval()
    loader = list(data.val_dataloader())
    label = torch.cat([batch["label"] for batch in loader])

    def nll():
        with torch.no_grad():
            p = torch.cat([ensemble(batch) for batch in loader])
        return float(-p[torch.arange(len(label)), label].log().mean())

    before = nll()
    ensemble.calibrate(loader)
    assert nll() < before


def test_what_cannot_be_an_ensemble_is_refused(ensemble):
    with pytest.raises(ValueError, match="same classes, got none"):
        CalibratedEnsemble({})
    other = make_model(num_classes=5).network("student")
    with pytest.raises(ValueError, match="'student': 3, 'other': 5"):
        CalibratedEnsemble({"student": ensemble.networks["student"], "other": other})
    with pytest.raises(ValueError, match="no batch has the modalities of the teacher"):
        ensemble.calibrate(without(batch, "audio") for batch in batches())
