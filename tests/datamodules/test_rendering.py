import dataclasses
import io

import av
import numpy as np
import pytest

from datamodules.encoding import encode_mp4
from datamodules.motions import MOTIONS
from datamodules.rendering import (
    CLASS_NAMES,
    FRAME_RATE,
    FRAMES,
    SAMPLE_RATE,
    SAMPLES,
    SIZE,
    World,
    render_clip,
)
from datamodules.sounds import SOUNDS

WORLD = World(silent=0)
PLAIN = World(silent=0, ambiguous=0)


def brightness(frames: np.ndarray) -> np.ndarray:
    return frames.astype(float).mean(axis=(1, 2, 3))


def loudness_of(samples: np.ndarray) -> np.ndarray:
    """Return the RMS of the sound during each frame."""
    return np.sqrt((samples.reshape(FRAMES, -1) ** 2).mean(axis=1))


def trace_of_sound(label: int, group: int, decode: bool) -> np.ndarray:
    """Return by frame how much brighter a clip of one sound is with the imprint than without."""
    traces = []
    for imprint in (1.0, 0.0):
        frames = render_clip(dataclasses.replace(PLAIN, imprint=imprint), label, group, 1).frames
        if decode:
            with av.open(io.BytesIO(encode_mp4(frames, FRAME_RATE))) as container:
                decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            frames = np.stack(decoded)
        traces.append(brightness(frames))
    return traces[0] - traces[1]


def test_a_clip_has_the_announced_shapes_and_ranges():
    clip = render_clip(WORLD, 0, 1, 1)
    assert clip.frames.shape == (FRAMES, SIZE, SIZE, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.samples.shape == (SAMPLES,)
    assert clip.samples.dtype == np.float32
    assert 0.5 < np.abs(clip.samples).max() <= 1
    assert FRAMES / FRAME_RATE == SAMPLES / SAMPLE_RATE


def test_a_class_is_named_by_its_motion_and_its_sound():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == len(MOTIONS) * len(SOUNDS)
    assert CLASS_NAMES[1] == "BouncingDrum"


def test_a_clip_depends_on_nothing_but_seed_class_group_and_number():
    clip = render_clip(WORLD, 4, 2, 3)
    render_clip(WORLD, 5, 2, 3)
    again = render_clip(World(silent=0, groups=9, test_groups=1, clips_per_group=5), 4, 2, 3)
    np.testing.assert_array_equal(clip.frames, again.frames)
    np.testing.assert_array_equal(clip.samples, again.samples)


@pytest.mark.parametrize(
    ("world", "place"),
    [
        (World(silent=0, seed=1), (4, 2, 3)),
        (WORLD, (5, 2, 3)),
        (WORLD, (4, 3, 3)),
        (WORLD, (4, 2, 2)),
    ],
    ids=["seed", "class", "group", "number"],
)
def test_each_of_seed_class_group_and_number_makes_another_clip(world, place):
    clip, other = render_clip(WORLD, 4, 2, 3), render_clip(world, *place)
    assert (clip.frames != other.frames).mean() > 0.5
    assert not np.allclose(clip.samples, other.samples)


def test_clips_of_a_group_share_the_backdrop_and_those_of_another_do_not():
    def corner(label: int, group: int, number: int) -> np.ndarray:
        frames = render_clip(dataclasses.replace(WORLD, imprint=0), label, group, number).frames
        return np.median(frames[:, :3, :3], axis=(0, 1, 2))

    here = corner(0, 4, 1)
    np.testing.assert_allclose(corner(0, 4, 2), here, atol=8)
    np.testing.assert_allclose(corner(7, 4, 1), here, atol=8)
    assert np.abs(corner(0, 5, 1) - here).max() > 12


@pytest.mark.parametrize("label", range(len(SOUNDS)))
def test_the_picture_trembles_with_the_loudness(label):
    trace = trace_of_sound(label, 3, decode=False)
    assert np.corrcoef(trace, loudness_of(render_clip(PLAIN, label, 3, 1).samples))[0, 1] > 0.5
    assert np.ptp(trace) > 1


def test_encoding_keeps_the_imprint():
    kept = [
        np.corrcoef(trace_of_sound(1, group, False), trace_of_sound(1, group, True))[0, 1]
        for group in range(1, 6)
    ]
    assert np.mean(kept) > 0.7


def test_without_imprint_the_sound_leaves_the_picture_alone():
    mute = dataclasses.replace(WORLD, imprint=0)
    one, mixed = (
        render_clip(dataclasses.replace(mute, ambiguous=share), 4, 2, 1) for share in (0.0, 1.0)
    )
    np.testing.assert_array_equal(one.frames, mixed.frames)
    assert not np.allclose(one.samples, mixed.samples)


@pytest.mark.parametrize(("share", "tracks"), [(0.0, 40), (1.0, 0)])
def test_silent_clips_have_no_samples(share, tracks):
    world = World(silent=share)
    clips = [render_clip(world, 0, 1, number) for number in range(1, 41)]
    assert sum(clip.samples is not None for clip in clips) == tracks


def test_about_the_given_share_of_clips_is_silent():
    world = World(silent=0.25)
    absent = [
        render_clip(world, label, 1, n).samples is None for label in range(6) for n in range(20)
    ]
    assert 0.1 < np.mean(absent) < 0.4


@pytest.mark.parametrize("name", MOTIONS)
def test_motions_stay_in_the_picture(name):
    t = np.linspace(0, 20, 2000)
    x, y = MOTIONS[name](t, 0.9, 0.3)
    assert np.abs(np.stack([x, y])).max() <= 1 + 1e-9
    assert np.ptp(x) + np.ptp(y) > 1


def test_drums_are_quicker_than_bells_and_flutes_hold_their_tone():
    t = np.arange(SAMPLES) / SAMPLE_RATE

    def mean_loudness(name: str) -> float:
        rng = np.random.default_rng(0)
        return float(np.mean([SOUNDS[name](t, 1.0, rng)[0].mean() for _ in range(20)]))

    def strokes(name: str) -> float:
        rng = np.random.default_rng(0)
        jumps = [np.diff(SOUNDS[name](t, 1.0, rng)[0]) > 0.05 for _ in range(20)]
        return float(np.mean([jump.sum() for jump in jumps]))

    assert strokes("Drum") > 2 * strokes("Bell") > 2
    assert strokes("Flute") == 0
    assert mean_loudness("Flute") > mean_loudness("Bell") > mean_loudness("Drum")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("seed", -1),
        ("groups", 7),
        ("groups", 100),
        ("test_groups", 0),
        ("clips_per_group", 0),
        ("imprint", 2.5),
        ("ambiguous", -0.1),
        ("silent", 2.0),
    ],
)
def test_a_number_out_of_its_range_is_named(argument, value):
    with pytest.raises(ValueError, match=argument):
        World(**{argument: value})
