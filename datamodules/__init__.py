"""LightningDataModules for cross-modal data, one file a dataset."""
