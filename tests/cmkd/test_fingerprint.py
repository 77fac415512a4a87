"""Fingerprints tell networks and data apart, and nothing else."""

from functools import partial

import pytest
import torch
from torch import nn

from cmkd.fingerprint import describe, fingerprint
from datamodules.few_labels import FewLabels
from tests.cmkd.setting import make_data


def network(scale=1.0, eps=1e-5):
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2, eps=eps))
    with torch.no_grad():
        made[0].weight[0, 0] *= scale
    return made


def test_the_same_network_has_the_same_fingerprint_in_either_mode_and_with_hooks():
    expected = fingerprint(network(), "32-true")
    other = network().eval()
    other.register_forward_hook(lambda *_: None)
    assert fingerprint(other, "32-true") == expected


@pytest.mark.parametrize(
    "other",
    [
        partial(network, scale=1.0001),
        partial(network, eps=1e-6),
        lambda: network().bfloat16(),
        lambda: nn.Sequential(*network(), nn.ReLU()),
    ],
    ids=["a weight", "a setting", "the type", "the structure"],
)
def test_another_network_has_another_fingerprint(other):
    assert fingerprint(other(), "32-true") != fingerprint(network(), "32-true")


def test_what_else_is_said_counts():
    assert fingerprint(network(), "32-true") != fingerprint(network(), "bf16-mixed")


def test_buffers_that_are_not_saved_count():
    one, other = network(), network()
    for made, value in ((one, 1.0), (other, 2.0)):
        made.register_buffer("filterbank", torch.tensor(value), persistent=False)
    assert fingerprint(one) != fingerprint(other)


def test_equal_datamodules_are_described_alike_and_others_differently():
    assert describe(make_data()) == describe(make_data())
    changes = (
        {"samples": 33},
        {"classes": 2},
        {"seed": 1},
        {"few_labels": FewLabels(share=0.5)},
        {"few_labels": FewLabels(share=0.25)},
    )
    assert len({describe(make_data(**changed)) for changed in ({}, *changes)}) == 6


def test_other_training_labels_are_other_data():
    one, other = make_data(), make_data()
    other.dataset("train").label[3] = 0
    one.dataset("train").label[3] = 1
    assert describe(one) != describe(other)
