"""LightningDataModules for cross-modal data, one file a dataset."""

from datamodules.base import CrossModalDataModule
from datamodules.ucf101 import UCF101

__all__ = ["UCF101", "CrossModalDataModule"]
