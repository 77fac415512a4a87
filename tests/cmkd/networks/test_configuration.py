"""How a configuration file names networks."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping

import jsonargparse

from cmkd.networks import (
    MLP,
    Encoder,
    FusionFactory,
    GatedSum,
    ModalityNetwork,
    SmallVideoNet,
)

ENCODERS = {
    "face": {"class_path": "cmkd.networks.MLP", "init_args": {"in_features": 7, "depth": 3}},
    "video": {"class_path": "cmkd.networks.SmallVideoNet"},
}
FUSION = {"class_path": "cmkd.networks.GatedSum", "init_args": {"per_dimension": True}}


def two_networks(encoders: Mapping[str, Callable[[], Encoder]], fusion: FusionFactory):
    """Build two networks as the LightningModule does.

    Args:
        encoders: builds each modality's encoder.
        fusion: builds the fusion.
    """
    return [
        ModalityNetwork(
            {name: build() for name, build in encoders.items()},
            fusion,
            embedding_dim=8,
            num_outputs=2,
        )
        for _ in range(2)
    ]


def test_class_paths_of_the_package_build_new_networks_each_time():
    first, second = jsonargparse.auto_cli(
        two_networks,
        args=[f"--encoders={json.dumps(ENCODERS)}", f"--fusion={json.dumps(FUSION)}"],
        as_positional=False,
    )
    assert isinstance(first.encoders["face"], MLP)
    assert len(first.encoders["face"].layers) == 3
    assert isinstance(first.encoders["video"], SmallVideoNet)
    assert isinstance(first.fusion, GatedSum)
    assert first.fusion.gates[0].out_features == 8
    owned = {tensor.data_ptr() for tensor in first.state_dict().values()}
    assert not owned & {tensor.data_ptr() for tensor in second.state_dict().values()}


def test_torchvision_and_torchaudio_are_imported_where_they_are_needed_and_not_before():
    code = """
import sys
from cmkd.networks import MLP, AudioCNN, SmallVideoNet, TorchvisionImage
def imported():
    return [name for name in ("torchvision", "torchaudio") if name in sys.modules]
MLP(3), SmallVideoNet()
print(imported())
AudioCNN(8000)
print(imported())
TorchvisionImage()
print(imported())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[]", "['torchaudio']", "['torchvision', 'torchaudio']"]
