"""LightningDataModules for cross-modal data, one file a dataset."""

from datamodules.activitynet import ActivityNet
from datamodules.avmnist import AVMNIST
from datamodules.base import CrossModalDataModule
from datamodules.clip_datamodule import ClipDataModule
from datamodules.feature_folds import FeatureFolds
from datamodules.feature_splits import (
    ArraySplit,
    FeatureSplit,
    FoldSplit,
    GroupSplit,
    SuffixSplit,
)
from datamodules.feature_table import TableFiles
from datamodules.iemocap import IEMOCAP
from datamodules.incomplete import IncompleteTraining
from datamodules.latent_world import LatentWorld
from datamodules.mosi import MOSI
from datamodules.quickstart import Quickstart
from datamodules.ravdess import RAVDESS
from datamodules.spoken_digits import SpokenDigits
from datamodules.targets import ClassTarget, PolarityTarget, RealTarget, RoundedTarget
from datamodules.text import HashedBag, HashedText
from datamodules.text_vectors import StoredText, WordVectors
from datamodules.ucf51 import UCF51
from datamodules.ucf101 import UCF101
from datamodules.validation_cut import ValidationCut
from datamodules.vggsound import VGGSound

__all__ = [
    "AVMNIST",
    "IEMOCAP",
    "MOSI",
    "RAVDESS",
    "UCF51",
    "UCF101",
    "ActivityNet",
    "ArraySplit",
    "ClassTarget",
    "ClipDataModule",
    "CrossModalDataModule",
    "FeatureFolds",
    "FeatureSplit",
    "FoldSplit",
    "GroupSplit",
    "HashedBag",
    "HashedText",
    "IncompleteTraining",
    "LatentWorld",
    "PolarityTarget",
    "Quickstart",
    "RealTarget",
    "RoundedTarget",
    "SpokenDigits",
    "StoredText",
    "SuffixSplit",
    "TableFiles",
    "VGGSound",
    "ValidationCut",
    "WordVectors",
]
