"""The quickstart world: one clip of it, drawn and sounded.

A class is a pair: how an object moves, which a camera sees well, and what it sounds like, which a
microphone hears well. Sound leaves a faint imprint on the picture: the object shines, and its
light trembles with the loudness, under a flicker that has nothing to do with it. So a network that
only sees can learn something of the sound.

Two things are as in real recordings. Loudness and tempo differ from clip to clip, and with them
how clear the imprint is. And some clips hold two sounds, the label naming the louder one. A label
is blind to both; the prediction of a network that hears the clip is not.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from datamodules.motions import MOTIONS
from datamodules.sounds import SOUNDS, Array

#: Changes with whatever changes a clip, so that files of an older version are not taken for new.
VERSION = 1

CLASS_NAMES = [motion + sound for motion, sound in product(MOTIONS, SOUNDS)]
FRAME_RATE = 10
FRAMES = 20
SIZE = 48
SAMPLE_RATE = 8000
SAMPLES = SAMPLE_RATE * FRAMES // FRAME_RATE

#: How far the object's light reaches, as a share of the picture's side.
_REACH = 0.3
#: Standard deviations of what hides the imprint: the light's own flicker, the camera's exposure
#: from frame to frame, and the camera's noise; and of the microphone's hiss.
_FLICKER = 0.05
_EXPOSURE = 0.02
_GRAIN = 0.05
_HISS = 0.25
#: Taken from the loudness, so that a louder world is no brighter one.
_MEAN_LOUDNESS = 0.4
#: Highest sample of a waveform; AAC overshoots a little.
_PEAK = 0.8


@dataclass(frozen=True)
class World:
    """What, together with a clip's class, group and number, decides every pixel and sample.

    Args:
        seed: another seed, other clips.
        groups: scenes a class; a scene is what clips share that were taken at one place, its
            backdrop, colours, pitch and pace. The classes were taken at the same places, so that
            a backdrop gives no class away.
        test_groups: how many of the scenes, from the first on, are for testing only.
        clips_per_group: clips of a class at a scene.
        imprint: how strongly the light follows the loudness, from 0, which leaves no trace of the
            sound, to 2.
        ambiguous: share of clips that hold a second sound.
        silent: share of clips without an audio track.

    Raises:
        ValueError: for a number out of its range; names the argument.
    """

    seed: int = 0
    groups: int = 25
    test_groups: int = 7
    clips_per_group: int = 3
    imprint: float = 1.0
    ambiguous: float = 0.4
    silent: float = 0.03

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed: must not be negative, got {self.seed}")
        if not 1 <= self.test_groups < self.groups <= 99:
            raise ValueError(
                "test_groups and groups: need 1 <= test_groups < groups <= 99, got "
                f"{self.test_groups} and {self.groups}"
            )
        if not 1 <= self.clips_per_group <= 99:
            raise ValueError(f"clips_per_group: must be from 1 to 99, got {self.clips_per_group}")
        for name, most in (("imprint", 2), ("ambiguous", 1), ("silent", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(
                    f"{name}: must lie between 0 and {most}, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class RenderedClip:
    """A clip before encoding.

    Attributes:
        frames: (FRAMES, SIZE, SIZE, 3) uint8, RGB.
        samples: (SAMPLES,) float32 in [-1, 1], one channel; None without an audio track.
    """

    frames: NDArray[np.uint8]
    samples: NDArray[np.float32] | None


@dataclass(frozen=True)
class _Scene:
    """What the clips of a group share; colours are RGB in [0, 1]."""

    backdrop: Array
    slope: Array
    colour: Array
    radius: float
    pitch: float
    pace: float


def render_clip(world: World, label: int, group: int, number: int) -> RenderedClip:
    """Render one clip, the same for the same arguments whatever else is rendered.

    Args:
        world: the parameters.
        label: place of its class in ``CLASS_NAMES``.
        group: its scene, from 1.
        number: which of the scene's clips of this class, from 1.
    """
    scene = _scene(np.random.default_rng([world.seed, group]))
    clip = np.random.default_rng([world.seed, group, label, number])
    # Generators of their own, so that a world with another imprint has the same pictures else.
    sound_rng, picture_rng, track_rng = clip.spawn(3)
    motion, sound = divmod(label, len(SOUNDS))
    loudness, waveform = _sound(world, sound, scene, sound_rng)
    frames = _picture(world, motion, scene, loudness, picture_rng)
    has_audio = track_rng.random() >= world.silent
    return RenderedClip(frames, waveform.astype(np.float32) if has_audio else None)


def _scene(rng: np.random.Generator) -> _Scene:
    return _Scene(
        backdrop=rng.uniform(0.1, 0.35, 3),
        slope=rng.uniform(-0.12, 0.12, (2, 3)),
        colour=rng.uniform(0.45, 0.85, 3),
        radius=rng.uniform(0.11, 0.15),
        pitch=float(np.exp(rng.uniform(-0.25, 0.25))),
        pace=rng.uniform(0.7, 1.1),
    )


def _sound(
    world: World, sound: int, scene: _Scene, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return the loudness and the recorded waveform, each (SAMPLES,)."""
    t = np.arange(SAMPLES) / SAMPLE_RATE
    sources = list(SOUNDS.values())
    gain = float(np.exp(rng.uniform(np.log(0.4), np.log(1.2))))
    is_ambiguous = rng.random() < world.ambiguous
    share = rng.uniform(0.25, 0.5) if is_ambiguous else 0.0
    loudness, waveform = sources[sound](t, scene.pitch, rng)
    if is_ambiguous:
        other = (sound + int(rng.integers(1, len(sources)))) % len(sources)
        second_loudness, second = sources[other](t, scene.pitch, rng)
        loudness = (1 - share) * loudness + share * second_loudness
        waveform = (1 - share) * waveform + share * second
    recorded = gain * waveform + _HISS * rng.standard_normal(SAMPLES)
    return gain * loudness, _PEAK * recorded / np.abs(recorded).max()


