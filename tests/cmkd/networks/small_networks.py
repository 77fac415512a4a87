"""Small networks of four modalities, and batches of which rows can be taken away."""

from functools import partial

import pytest
import torch

from cmkd.networks import (
    MLP,
    AttentionFusion,
    AudioCNN,
    Average,
    Concatenation,
    GatedSum,
    GRUEncoder,
    ModalityNetwork,
    SmallVideoNet,
)

FUSIONS = pytest.mark.parametrize("fusion", [Average, Concatenation, GatedSum, AttentionFusion])
ROWS = 4
ENCODERS = {
    "video": partial(SmallVideoNet, width=8),
    "audio": partial(AudioCNN, 8000, width=8),
    "text": partial(GRUEncoder, 5, width=8, layers=2),
    "face": partial(MLP, 7, width=16),
}


def network(fusion=Concatenation, modalities=tuple(ENCODERS)):
    torch.manual_seed(0)
    encoders = {name: ENCODERS[name]() for name in modalities}
    return ModalityNetwork(encoders, fusion, embedding_dim=12, num_outputs=3)


def batch(seed=0):
    torch.manual_seed(seed)
    return {
        "video": torch.randn(ROWS, 3, 4, 16, 16),
        "audio": torch.randn(ROWS, 1, 1600),
        "text": torch.randn(ROWS, 6, 5),
        "face": torch.randn(ROWS, 7),
        "label": torch.tensor([0, 1, 2, 0]),
        "index": torch.arange(ROWS),
        "length": {"text": torch.tensor([6, 3, 1, 4])},
        "present": {name: torch.ones(ROWS, dtype=torch.bool) for name in ENCODERS},
    }


def without(source, modality, rows, garbage=0.0):
    """Return the batch with the modality absent in the rows, and garbage in its place."""
    present = source["present"][modality].clone()
    present[rows] = False
    x = source[modality].clone()
    x[rows] = garbage
    length = {name: lengths.clone() for name, lengths in source["length"].items()}
    if modality in length:
        length[modality][rows] = 0
    return {
        **source,
        modality: x,
        "length": length,
        "present": {**source["present"], modality: present},
    }
