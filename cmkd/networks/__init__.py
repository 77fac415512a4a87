"""Encoders by modality, fusions, and the network that joins them.

Importing this package imports neither torchvision nor torchaudio; building a network that needs
them does.
"""

from cmkd.networks.audio import AudioCNN
from cmkd.networks.base import Encoder, Features, Fusion
from cmkd.networks.features import MLP
from cmkd.networks.fusion import AttentionFusion, Average, Concatenation, FusionFactory, GatedSum
from cmkd.networks.image import TorchvisionImage
from cmkd.networks.log_mel import LogMel
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.networks.sequence import GRUEncoder, TransformerEncoder
from cmkd.networks.small_image import SmallImageNet
from cmkd.networks.time_delay import TimeDelayNet
from cmkd.networks.torchvision_video import TorchvisionVideo
from cmkd.networks.video import R2Plus1D10, SmallVideoNet

__all__ = [
    "MLP",
    "AttentionFusion",
    "AudioCNN",
    "Average",
    "Concatenation",
    "Encoder",
    "Features",
    "Fusion",
    "FusionFactory",
    "GRUEncoder",
    "GatedSum",
    "LogMel",
    "ModalityNetwork",
    "R2Plus1D10",
    "SmallImageNet",
    "SmallVideoNet",
    "TimeDelayNet",
    "TorchvisionImage",
    "TorchvisionVideo",
    "TransformerEncoder",
]
