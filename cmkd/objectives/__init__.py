"""Distillation objectives: pure functions and the thin modules around them."""

from cmkd.objectives.adversarial import (
    AdversarialConditionalEntropy,
    discrimination_loss,
    reconstruction_loss,
)
from cmkd.objectives.attention_transfer import AttentionTransfer, attention_transfer_loss
from cmkd.objectives.base import Objective, ObjectiveFactory, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import (
    CategoricalConditionalEntropy,
    KnowledgeDistillation,
    categorical_conditional_entropy,
    knowledge_distillation,
)
from cmkd.objectives.correlation_congruence import (
    CorrelationCongruence,
    correlation_congruence_loss,
)
from cmkd.objectives.dist import DIST, dist_loss, pearson_distance
from cmkd.objectives.dkd import DKD, decoupled_knowledge_distillation
from cmkd.objectives.fitnets import FitNets, hint_loss
from cmkd.objectives.gaussian import GaussianConditionalEntropy, gaussian_conditional_entropy
from cmkd.objectives.infonce import InfoNCE, info_nce, mutual_information_bound
from cmkd.objectives.layers import Layer
from cmkd.objectives.pkt import PKT, probabilistic_knowledge_transfer
from cmkd.objectives.probe import Probe
from cmkd.objectives.relational import RelationalObjective
from cmkd.objectives.rkd import RKD, angle_relation_loss, distance_relation_loss
from cmkd.objectives.similarity_preserving import SimilarityPreserving, similarity_preserving_loss
from cmkd.objectives.vid import VID, variational_information_loss

__all__ = [
    "DIST",
    "DKD",
    "PKT",
    "RKD",
    "VID",
    "AdversarialConditionalEntropy",
    "AttentionTransfer",
    "CategoricalConditionalEntropy",
    "CorrelationCongruence",
    "FitNets",
    "GaussianConditionalEntropy",
    "InfoNCE",
    "KnowledgeDistillation",
    "Layer",
    "Objective",
    "ObjectiveFactory",
    "ObjectiveOutput",
    "Probe",
    "RelationalObjective",
    "SimilarityPreserving",
    "angle_relation_loss",
    "attention_transfer_loss",
    "categorical_conditional_entropy",
    "correlation_congruence_loss",
    "decoupled_knowledge_distillation",
    "discrimination_loss",
    "dist_loss",
    "distance_relation_loss",
    "gaussian_conditional_entropy",
    "hint_loss",
    "info_nce",
    "knowledge_distillation",
    "masked_mean",
    "mutual_information_bound",
    "pearson_distance",
    "probabilistic_knowledge_transfer",
    "reconstruction_loss",
    "similarity_preserving_loss",
    "variational_information_loss",
]
