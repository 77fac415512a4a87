"""FeatureFolds and its parts are built from YAML, and again from the YAML that was written."""

import numpy as np
import pytest
import yaml
from jsonargparse import ArgumentParser

from datamodules.base import CrossModalDataModule
from datamodules.feature_folds import FeatureFolds
from tests.datamodules.feature_files import FOLDS, actor_arrays, save


def built(tmp_path, **init_args):
    arrays = actor_arrays()
    columns = {
        "split": np.array(["train"] * 30 + ["test"] * 6),
        "fold": np.repeat(range(6), 6),
        "code": np.tile([3, 7], 18),
        "value": np.tile(np.linspace(-3, 3, 4), 9),
    }
    arguments = {
        "file": save(tmp_path / "actors.npz", **arrays, **columns),
        "arrays": {"face": "face_au", "audio": "audio_mfcc"},
        "label": "code",
        "student_modalities": ["face"],
        "auxiliary_modalities": ["audio"],
        "split": {"class_path": "ArraySplit", "init_args": {"cut": {"fraction": 0.2}}},
        **init_args,
    }
    config = {"data": {"class_path": "datamodules.FeatureFolds", "init_args": arguments}}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(CrossModalDataModule, "data")
    parsed = parser.parse_string(yaml.safe_dump(config, sort_keys=False))
    data = parser.instantiate(parser.parse_string(parser.dump(parsed))).data
    assert isinstance(data, FeatureFolds)
    data.setup("fit")
    return data


@pytest.mark.parametrize(
    ("split", "init_args"),
    [
        ("GroupSplit", {"group": "actor", "folds": FOLDS, "fold": 1, "val_groups": 0.3}),
        ("ArraySplit", {"cut": {"fraction": 0.2}, "group": None}),
        ("FoldSplit", {"test": [0], "val": [5], "group": {"column": "actor"}}),
        ("FoldSplit", {"test": [0, 1], "cut": {"fraction": 0.3, "group": "actor"}}),
    ],
)
def test_every_split_is_built_from_yaml(tmp_path, split, init_args):
    classes = {7: "late", 3: "early"}
    data = built(tmp_path, classes=classes, split={"class_path": split, "init_args": init_args})
    assert data.class_names == ["late", "early"]
    assert data.parts.val.rows.size == 6


@pytest.mark.parametrize(
    ("target", "init_args", "classes"),
    [
        ("ClassTarget", {"classes": {3: "early", 7: "late"}}, 2),
        ("RealTarget", {"low": -4.0, "high": 4.0}, 1),
        ("RoundedTarget", {}, 7),
        ("PolarityTarget", {"without_zeros": True}, 2),
    ],
)
def test_every_target_is_built_from_yaml(tmp_path, target, init_args, classes):
    data = built(
        tmp_path,
        label="code" if target == "ClassTarget" else "value",
        target={"class_path": f"datamodules.targets.{target}", "init_args": init_args},
        reading={"infinity_is_zero": True},
    )
    assert data.num_classes == classes
    assert data.reading.infinity_is_zero
