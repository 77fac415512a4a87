"""Distillation objectives: pure functions and the thin modules around them."""

from cmkd.objectives.adversarial import AdversarialConditionalEntropy
from cmkd.objectives.adversarial_losses import (
    AdversarialLoss,
    HingeLoss,
    LogisticLoss,
    WassersteinLoss,
    discrimination_loss,
    hinge_discrimination_loss,
    reconstruction_loss,
)
from cmkd.objectives.attention_transfer import AttentionTransfer, attention_transfer_loss
from cmkd.objectives.base import Objective, ObjectiveFactory, ObjectiveOutput, masked_mean
from cmkd.objectives.branches import BestBranch, MutualRelation, best_branch, mutual_relation_loss
from cmkd.objectives.c2kd import C2KD, kendall_tau, non_target_divergence
from cmkd.objectives.categorical import (
    CategoricalConditionalEntropy,
    KnowledgeDistillation,
    categorical_conditional_entropy,
    knowledge_distillation,
)
from cmkd.objectives.ccl import CCL, class_aware_nce
from cmkd.objectives.class_groups import ClassGroupDistillation, ClassGroupTask
from cmkd.objectives.correlation_congruence import (
    CorrelationCongruence,
    correlation_congruence_loss,
)
from cmkd.objectives.crd import CRD, noise_contrastive_loss
from cmkd.objectives.curriculum import InstanceCurriculum, curriculum_weight, relative_confidence
from cmkd.objectives.discriminators import (
    ConditionalDiscriminator,
    Discriminator,
    PairDiscriminator,
    slope_penalty,
)
from cmkd.objectives.dist import DIST, dist_loss, pearson_distance
from cmkd.objectives.divergences import (
    JensenShannon,
    PredictionObjective,
    ReverseKnowledgeDistillation,
    TotalVariation,
    jensen_shannon_divergence,
    reverse_knowledge_distillation,
    total_variation,
)
from cmkd.objectives.dkd import DKD, decoupled_knowledge_distillation
from cmkd.objectives.fitnets import FitNets, hint_loss
from cmkd.objectives.gaussian import GaussianConditionalEntropy, gaussian_conditional_entropy
from cmkd.objectives.infonce import InfoNCE, info_nce, mutual_information_bound
from cmkd.objectives.information_flow import (
    InformationFlow,
    cosine_kernel,
    critical_period,
    jeffreys_divergence,
    student_t_kernel,
)
from cmkd.objectives.layers import Layer
from cmkd.objectives.mfh import MFH, linear_saliency, permutation_saliency
from cmkd.objectives.modality_specific import ModalitySpecificKD
from cmkd.objectives.modality_weighting import (
    InstanceWeighting,
    LearnedWeighting,
    ModalityWeighting,
    PopulationWeighting,
    UniformWeighting,
    modality_saliency,
)
from cmkd.objectives.peer import (
    HardPeerDistillation,
    PeerDistillation,
    hard_peer_advantage,
    peer_advantage,
)
from cmkd.objectives.pkt import PKT, probabilistic_knowledge_transfer
from cmkd.objectives.probe import Probe
from cmkd.objectives.rank import TopKRank, soft_ranks, top_k_rank_loss
from cmkd.objectives.relational import RelationalObjective
from cmkd.objectives.rkd import RKD, angle_relation_loss, distance_relation_loss
from cmkd.objectives.self_paced import SelfPacedDistillation, self_paced_weight
from cmkd.objectives.similarity_preserving import SimilarityPreserving, similarity_preserving_loss
from cmkd.objectives.simkd import SimKD
from cmkd.objectives.standardisation import (
    RowStandardisation,
    RunningStandardisation,
    Standardisation,
)
from cmkd.objectives.unlabelled import Unlabelled
from cmkd.objectives.vid import VID, variational_information_loss

__all__ = [
    "C2KD",
    "CCL",
    "CRD",
    "DIST",
    "DKD",
    "MFH",
    "PKT",
    "RKD",
    "VID",
    "AdversarialConditionalEntropy",
    "AdversarialLoss",
    "AttentionTransfer",
    "BestBranch",
    "CategoricalConditionalEntropy",
    "ClassGroupDistillation",
    "ClassGroupTask",
    "ConditionalDiscriminator",
    "CorrelationCongruence",
    "Discriminator",
    "FitNets",
    "GaussianConditionalEntropy",
    "HardPeerDistillation",
    "HingeLoss",
    "InfoNCE",
    "InformationFlow",
    "InstanceCurriculum",
    "InstanceWeighting",
    "JensenShannon",
    "KnowledgeDistillation",
    "Layer",
    "LearnedWeighting",
    "LogisticLoss",
    "ModalitySpecificKD",
    "ModalityWeighting",
    "MutualRelation",
    "Objective",
    "ObjectiveFactory",
    "ObjectiveOutput",
    "PairDiscriminator",
    "PeerDistillation",
    "PopulationWeighting",
    "PredictionObjective",
    "Probe",
    "RelationalObjective",
    "ReverseKnowledgeDistillation",
    "RowStandardisation",
    "RunningStandardisation",
    "SelfPacedDistillation",
    "SimKD",
    "SimilarityPreserving",
    "Standardisation",
    "TopKRank",
    "TotalVariation",
    "UniformWeighting",
    "Unlabelled",
    "WassersteinLoss",
    "angle_relation_loss",
    "attention_transfer_loss",
    "best_branch",
    "categorical_conditional_entropy",
    "class_aware_nce",
    "correlation_congruence_loss",
    "cosine_kernel",
    "critical_period",
    "curriculum_weight",
    "decoupled_knowledge_distillation",
    "discrimination_loss",
    "dist_loss",
    "distance_relation_loss",
    "gaussian_conditional_entropy",
    "hard_peer_advantage",
    "hinge_discrimination_loss",
    "hint_loss",
    "info_nce",
    "jeffreys_divergence",
    "jensen_shannon_divergence",
    "kendall_tau",
    "knowledge_distillation",
    "linear_saliency",
    "masked_mean",
    "modality_saliency",
    "mutual_information_bound",
    "mutual_relation_loss",
    "noise_contrastive_loss",
    "non_target_divergence",
    "pearson_distance",
    "peer_advantage",
    "permutation_saliency",
    "probabilistic_knowledge_transfer",
    "reconstruction_loss",
    "relative_confidence",
    "reverse_knowledge_distillation",
    "self_paced_weight",
    "similarity_preserving_loss",
    "slope_penalty",
    "soft_ranks",
    "student_t_kernel",
    "top_k_rank_loss",
    "total_variation",
    "variational_information_loss",
]
