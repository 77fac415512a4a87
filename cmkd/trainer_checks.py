"""What a trainer and a model are refused for, before any of a run is computed."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    SingleDeviceStrategy,
    Strategy,
)
from torch._dynamo import OptimizedModule


def check_trainer(trainer: Trainer, module: LightningModule) -> None:
    """Refuse a precision, a strategy or a compilation that a run in stages does not take.

    Raises:
        ValueError: names what is refused, why, and what to use.
    """
    check_precision(str(trainer.precision))
    check_strategy(trainer.strategy)
    check_compiled(module)


def check_precision(precision: str) -> None:
    """Refuse fp16.

    With two optimizers the gradient scaler is updated between their steps, so that the second's
    gradients may be divided by another scale than they were multiplied with; and clipping would
    see scaled gradients, so that ``gradient_clip_norm`` would mean another norm in every step.

    Raises:
        ValueError: for ``16-mixed``, ``16-true`` and ``transformer-engine-float16``.
    """
    if precision.startswith("16") or precision.endswith("float16"):
        raise ValueError(
            f"trainer.precision '{precision}' is not supported with two optimizers: one gradient "
            "scaler would be updated between their steps, and gradient_clip_norm would clip scaled "
            "gradients; use 'bf16-mixed' or '32-true'"
        )


def check_strategy(strategy: Strategy) -> None:
    """Refuse strategies that divide the parameters among the ranks.

    A change of stage copies, restores and freezes whole networks, and critics are clipped apart
    from the networks; FSDP, DeepSpeed and tensor parallelism leave each rank a piece of each.

    Raises:
        ValueError: for anything but a single device and DDP.
    """
    whole = isinstance(strategy, SingleDeviceStrategy | DDPStrategy)
    if not whole or isinstance(strategy, DeepSpeedStrategy):
        raise ValueError(
            f"trainer.strategy {type(strategy).__name__} is not supported: a change of stage "
            "copies, restores and freezes whole networks, which a strategy that shards them does "
            "not hold; use 'ddp'"
        )


def check_compiled(module: LightningModule) -> None:
    """Refuse a compiled LightningModule and networks wrapped by ``torch.compile``.

    A training step of manual optimization is hooks, optimizers and logging, which a compiler only
    breaks on; and a wrapped network's checkpoint has other names (``_orig_mod``). ``compile()``
    in place, of a network or an encoder, has neither problem.

    Raises:
        ValueError: names the network.
    """
    remedy = (
        "compile a network in place, before fit, which keeps the names of its checkpoint: "
        "model.networks['student'].compile()"
    )
    if module._compiler_ctx is not None:
        raise ValueError(f"the whole LightningModule is compiled, optimizers included; {remedy}")
    for name, part in module.named_modules():
        if isinstance(part, OptimizedModule):
            raise ValueError(f"'{name}' was wrapped by torch.compile; {remedy}")
