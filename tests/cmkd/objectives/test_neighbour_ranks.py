"""The neighbours' objectives over two processes."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from cmkd.objectives import Objective
from cmkd.objectives.base import StageContext
from cmkd.objectives.branches import BestBranch, MutualRelation
from cmkd.objectives.class_groups import ClassGroupDistillation, ClassGroupTask
from cmkd.objectives.curriculum import InstanceCurriculum
from cmkd.objectives.divergences import JensenShannon
from cmkd.objectives.information_flow import InformationFlow
from cmkd.objectives.modality_specific import ModalitySpecificKD
from cmkd.objectives.modality_weighting import PopulationWeighting
from cmkd.objectives.peer import PeerDistillation
from cmkd.objectives.rank import TopKRank
from cmkd.objectives.self_paced import SelfPacedDistillation
from cmkd.representation import Sizes
from tests.cmkd.objectives.helpers import SIZES
from tests.cmkd.objectives.neighbours import WithSubsets
from tests.cmkd.objectives.ranks import assert_ranks_equal_one_process

TWO = SIZES | {"student": Sizes(6, 4, {"video": [3, 4], "audio": [2, 3]})}


def population(sizes: Mapping[str, Sizes]) -> Objective:
    return WithSubsets(ModalitySpecificKD(TWO, weighting=PopulationWeighting))


def curriculum(sizes: Mapping[str, Sizes]) -> Objective:
    objective = InstanceCurriculum(sizes)
    objective.allocate(StageContext({}, 8, 4))
    return objective


OBJECTIVES = {
    "best branch": partial(BestBranch, others=["auxiliary"]),
    "class group": partial(ClassGroupDistillation, classes=[0, 1], target="teacher"),
    "class group's task": partial(ClassGroupTask, classes=[0, 1], source="student"),
    "instance curriculum": curriculum,
    "information flow": partial(InformationFlow, target="teacher"),
    "jensen-shannon": JensenShannon,
    "mutual relation": MutualRelation,
    "modality-specific": population,
    "peer": partial(PeerDistillation, target="teacher"),
    "self-paced": SelfPacedDistillation,
    "top-k rank": TopKRank,
}


@pytest.mark.slow
def test_two_ranks_give_value_and_gradient_of_the_joint_batch(tmp_path: Path) -> None:
    assert_ranks_equal_one_process(OBJECTIVES, tmp_path)
