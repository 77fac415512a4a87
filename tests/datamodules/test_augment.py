"""Training samples that stay the same in every epoch, where the datamodule is told so."""

import numpy as np
import torch

from datamodules.base import CrossModalDataModule
from datamodules.memory import MemoryRows
from datamodules.sampler import EpochSampler


class Views:
    """Samples that say which view was asked for: the epoch's, or 0 for that of evaluation."""

    def __len__(self):
        return 5

    def __getitem__(self, key):
        index, view = key if isinstance(key, tuple) else (key, 0)
        view += isinstance(key, tuple)
        return {"face": torch.tensor([view]), "label": 0, "index": index, "present": {"face": True}}

    def all_labels(self):
        return np.zeros(5, dtype=np.int64)

    def keep_only(self, kept):
        raise NotImplementedError


class Data(CrossModalDataModule):
    offered_modalities = ("face",)
    class_names = ("one",)

    def build_dataset(self, split, modalities):
        return Views()


class InMemory(Data):
    def build_dataset(self, split, modalities):
        values, place = {"face": torch.randn(4, 2)}, {"face": torch.arange(4)}
        return MemoryRows(values, place, torch.zeros(4, dtype=torch.int64))


def views(epoch, **arguments):
    loader = Data(["face"], [], batch_size=2, **arguments).train_dataloader()
    loader.sampler.set_epoch(epoch)
    batches = list(loader)
    index = torch.cat([batch["index"] for batch in batches]).tolist()
    return index, torch.cat([batch["face"] for batch in batches]).flatten().tolist()


def test_training_samples_change_with_the_epoch_unless_told_otherwise():
    assert set(views(0)[1]) == {1}
    assert set(views(3)[1]) == {4}
    assert set(views(0, augment=False)[1]) == {0}
    assert set(views(3, augment=False)[1]) == {0}


def test_the_order_is_the_same_with_and_without_augmentation():
    assert views(2)[0] == views(2, augment=False)[0] != views(1)[0]


def test_a_datamodule_says_whether_its_training_samples_stay_the_same():
    assert not Data(["face"], []).is_deterministic
    assert Data(["face"], [], augment=False).is_deterministic
    assert InMemory(["face"], []).is_deterministic


def test_without_augmentation_the_sampler_yields_plain_numbers():
    assert sorted(EpochSampler(range(4), 2, augmented=False)) == [0, 1, 2, 3]
    assert sorted(EpochSampler(range(4), 2)) == [(i, 0) for i in range(4)]
