"""A small student of each kind of network there is."""

import torch

from cmkd import Student
from cmkd.networks import (
    MLP,
    AttentionFusion,
    AudioCNN,
    Average,
    Concatenation,
    GatedSum,
    GRUEncoder,
    ModalityNetwork,
    R2Plus1D10,
    SmallImageNet,
    SmallVideoNet,
    TimeDelayNet,
    TorchvisionImage,
    TorchvisionVideo,
    TransformerEncoder,
)
from cmkd.preprocessing import ReadyTensors

CLIP = [3, 4, 32, 32]


def student_of(encoders, shapes, fusion=Concatenation, seed: int = 0, **kwargs) -> Student:
    torch.manual_seed(seed)
    network = ModalityNetwork(
        encoders, fusion, embedding_dim=8, num_outputs=1 if "task" in kwargs else 3
    )
    return Student(network, ReadyTensors(shapes), **kwargs)


def mlp(seed: int = 0, **kwargs) -> Student:
    return student_of({"face": MLP(6, 16)}, {"face": [6]}, seed=seed, **kwargs)


def video_and_face(fusion) -> Student:
    encoders = {"face": MLP(6, 16), "video": SmallVideoNet(8)}
    return student_of(encoders, {"face": [6], "video": CLIP}, fusion)


FAMILIES = {
    "MLP": mlp,
    "regression": lambda: mlp(task="regression"),
    "AudioCNN": lambda: student_of({"audio": AudioCNN(8000, 32, width=8)}, {"audio": [1, 4000]}),
    "TimeDelayNet": lambda: student_of({"audio": TimeDelayNet(16, 8)}, {"audio": [1, 16, 40]}),
    "SmallImageNet": lambda: student_of({"image": SmallImageNet(8)}, {"image": [1, 28, 28]}),
    "SmallVideoNet": lambda: student_of({"video": SmallVideoNet(8)}, {"video": CLIP}),
    "TransformerEncoder": lambda: student_of(
        {"text": TransformerEncoder(5, 8, heads=2)}, {"text": [None, 5]}
    ),
    "Concatenation": lambda: student_of(
        {"face": MLP(6, 16), "text": TransformerEncoder(5, 8, heads=2)},
        {"face": [6], "text": [None, 5]},
    ),
    "Average": lambda: video_and_face(Average),
    "GatedSum": lambda: video_and_face(GatedSum),
    "AttentionFusion": lambda: video_and_face(AttentionFusion),
}
#: The same of larger networks: half a minute to some minutes each on one core.
LARGE = {
    "R2Plus1D10": lambda: student_of({"video": R2Plus1D10()}, {"video": CLIP}),
    "r3d_18": lambda: student_of({"video": TorchvisionVideo("r3d_18")}, {"video": CLIP}),
    "s3d": lambda: student_of({"video": TorchvisionVideo("s3d")}, {"video": [3, 8, 32, 32]}),
    "swin3d_t": lambda: student_of({"video": TorchvisionVideo("swin3d_t")}, {"video": CLIP}),
    "mvit_v2_s": lambda: student_of(
        {"video": TorchvisionVideo("mvit_v2_s")}, {"video": [3, 16, 224, 224]}
    ),
    "resnet18": lambda: student_of({"image": TorchvisionImage()}, {"image": [3, 32, 32]}),
}


def gru() -> Student:
    return student_of({"text": GRUEncoder(5, 8)}, {"text": [None, 5]})
