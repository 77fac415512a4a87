"""Objectives chosen by class_path, as LightningCLI parses them."""

from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from cmkd import objectives
from cmkd.objectives import Objective, ObjectiveFactory
from tests.cmkd.objectives.helpers import SIZES

NAMES = [
    "AdversarialConditionalEntropy",
    "AttentionTransfer",
    "C2KD",
    "CCL",
    "CRD",
    "CategoricalConditionalEntropy",
    "CorrelationCongruence",
    "DIST",
    "DKD",
    "FitNets",
    "GaussianConditionalEntropy",
    "InfoNCE",
    "KnowledgeDistillation",
    "MFH",
    "PKT",
    "RKD",
    "SimilarityPreserving",
    "VID",
]


def parse(text: str) -> Objective:
    parser = ArgumentParser()
    parser.add_argument("--term", type=ObjectiveFactory)
    config = parser.parse_object({"term": yaml.safe_load(text)})
    factory: Any = parser.instantiate(config)["term"]
    return factory(SIZES)


@pytest.mark.parametrize("name", NAMES)
def test_every_objective_is_built_by_its_name_alone(name: str) -> None:
    assert type(parse(f"class_path: cmkd.objectives.{name}")) is getattr(objectives, name)


def test_arguments_reach_the_objective() -> None:
    term: Any = parse(
        """
        class_path: cmkd.objectives.InfoNCE
        init_args: {source: auxiliary, dim: 7, projection_hidden: 9, learn_temperature: true}
        """
    )
    assert term.source == "auxiliary"
    assert [p.shape[0] for p in term.source_projection.parameters()] == [9, 9, 7, 7]
    assert term.log_inverse_temperature is not None


def test_a_list_of_fields_and_a_layer_are_plain_yaml() -> None:
    adversarial: Any = parse(
        """
        class_path: cmkd.objectives.AdversarialConditionalEntropy
        init_args: {fields: [logits, embedding]}
        """
    )
    assert adversarial.fields == ("logits", "embedding")
    fitnets: Any = parse(
        """
        class_path: cmkd.objectives.FitNets
        init_args:
          source_layer: {modality: video, index: 0}
          target_layer: {modality: audio, index: -1}
        """
    )
    assert fitnets.regressor.layers[0].weight.shape == (3, 3)
    assert fitnets.target_layer == objectives.Layer("audio", -1)
