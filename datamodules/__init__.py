"""LightningDataModules for cross-modal data, one file a dataset."""

from datamodules.base import CrossModalDataModule
from datamodules.feature_folds import FeatureFolds
from datamodules.feature_splits import ArraySplit, FeatureSplit, GroupSplit, SuffixSplit
from datamodules.quickstart import Quickstart
from datamodules.ucf101 import UCF101
from datamodules.validation_cut import ValidationCut

__all__ = [
    "UCF101",
    "ArraySplit",
    "CrossModalDataModule",
    "FeatureFolds",
    "FeatureSplit",
    "GroupSplit",
    "Quickstart",
    "SuffixSplit",
    "ValidationCut",
]
