"""The names under which W&B shows what is logged."""

import pytest

from cmkd.panels import on_panels

ROLES = ("teacher", "student", "hard")


@pytest.mark.parametrize(
    ("name", "panel"),
    [
        ("epoch", "stage/epoch"),
        ("train/learning_rate", "lr/networks"),
        ("train/critic_learning_rate", "lr/critics"),
        ("train/gradient_norm", "gradient_norm/all"),
        ("train/teacher_loss", "train/teacher_loss"),
        ("train/hard_accuracy", "train/hard_accuracy"),
        ("train/mi_ts", "term/mi_ts"),
        ("train/mi_ts_bound", "information/mi_ts_bound"),
        ("train/mi_ts_ceiling", "information/mi_ts_ceiling"),
        ("train/mi_ts_temperature", "term/mi_ts_temperature"),
        ("train/entropy_nats", "conditional_entropy/entropy_nats"),
        ("train/ccl_composition_loss", "term/ccl_composition_loss"),
        ("val/student_accuracy", "val/student_accuracy"),
        ("test/student_recall_at_1", "test/student_recall_at_1"),
        ("throughput/loader_wait", "throughput/loader_wait"),
        ("trainer/global_step", "trainer/global_step"),
    ],
)
def test_a_name_is_put_into_its_section(name, panel):
    assert on_panels({name: 1.0}, ROLES) == {panel: 1.0}


def test_an_accuracy_is_the_discriminators_where_its_loss_stands_beside_it():
    both = {"train/h_ts_accuracy": 0.5, "train/h_ts_critic_loss": 1.4}
    assert set(on_panels(both, ROLES)) == {
        "discriminator/h_ts_accuracy",
        "discriminator/h_ts_critic_loss",
    }
    # A class-group expert's is not.
    assert set(on_panels({"train/h_ts_accuracy": 0.5}, ROLES)) == {"term/h_ts_accuracy"}


def test_no_two_values_of_a_step_get_the_same_name():
    names = ["epoch", "train/learning_rate", "train/gradient_norm", "train/mi", "train/mi_bound"]
    assert len(on_panels(dict.fromkeys(names, 0.0), ROLES)) == len(names)
