"""Distillation objectives: pure functions and the thin modules around them."""

from cmkd.objectives.adversarial import (
    AdversarialConditionalEntropy,
    discrimination_loss,
    reconstruction_loss,
)
from cmkd.objectives.base import Objective, ObjectiveFactory, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import (
    CategoricalConditionalEntropy,
    KnowledgeDistillation,
    categorical_conditional_entropy,
    knowledge_distillation,
)
from cmkd.objectives.dkd import DKD, decoupled_knowledge_distillation
from cmkd.objectives.fitnets import FitNets, hint_loss
from cmkd.objectives.gaussian import GaussianConditionalEntropy, gaussian_conditional_entropy
from cmkd.objectives.infonce import InfoNCE, info_nce, mutual_information_bound
from cmkd.objectives.layers import Layer
from cmkd.objectives.probe import Probe

__all__ = [
    "DKD",
    "AdversarialConditionalEntropy",
    "CategoricalConditionalEntropy",
    "FitNets",
    "GaussianConditionalEntropy",
    "InfoNCE",
    "KnowledgeDistillation",
    "Layer",
    "Objective",
    "ObjectiveFactory",
    "ObjectiveOutput",
    "Probe",
    "categorical_conditional_entropy",
    "decoupled_knowledge_distillation",
    "discrimination_loss",
    "gaussian_conditional_entropy",
    "hint_loss",
    "info_nce",
    "knowledge_distillation",
    "masked_mean",
    "mutual_information_bound",
    "reconstruction_loss",
]
