"""Small feature files with the shapes of the real ones, for the tests of feature sets."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from datamodules.feature_folds import FeatureFolds
from datamodules.feature_splits import GroupSplit

EMOTIONS = ["calm", "happy", "sad"]
ACTORS = [1, 2, 3, 4, 5, 6]
FOLDS: list[list[int | str]] = [[1, 2], [3, 4], [5, 6]]
TAKES = 2


def actor_arrays() -> dict[str, Any]:
    """Six actors say each of three emotions twice: vectors, a sequence with padding, labels."""
    rng = np.random.default_rng(0)
    actor = np.repeat(ACTORS, len(EMOTIONS) * TAKES)
    emotion = np.tile(np.repeat(EMOTIONS, TAKES), len(ACTORS))
    n = len(actor)
    speech = rng.normal(size=(n, 5, 3)).astype(np.float32)
    frames = 2 + np.arange(n) % 4
    speech[np.arange(5) >= frames[:, None]] = 0
    return {
        "actor": actor,
        "emotion": emotion,
        "face_au": rng.normal(3, 2, size=(n, 4)).astype(np.float32),
        "audio_mfcc": rng.normal(-65, 8, size=(n, 6)),
        "speech": speech,
        "speech_frames": frames,
    }


def save(path: Path, **arrays: Any) -> str:
    """Write an .npz file and return its path."""
    np.savez(path, **arrays)
    return str(path)


def feature_folds(file: str, **changes: Any) -> FeatureFolds:
    """Return the datamodule over ``actor_arrays``, with some arguments changed."""
    arguments: dict[str, Any] = {
        "file": file,
        "arrays": {"face": "face_au", "audio": "audio_mfcc", "speech": "speech"},
        "label": "emotion",
        "split": GroupSplit("actor", FOLDS, val_groups=1),
        "student_modalities": ["face"],
        "auxiliary_modalities": ["audio"],
        "batch_size": 4,
    }
    return FeatureFolds(**{**arguments, **changes})


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Assert that two batches hold the same, exactly."""
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            assert_same(value, other[key])
        else:
            torch.testing.assert_close(value, other[key], rtol=0, atol=0)
