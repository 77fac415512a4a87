"""What a network costs: its size and the time of one window."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import torch

from cmkd.export.graph import example
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.preprocessing import Shape

_SECONDS, _FEWEST, _MOST = 1.0, 5, 200


@dataclass(frozen=True)
class Cost:
    """Size and latency of a network.

    Attributes:
        parameters: how many.
        megabytes: of parameters and buffers, 10^6 bytes.
        milliseconds: median time of one window; None where no window is known.
    """

    parameters: int
    megabytes: float
    milliseconds: float | None


def cost(network: ModalityNetwork, shapes: Mapping[str, Shape] | None) -> Cost:
    """Measure a network where it is.

    Args:
        network: the network.
        shapes: of its modalities; None: its latency is not measured.
    """
    tensors = [*network.parameters(), *network.buffers()]
    return Cost(
        parameters=sum(one.numel() for one in network.parameters()),
        megabytes=sum(one.numel() * one.element_size() for one in tensors) / 1e6,
        milliseconds=None if shapes is None else _latency(network, shapes),
    )


@torch.inference_mode()
def _latency(network: ModalityNetwork, shapes: Mapping[str, Shape]) -> float:
    """Return the median time of a forward of one window, in milliseconds."""
    device = next(network.parameters()).device
    inputs = example({name: shapes[name] for name in network.modalities}, rows=1, seed=0)
    batch = {
        name: tensor.to(device) for name, tensor in zip(network.modalities, inputs, strict=False)
    }
    times: list[float] = []
    network(batch)  # The first one allocates.
    while len(times) < _FEWEST or (sum(times) < _SECONDS and len(times) < _MOST):
        _wait(device)
        begun = time.perf_counter()
        network(batch)
        _wait(device)
        times.append(time.perf_counter() - begun)
    return 1000 * median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
