"""What objects of the quickstart world sound like: a waveform, and how loud it is when."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

#: (time in s, pitch as a factor, generator) -> loudness in about [0, 1], and waveform. The tempo
#: is the generator's draw, so that it differs from clip to clip.
Sound: TypeAlias = Callable[[Array, float, np.random.Generator], tuple[Array, Array]]


def bell(t: Array, pitch: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return slow strokes on metal that ring on."""
    loudness = _strokes(t, rng.uniform(0.9, 1.5), 0.4, rng)
    ring = _tone(t, 600 * pitch, {1: 1.0, 2.76: 0.6, 4.1: 0.3})
    return loudness, loudness * ring


def drum(t: Array, pitch: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return quick strokes on a skin that die at once."""
    loudness = _strokes(t, rng.uniform(2.6, 3.8), 0.07, rng)
    skin = _tone(t, 130 * pitch, {1: 1.0}) + 0.5 * rng.standard_normal(len(t))
    return loudness, loudness * skin


def flute(t: Array, pitch: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a held tone that swells, with breath in it."""
    loudness = 0.75 + 0.2 * np.sin(2 * np.pi * (rng.uniform(0.3, 0.7) * t + rng.uniform()))
    breath = 0.15 * rng.standard_normal(len(t))
    return loudness, loudness * (_tone(t, 420 * pitch, {1: 1.0, 2: 0.4}) + breath)


#: By the second part of a class's name.
SOUNDS: dict[str, Sound] = {"Bell": bell, "Drum": drum, "Flute": flute}


def _tone(t: Array, frequency: float, partials: dict[float, float]) -> Array:
    """Return a sum of sines: {multiple of the frequency in Hz: amplitude}."""
    tone = np.zeros_like(t)
    for multiple, amplitude in partials.items():
        tone += amplitude * np.sin(2 * np.pi * frequency * multiple * t)
    return tone


def _strokes(t: Array, rate: float, decay: float, rng: np.random.Generator) -> Array:
    """Return the loudness of something struck ``rate`` times a second, fading in ``decay`` s."""
    loudness = np.zeros_like(t)
    stroke = -rng.uniform(0, 1 / rate)
    while stroke < t[-1]:
        since = np.maximum(t - stroke, 0)
        loudness = np.maximum(
            loudness, (t >= stroke) * rng.uniform(0.75, 1) * np.exp(-since / decay)
        )
        stroke += rng.uniform(0.9, 1.1) / rate
    return loudness
