"""torchvision's models as encoders: built by name, classifier removed, hidden layers collected.

torchvision takes a second and a half to import, so it is imported where a model is built.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


def build_backbone(
    network: str,
    architecture: str,
    weights: str | None,
    known: Sequence[str],
    removed: Sequence[str],
) -> nn.Module:
    """Build a torchvision model without its classifier.

    Args:
        network: the encoder's name, for messages.
        architecture: the model's name in torchvision.
        weights: the name of pretrained weights (downloaded on first use), or None.
        known: the architectures that the encoder takes.
        removed: the top-level modules that become the identity.

    Raises:
        ValueError: for an unknown architecture or unknown weights; it lists the known ones.
    """
    from torchvision.models import get_model, get_model_weights  # type: ignore[import-untyped]

    if architecture not in known:
        raise ValueError(
            f"{network}: unknown architecture '{architecture}'; choose one of {', '.join(known)}"
        )
    model: nn.Module = get_model(architecture, weights=None)
    if weights is not None:
        known_weights = get_model_weights(architecture)
        names = [*known_weights.__members__, "DEFAULT"]
        if weights not in names:
            raise ValueError(
                f"{network}: '{architecture}' has no weights '{weights}'; "
                f"choose one of {', '.join(names)}, or null for none"
            )
        # By itself torchvision reads the file as code.
        state = known_weights[weights].get_state_dict(check_hash=True, weights_only=True)
        model.load_state_dict(state)
    for name in removed:
        setattr(model, name, nn.Identity())
    return model


def run_with_hidden(model: nn.Module, x: Tensor, names: Sequence[str]) -> tuple[Tensor, list[Any]]:
    """Run a model and return its output and what the named modules returned, in that order.

    The hooks live for this one call: a hook that stays is shared by copies of the model
    (``copy.deepcopy``, an EMA), which then write into each other's results.
    """
    collected: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG001
            collected[name] = output

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        output: Tensor = model(x)
    finally:
        for handle in handles:
            handle.remove()
    return output, [collected[name] for name in names]
