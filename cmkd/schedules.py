"""Learning-rate schedules as functions of the position in a stage.

A schedule keeps no state: the factor follows from the fractional epoch, so a resumed run
continues on the same curve and a changed learning rate in the config takes effect.
"""

import math


class Schedule:
    """A constant learning rate after an optional linear warm-up; base of the others.

    Args:
        warmup_epochs: epochs over which the rate rises linearly from 0; may be a fraction.

    Raises:
        ValueError: for a negative warm-up.
    """

    def __init__(self, warmup_epochs: float = 0.0) -> None:
        if warmup_epochs < 0:
            raise ValueError(f"schedule.warmup_epochs must not be negative, got {warmup_epochs}")
        self.warmup_epochs = warmup_epochs

    def factor(self, epoch: float, epochs: float) -> float:
        """Return what the base learning rate is multiplied with.

        Args:
            epoch: position in the stage in epochs, for example 2.5 in the middle of the third.
            epochs: length of the stage in epochs.
        """
        return ramp(epoch, self.warmup_epochs) * self.decay(epoch, epochs)

    def decay(self, epoch: float, epochs: float) -> float:  # noqa: ARG002 - for subclasses
        """Return the factor without warm-up."""
        return 1.0


class Cosine(Schedule):
    """Half a cosine from the base rate to ``final`` times it (Loshchilov & Hutter, ICLR 2017).

    Args:
        warmup_epochs: epochs over which the rate rises linearly from 0.
        final: the factor at the end of the stage.
    """

    def __init__(self, warmup_epochs: float = 0.0, final: float = 0.0) -> None:
        super().__init__(warmup_epochs)
        self.final = final

    def decay(self, epoch: float, epochs: float) -> float:
        """Return the factor without warm-up."""
        span = max(epochs - self.warmup_epochs, 1e-8)
        position = min(max(epoch - self.warmup_epochs, 0.0) / span, 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * position))


class MultiStep(Schedule):
    """The rate times ``gamma`` at each milestone.

    Args:
        milestones: epochs of the stage at which the rate drops, for example [150, 225].
        gamma: the factor of one drop.
        warmup_epochs: epochs over which the rate rises linearly from 0.
    """

    def __init__(
        self, milestones: list[float], gamma: float = 0.1, warmup_epochs: float = 0.0
    ) -> None:
        super().__init__(warmup_epochs)
        self.milestones = sorted(milestones)
        self.gamma = gamma

    def decay(self, epoch: float, epochs: float) -> float:  # noqa: ARG002 - epochs: see base
        """Return the factor without warm-up."""
        return float(self.gamma ** sum(epoch >= milestone for milestone in self.milestones))


def ramp(epoch: float, warmup_epochs: float) -> float:
    """Return min(1, epoch / warmup_epochs), 1 without warm-up."""
    return 1.0 if warmup_epochs <= 0 else min(1.0, epoch / warmup_epochs)
