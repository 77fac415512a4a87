"""The standard objectives over two processes."""

from functools import partial
from pathlib import Path

import pytest

from cmkd.objectives import (
    DIST,
    DKD,
    PKT,
    RKD,
    VID,
    AttentionTransfer,
    CorrelationCongruence,
    FitNets,
    Layer,
    SimilarityPreserving,
)
from tests.cmkd.objectives.ranks import assert_ranks_equal_one_process

OBJECTIVES = {
    "attention transfer": AttentionTransfer,
    "correlation congruence": CorrelationCongruence,
    "dist": partial(DIST, temperature=2.0),
    "dkd": DKD,
    "fitnets": partial(FitNets, source_layer=Layer("video", 1)),
    "pkt": PKT,
    "rkd": RKD,
    "similarity preserving": SimilarityPreserving,
    "vid": partial(VID, source_layer=Layer("video", 0), width=8),
}


@pytest.mark.slow
def test_two_ranks_give_value_and_gradient_of_the_joint_batch(tmp_path: Path) -> None:
    assert_ranks_equal_one_process(OBJECTIVES, tmp_path)
