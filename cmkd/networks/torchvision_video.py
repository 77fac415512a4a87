"""torchvision's video models as encoders."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cmkd.networks.base import Encoder, Features
from cmkd.networks.precision import float32_video_on_cpu
from cmkd.networks.shapes import require_shape
from cmkd.networks.torchvision_backbone import build_backbone, run_with_hidden


def _map(output: Tensor) -> Tensor:
    """A convolution's output has its channels second already."""
    return output


def _channels_last_map(output: Tensor) -> Tensor:
    """(B, T, H, W, C) of a Swin stage -> (B, C, T, H, W)."""
    return output.movedim(-1, 1)


def _token_map(output: tuple[Tensor, tuple[int, int, int]]) -> Tensor:
    """(B, 1 + T*H*W, C) of an MViT block, class token first -> (B, C, T, H, W)."""
    tokens, size = output
    return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], -1, *size)


@dataclass(frozen=True)
class _Layout:
    """Where a model keeps what we need.

    Attributes:
        removed: modules behind the features, replaced by the identity.
        hidden: channels of the hidden layers by module name, shallow to deep; the last has the
            width of the embedding.
        to_map: makes (B, channels, T, H, W) of what those modules return.
        smallest: (T, H, W) of the smallest clip the model takes.
        largest: of the largest, None where there is no limit.
    """

    removed: tuple[str, ...]
    hidden: dict[str, int]
    to_map: Callable[[Any], Tensor] = _map
    smallest: tuple[int, int, int] = (1, 1, 1)
    largest: tuple[int, int, int] | None = None


_RESNET = _Layout(
    removed=("fc",), hidden={"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}
)
_LAYOUTS = {
    "r3d_18": _RESNET,
    "mc3_18": _RESNET,
    "r2plus1d_18": _RESNET,
    # Its average pool wants a 2x7x7 map and is followed by a mean over all positions: without
    # the pool the result is the same at 16x224x224, and smaller clips work too. Five frames would
    # do, but for 5 to 7 torch 2.11's gradient of its temporal stem is garbage on a CPU (oneDNN).
    "s3d": _Layout(
        removed=("classifier", "avgpool"),
        hidden={"features.3": 192, "features.6": 480, "features.12": 832, "features.15": 1024},
        smallest=(8, 17, 17),
    ),
    "mvit_v2_s": _Layout(
        removed=("head",),
        hidden={"blocks.0": 96, "blocks.2": 192, "blocks.13": 384, "blocks.15": 768},
        to_map=_token_map,
        smallest=(16, 224, 224),
        largest=(16, 224, 224),
    ),
    "swin3d_t": _Layout(
        removed=("head",),
        hidden={"features.0": 96, "features.2": 192, "features.4": 384, "features.6": 768},
        to_map=_channels_last_map,
    ),
}


class TorchvisionVideo(Encoder):
    """A video model of torchvision for RGB clips (B, 3, T, H, W), without its classifier.

    ===========  ================================  ================================  =============
    name         paper                             hidden                            input T, H, W
    ===========  ================================  ================================  =============
    r3d_18       Tran et al., CVPR 2018            four stages                       any; trained
    mc3_18                                                                           at 16x112x112
    r2plus1d_18
    s3d          Xie et al., ECCV 2018             the ends of its four resolutions  from 8x17x17;
                                                                                     16x224x224
    mvit_v2_s    Li et al., CVPR 2022              the ends of its four stages       16x224x224
                                                   without the class token           only
    swin3d_t     Liu et al., CVPR 2022             the ends of its four stages       any; trained
                                                                                     at 32x224x224
    ===========  ================================  ================================  =============

    Hidden layers are (B, channels, T', H', W'). The embedding is what the classifier would get.
    The input is already normalised, for pretrained weights by the mean and standard deviation
    that torchvision documents beside them.

    Args:
        architecture: one of the names above.
        weights: pretrained weights by torchvision's name (``KINETICS400_V1``), downloaded on
            first use; None for a random start.

    Raises:
        ValueError: for an unknown architecture or unknown weights.
    """

    def __init__(self, architecture: str, weights: str | None = None) -> None:
        super().__init__()
        known = list(_LAYOUTS)
        removed = _LAYOUTS[architecture].removed if architecture in _LAYOUTS else ()
        self.model = build_backbone("TorchvisionVideo", architecture, weights, known, removed)
        self.architecture = architecture
        self.hidden_features = list(_LAYOUTS[architecture].hidden.values())
        self.out_features = self.hidden_features[-1]

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:  # noqa: ARG002
        """Encode normalised clips (B, 3, T, H, W)."""
        require_shape("TorchvisionVideo", x, B=None, C=3, T=None, H=None, W=None)
        layout = _LAYOUTS[self.architecture]
        self._check_clip(x.shape[2:], layout)
        with float32_video_on_cpu():
            embedding, outputs = run_with_hidden(self.model, x, list(layout.hidden))
        return Features(embedding=embedding, hidden=[layout.to_map(out) for out in outputs])

    def _check_clip(self, clip: tuple[int, ...], layout: _Layout) -> None:
        too_small = any(size < least for size, least in zip(clip, layout.smallest, strict=True))
        if too_small or (layout.largest is not None and tuple(clip) != layout.largest):
            limit = "at least" if layout.largest is None else "exactly"
            raise ValueError(
                f"TorchvisionVideo: {self.architecture} takes clips (T, H, W) of {limit} "
                f"{layout.smallest}, got {tuple(clip)}; set the datamodule's frames and size"
            )
