"""How objects of the quickstart world move."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

#: (time in s, cycles a second, phase in cycles) -> x and y, each within [-1, 1], y downwards.
Motion: TypeAlias = Callable[[Array, float, float], tuple[Array, Array]]


def bounce(t: Array, rate: float, phase: float) -> tuple[Array, Array]:
    """Return the path of a ball on the floor that drifts a little to the side."""
    return 0.25 * _triangle(0.3 * rate * t + phase), 1 - 2 * np.abs(
        np.sin(np.pi * (rate * t + phase))
    )


def swing(t: Array, rate: float, phase: float) -> tuple[Array, Array]:
    """Return the path of a pendulum."""
    angle = np.sin(2 * np.pi * (rate * t + phase))
    return angle, 0.35 * (1 - angle**2)


def orbit(t: Array, rate: float, phase: float) -> tuple[Array, Array]:
    """Return a circle."""
    angle = 2 * np.pi * (rate * t + phase)
    return 0.8 * np.cos(angle), 0.8 * np.sin(angle)


def zigzag(t: Array, rate: float, phase: float) -> tuple[Array, Array]:
    """Return a path to and fro in sharp turns, three times as quick upright as across."""
    return _triangle(0.5 * rate * t + phase), 0.7 * _triangle(1.5 * rate * t + phase)


#: By the first part of a class's name.
MOTIONS: dict[str, Motion] = {
    "Bouncing": bounce,
    "Swinging": swing,
    "Orbiting": orbit,
    "Zigzagging": zigzag,
}


def _triangle(cycles: Array) -> Array:
    """Return a triangle wave between -1 and 1."""
    wave: Array = 4 * np.abs(cycles - np.floor(cycles + 0.5)) - 1
    return wave
