"""The probe of what only the auxiliary modality knows."""

import pytest
import torch

from cmkd.callbacks import RidgeProbe
from cmkd.networks.base import Encoder, Features
from datamodules.incomplete import IncompleteTraining
from datamodules.latent_world import LatentWorld
from tests.cmkd.setting import kd_terms, make_data, make_model, make_trainer

TEACHER, STUDENT = "test/teacher_auxiliary_only_r2", "test/student_auxiliary_only_r2"


class AsItIs(Encoder):
    """Gives the features themselves."""

    def __init__(self, width: int = 8, blind: bool = False) -> None:
        super().__init__()
        self.out_features = width
        self.factor = 0.0 if blind else 1.0

    def forward(self, x, length=None):
        return Features(self.factor * x.flatten(1))


def world(**arguments):
    sizes = {"train": 400, "val": 50, "test": 400, "features": 8, "noise": 0.1, "batch_size": 64}
    whole = sizes | {"auxiliary_at_test": True} | arguments
    return LatentWorld(["first"], ["second"], **whole)


def scores_of(folder, probe, data, **model):
    """Return what an untrained model's test logs."""
    arguments = {
        "student_modalities": ["first"],
        "auxiliary_modalities": ["second"],
        "encoders": {"first": AsItIs, "second": AsItIs},
        "num_classes": 6,
        "embedding_dim": 32,
        "student_terms": kd_terms(),
    }
    trainer = make_trainer(folder, callbacks=[probe])
    trainer.test(make_model(**(arguments | model)), datamodule=data, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize("components", [None, 4])
def test_the_teacher_knows_of_the_auxiliary_modality_and_the_student_does_not(tmp_path, components):
    scores = scores_of(tmp_path, RidgeProbe(components=components), world())
    assert scores[TEACHER] > 0.4
    assert abs(scores[STUDENT]) < 0.1


@pytest.mark.parametrize("components", [None, 4])
def test_a_teacher_that_is_blind_to_the_auxiliary_modality_is_as_weak_as_the_student(
    tmp_path, components
):
    blind = {"second": lambda: AsItIs(blind=True)}
    scores = scores_of(tmp_path, RidgeProbe(components=components), world(), teacher_encoders=blind)
    assert abs(scores[TEACHER]) < 0.1


def test_the_residual_leaves_out_what_the_student_s_modality_tells(tmp_path):
    # Noise aside, everything that the second modality sees is shared, but for one latent.
    data = world(shared=5, first_only=1, second_only=1, noise=0.01, nonlinearity=0.0)
    scores = scores_of(tmp_path, RidgeProbe(components=1), data)
    assert abs(scores[STUDENT]) < 0.1


def test_rows_without_the_auxiliary_modality_are_left_out(tmp_path):
    half = IncompleteTraining({"second": 0.5}, none_left=True)
    scores = scores_of(tmp_path, RidgeProbe(), world(incomplete=half))
    assert scores[TEACHER] > 0.4


def test_it_changes_no_other_metric_and_no_weight(tmp_path):
    data, model = world(), make_model(
        student_modalities=["first"], auxiliary_modalities=["second"],
        encoders={"first": AsItIs, "second": AsItIs}, num_classes=6,
    )  # fmt: skip
    plain, probed = make_trainer(tmp_path), make_trainer(tmp_path, callbacks=[RidgeProbe()])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain.test(model, datamodule=data, verbose=False)
    probed.test(model, datamodule=data, verbose=False)
    found = probed.callback_metrics
    assert found.keys() - plain.callback_metrics.keys() == {TEACHER, STUDENT}
    for name, value in plain.callback_metrics.items():
        assert torch.equal(found[name], value), name
    for name, value in model.state_dict().items():
        assert torch.equal(before[name], value), name


def test_it_reads_all_training_samples_also_after_a_fit_by_the_same_trainer(tmp_path):
    data = world()
    model = make_model(
        student_modalities=["first"], auxiliary_modalities=["second"],
        encoders={"first": AsItIs, "second": AsItIs}, num_classes=6, student_terms=kd_terms(),
    )  # fmt: skip
    trainer = make_trainer(tmp_path, callbacks=[RidgeProbe()])
    trainer.fit(model, datamodule=data)
    (after_fit,) = trainer.test(model, datamodule=data, verbose=False)
    (afresh,) = make_trainer(tmp_path, callbacks=[RidgeProbe()]).test(
        model, datamodule=data, verbose=False
    )
    assert after_fit[TEACHER] == afresh[TEACHER]


def test_a_teacher_that_was_not_trained_is_left_out(tmp_path):
    scores = scores_of(tmp_path, RidgeProbe(), world(), student_alone=True, student_terms={})
    assert TEACHER not in scores
    assert STUDENT in scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"roles": []}, "RidgeProbe.roles is empty"),
        ({"components": 0}, "RidgeProbe.components: has to be 1 or more, got 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RidgeProbe(**arguments)


def test_it_says_what_it_lacks(tmp_path):
    with pytest.raises(ValueError, match=r"set data\.init_args\.auxiliary_at_test to true"):
        scores_of(tmp_path, RidgeProbe(), world(auxiliary_at_test=False))
    with pytest.raises(ValueError, match="there is no network peer; this run has"):
        scores_of(tmp_path, RidgeProbe(["peer"]), world())
    with pytest.raises(ValueError, match="9 of an auxiliary modality of 8 features"):
        scores_of(tmp_path, RidgeProbe(components=9), world())


def test_data_that_do_not_know_their_latents_need_components(tmp_path):
    data, trainer = make_data(auxiliary_at_test=True), make_trainer(tmp_path)
    trainer.callbacks.append(RidgeProbe())
    with pytest.raises(
        ValueError, match="FakeData does not know what the auxiliary modality alone"
    ):
        trainer.test(make_model(), datamodule=data, verbose=False)


def test_only_vectors_are_regressed_on_each_other(tmp_path):
    data = make_data(auxiliary_at_test=True, shapes={"face": [6], "audio": [1, 5]})
    model = make_model(encoders={"face": lambda: AsItIs(6), "audio": lambda: AsItIs(5)})
    trainer = make_trainer(tmp_path, callbacks=[RidgeProbe(components=2)])
    with pytest.raises(ValueError, match=r"'audio' has shape \(8, 1, 5\)"):
        trainer.test(model, datamodule=data, verbose=False)
