"""The simulated world."""

import numpy as np
import pytest
import torch

from cmkd.cli import run
from datamodules.few_labels import FewLabels
from datamodules.incomplete import IncompleteTraining
from datamodules.latent_world import LatentWorld
from tests.test_experiments import EXPERIMENTS

SPLITS = ("train", "val", "test")


def world(student=("first",), auxiliary=("second",), **arguments):
    small = {"train": 300, "val": 60, "test": 200, "batch_size": 32}
    return LatentWorld(list(student), list(auxiliary), **(small | arguments))


def batch_of(data, split):
    return data.dataset(split).__getitems__(range(len(data.dataset(split))))


def explained(x, y):
    """Return the share of the variance of y (N, K) that a linear map of x (N, D) explains."""
    x = np.column_stack([x, np.ones(len(x))])
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return 1 - residual.var() / y.var()


def test_a_world_is_fixed_by_its_seed_and_not_by_the_run_s():
    one, same, other = world(), world(seed=5), world(world_seed=1)
    for split in SPLITS:
        first, again, else_where = (batch_of(data, split) for data in (one, same, other))
        assert torch.equal(first["first"], again["first"])
        assert torch.equal(first["label"], again["label"])
        assert not torch.equal(first["first"], else_where["first"])


def test_a_modality_is_the_same_whether_the_other_is_held_or_not():
    with_both, alone = world(auxiliary_at_test=True), world()
    assert set(batch_of(alone, "test")["present"]) == {"first"}
    assert torch.equal(batch_of(with_both, "test")["first"], batch_of(alone, "test")["first"])


def test_parts_are_disjoint_and_as_large_as_asked_for():
    data = world()
    parts = [batch_of(data, split)["first"] for split in SPLITS]
    assert [len(part) for part in parts] == [300, 60, 200]
    assert len(torch.cat(parts).unique(dim=0)) == 560


def test_the_size_of_one_part_changes_nothing_in_another():
    assert torch.equal(
        batch_of(world(train=50), "test")["first"], batch_of(world(), "test")["first"]
    )


@pytest.mark.parametrize(("student", "auxiliary"), [("first", "second"), ("second", "first")])
def test_only_the_auxiliary_modality_tells_of_its_own_latents(student, auxiliary):
    data = world([student], [auxiliary], test=2000, auxiliary_at_test=True)
    batch, latents = batch_of(data, "test"), data.auxiliary_only("test").numpy()
    assert latents.shape == (2000, data.latents[auxiliary])
    assert explained(batch[auxiliary].numpy(), latents) > 0.8
    assert explained(batch[student].numpy(), latents) < 0.05


def test_the_label_needs_the_latents_of_all_three_groups():
    data = world(test=4000)
    (drawn,) = data._drawn("test")
    one_hot = np.eye(data.num_classes)[drawn.label]
    each = [explained(drawn.latents[name], one_hot) for name in ("shared", "first", "second")]
    assert min(each) > 0.03
    # They are independent of each other, so that what they explain adds up.
    together = explained(np.column_stack(list(drawn.latents.values())), one_hot)
    assert together == pytest.approx(sum(each), abs=0.02)


def test_classes_are_about_equally_frequent():
    labels = world(test=6000).dataset("test").all_labels()
    assert np.bincount(labels, minlength=6) / 6000 == pytest.approx(1 / 6, abs=0.03)


def test_without_noise_and_bend_the_features_are_a_linear_mixture():
    data = world(["first"], [], noise=0.0, nonlinearity=0.0, features=16)
    features = batch_of(data, "train")["first"]
    assert torch.linalg.matrix_rank(features - features.mean(0), rtol=1e-5) == 4


def test_no_batch_holds_the_latents():
    loader = world(auxiliary_at_test=True).test_dataloader()
    batch = next(iter(loader))
    assert set(batch) == {"first", "second", "label", "index", "present"}


def test_the_gallery_is_the_training_and_validation_samples():
    data = world(gallery=True)
    gallery, train, val = (batch_of(data, split) for split in ("gallery", "train", "val"))
    for key in ("first", "label"):
        assert torch.equal(gallery[key], torch.cat([train[key], val[key]]))
    latents = [data.auxiliary_only(split) for split in ("gallery", "train", "val")]
    assert torch.equal(latents[0], torch.cat(latents[1:]))


def test_training_samples_may_lack_the_auxiliary_modality_or_the_label():
    data = world(
        incomplete=IncompleteTraining({"second": 0.5}, none_left=True), few_labels=FewLabels(0.1)
    )
    there = batch_of(data, "train")["present"]["second"].float().mean()
    assert 0.3 < there < 0.7
    labelled = torch.cat([batch["labelled"] for batch in data.train_dataloader()])
    assert 0.05 < labelled.float().mean() < 0.15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shared": 0}, "LatentWorld.shared: has to be 1 or more, got 0"),
        ({"classes": 1}, "LatentWorld.classes: has to be 2 or more, got 1"),
        ({"classes": 9}, "LatentWorld.classes: 9 classes need as many latents, there are 8"),
        ({"test": 0}, "LatentWorld.test: has to be 1 or more, got 0"),
        ({"noise": -1.0}, "LatentWorld.noise: must not be negative, got -1.0"),
        ({"student": ["third"]}, "there is no modality 'third'; this data has first, second"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        world(**arguments)


def test_without_an_auxiliary_modality_nothing_is_its_own():
    with pytest.raises(ValueError, match="auxiliary_modalities is empty"):
        world(auxiliary=()).auxiliary_only("test")


def test_the_experiment_fits_and_tests_and_the_teacher_sees_more(tmp_path):
    fitted = run([
        "fit",
        "--config", str(EXPERIMENTS / "latent_world" / "base.yaml"),
        "--config", str(EXPERIMENTS / "methods" / "kd.yaml"),
        "--data.init_args.auxiliary_at_test", "true",
        "--data.init_args.test", "500",
        "--model.teacher_epochs", "4",
        "--trainer.max_epochs", "8",
        "--trainer.enable_progress_bar", "false",
        "--run.dir", str(tmp_path),
    ])  # fmt: skip
    (scores,) = fitted.trainer.test(fitted.model, fitted.datamodule, verbose=False)
    assert scores["test/teacher_accuracy"] > scores["test/student_accuracy"] + 0.15
