"""Image encoders."""

from torch import Tensor

from cmkd.networks.base import Encoder, Features
from cmkd.networks.shapes import require_shape
from cmkd.networks.torchvision_backbone import build_backbone, run_with_hidden

STAGES = ("layer1", "layer2", "layer3", "layer4")
WIDTHS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048}


class TorchvisionImage(Encoder):
    """A torchvision ResNet for images (B, 3, H, W), hidden: the maps of its four stages.

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. The input is already
    normalised, for pretrained weights by ImageNet's mean and standard deviation; 224x224 is the
    size those were trained at, any size works.

    Args:
        architecture: resnet18, resnet34, resnet50 or resnet101.
        weights: pretrained weights by torchvision's name (``IMAGENET1K_V1``), downloaded on
            first use; None for a random start.

    Raises:
        ValueError: for an unknown architecture or unknown weights.
    """

    def __init__(self, architecture: str = "resnet18", weights: str | None = None) -> None:
        super().__init__()
        self.model = build_backbone(
            "TorchvisionImage", architecture, weights, known=list(WIDTHS), removed=["fc"]
        )
        self.out_features = WIDTHS[architecture]
        self.hidden_features = [self.out_features // shrink for shrink in (8, 4, 2, 1)]

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:  # noqa: ARG002
        """Encode normalised images (B, 3, H, W)."""
        require_shape("TorchvisionImage", x, B=None, C=3, H=None, W=None)
        embedding, hidden = run_with_hidden(self.model, x, STAGES)
        return Features(embedding=embedding, hidden=hidden)
