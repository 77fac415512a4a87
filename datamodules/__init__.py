"""LightningDataModules for cross-modal data, one file a dataset.

A name is imported on first use: reading a file for a saved student needs nothing of Lightning.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.activitynet import ActivityNet
    from datamodules.avmnist import AVMNIST
    from datamodules.base import CrossModalDataModule
    from datamodules.clip_datamodule import ClipDataModule
    from datamodules.clip_folders import ClipFolders
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
    "ClipFolders",
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

_HOMES = {
    "ActivityNet": "activitynet",
    "AVMNIST": "avmnist",
    "CrossModalDataModule": "base",
    "ClipDataModule": "clip_datamodule",
    "ClipFolders": "clip_folders",
    "FeatureFolds": "feature_folds",
    "ArraySplit": "feature_splits",
    "FeatureSplit": "feature_splits",
    "FoldSplit": "feature_splits",
    "GroupSplit": "feature_splits",
    "SuffixSplit": "feature_splits",
    "TableFiles": "feature_table",
    "IEMOCAP": "iemocap",
    "IncompleteTraining": "incomplete",
    "LatentWorld": "latent_world",
    "MOSI": "mosi",
    "Quickstart": "quickstart",
    "RAVDESS": "ravdess",
    "SpokenDigits": "spoken_digits",
    "ClassTarget": "targets",
    "PolarityTarget": "targets",
    "RealTarget": "targets",
    "RoundedTarget": "targets",
    "HashedBag": "text",
    "HashedText": "text",
    "StoredText": "text_vectors",
    "WordVectors": "text_vectors",
    "UCF51": "ucf51",
    "UCF101": "ucf101",
    "ValidationCut": "validation_cut",
    "VGGSound": "vggsound",
}


def __getattr__(name: str) -> Any:
    """Import the module behind a name."""
    if name not in _HOMES:
        raise AttributeError(f"module 'datamodules' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"datamodules.{_HOMES[name]}"), name)