def _picture(
    world: World, motion: int, scene: _Scene, loudness: Array, rng: np.random.Generator
) -> NDArray[np.uint8]:
    t = np.arange(FRAMES) / FRAME_RATE
    x, y = list(MOTIONS.values())[motion](t, scene.pace * rng.uniform(0.9, 1.1), rng.random())
    reach = rng.uniform(0.28, 0.36)
    x, y = rng.uniform(0.42, 0.58) + reach * x, rng.uniform(0.42, 0.58) + reach * y
    bystander = rng.uniform(0.1, 0.9, (2, 1)) + rng.uniform(-0.2, 0.2, (2, 1)) * t

    image = np.linspace(0, 1, SIZE)[:, None]
    backdrop = scene.backdrop + image[:, None] * scene.slope[0] + image * scene.slope[1]
    frames = np.broadcast_to(backdrop, (FRAMES, SIZE, SIZE, 3))
    frames = _draw_disc(frames, bystander[0], bystander[1], 0.06, rng.uniform(0.2, 0.8, 3))
    frames = _draw_disc(frames, x, y, scene.radius, scene.colour)

    # A frame shows the light of all the time its shutter is open.
    exposed = loudness.reshape(FRAMES, -1).mean(axis=1)
    tremble = world.imprint * (exposed - _MEAN_LOUDNESS) + _FLICKER * rng.standard_normal(FRAMES)
    glow = np.exp(-_squared_distance(x, y) / (2 * _REACH**2)) * tremble[:, None, None]
    exposure = 1 + _EXPOSURE * rng.standard_normal((FRAMES, 1, 1))
    frames = frames * ((1 + glow) * exposure)[..., None]
    frames = frames + _GRAIN * rng.standard_normal((FRAMES, SIZE, SIZE, 1))
    pixels: NDArray[np.uint8] = (frames.clip(0, 1) * 255).round().astype(np.uint8)
    return pixels


def _squared_distance(x: Array, y: Array) -> Array:
    """Return (FRAMES, SIZE, SIZE) squared distances of all pixels from (x, y), each (FRAMES,)."""
    image = np.linspace(0, 1, SIZE)
    across, down = (image - x[:, None]) ** 2, (image - y[:, None]) ** 2
    distance: Array = down[:, :, None] + across[:, None, :]
    return distance


def _draw_disc(frames: Array, x: Array, y: Array, radius: float, colour: Array) -> Array:
    """Return frames with a disc over them, its edge soft over about a pixel."""
    distance = np.sqrt(_squared_distance(x, y))
    opacity = (1 / (1 + np.exp(60 * (distance - radius))))[..., None]
    drawn: Array = frames * (1 - opacity) + opacity * colour
    return drawn
