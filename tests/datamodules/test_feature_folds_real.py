"""The real feature sets: their splits, and that arrays and labels belong together."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from datamodules.feature_folds import FeatureFolds
from datamodules.feature_rows import FeatureRows
from datamodules.feature_splits import GroupSplit, SuffixSplit
from datamodules.validation_cut import ValidationCut
from tests.real_data import DATA, needs_real_data

pytestmark = needs_real_data

ACTOR_FOLDS: list[list[int | str]] = [[4 * fold + i for i in (1, 2, 3, 4)] for fold in range(6)]
PARTS = ("train", "val", "test")


def ravdess(fold: int, **changes) -> FeatureFolds:
    return FeatureFolds(
        file=f"{DATA}/features/ravdess_face_audio.npz",
        arrays={"face": "face_au", "audio": "audio_mfcc"},
        label="emotion",
        split=GroupSplit("actor", ACTOR_FOLDS, fold, val_groups=4),
        student_modalities=["face"],
        auxiliary_modalities=["audio"],
        auxiliary_at_test=True,
        **changes,
    )


def groups_of(data: FeatureFolds, array: str) -> list[set[int]]:
    groups = data.file.read(array)
    return [set(groups[getattr(data.parts, part).rows].tolist()) for part in PARTS]


@pytest.mark.parametrize("fold", range(6))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_actor_straddles_the_parts_of_a_ravdess_fold(fold, seed):
    data = ravdess(fold, seed=seed)
    train, val, test = groups_of(data, "actor")
    assert test == set(ACTOR_FOLDS[fold])
    assert len(val) == 4
    assert len(train) + len(val) + len(test) == len(train | val | test) == 24
    assert [getattr(data.parts, part).rows.size for part in PARTS] == [960, 240, 240]
    assert data.num_classes == 8


def test_every_ravdess_clip_is_tested_once_in_six_folds():
    rows = np.concatenate([ravdess(fold).parts.test.rows for fold in range(6)])
    assert sorted(rows) == list(range(1440))


UCF_FOLDS: list[list[int | str]] = [[1, 2], [3, 4], [5], [6, 7]]


@pytest.mark.parametrize("fold", range(4))
def test_ucf51_test_features_fold_by_group(fold):
    data = FeatureFolds(
        file=f"{DATA}/features/ucf51_testlist01_rgb_flow_audio.npz",
        arrays={"rgb": "rkdasari_spatial", "flow": "MinLiAmoy_motion", "audio": "audio_cnn14"},
        label="label",
        split=GroupSplit("group", UCF_FOLDS, fold, val_groups=1),
        student_modalities=["rgb"],
        auxiliary_modalities=["flow", "audio"],
    )
    train, val, test = groups_of(data, "group")
    assert test == set(UCF_FOLDS[fold])
    assert not train & val
    assert train | val | test == set(range(1, 8))
    data.setup("fit")
    data.setup("test")
    assert sum(len(data.dataset(part)) for part in PARTS) == 1944
    assert data.num_classes == 51
    assert data.class_names[0] == "ApplyEyeMakeup"
    batch = next(iter(data.val_dataloader()))
    shapes = {name: batch[name].shape[1] for name in ("rgb", "flow", "audio")}
    assert shapes == {"rgb": 101, "flow": 101, "audio": 512}


def test_mosi_keeps_the_authors_split_and_validates_on_whole_recordings():
    data = FeatureFolds(
        file=f"{DATA}/features/mosi_text_audio_video.npz",
        arrays={name: name for name in ("text", "audio", "video")},
        label="y",
        split=SuffixSplit(cut=ValidationCut(group="id", pattern=r"(.+)_\d+")),
        student_modalities=["audio"],
        auxiliary_modalities=["text", "video"],
        classes={0: "negative", 1: "positive"},
    )
    data.setup("fit")
    data.setup("test")
    assert len(data.dataset("train")) + len(data.dataset("val")) == 1447
    assert len(data.dataset("test")) == 752
    recordings = [
        {name.rpartition("_")[0] for name in data.file.read("id_train")[part.rows]}
        for part in (data.parts.train, data.parts.val)
    ]
    assert not recordings[0] & recordings[1]
    batch = next(iter(data.train_dataloader()))
    assert [batch[name].shape[1] for name in ("text", "audio", "video")] == [100, 73, 100]


def linear_probe_accuracy(train: list[FeatureRows], test: FeatureRows, names: list[str]) -> float:
    def inputs(rows: FeatureRows) -> Tensor:
        return torch.cat([rows.values[name] for name in names], dim=1)

    x = torch.cat([inputs(rows) for rows in train])
    label = torch.cat([rows.label for rows in train])
    weight = torch.zeros(x.shape[1], 8, requires_grad=True)
    bias = torch.zeros(8, requires_grad=True)
    lbfgs = torch.optim.LBFGS([weight, bias], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        lbfgs.zero_grad()
        loss = cross_entropy(x @ weight + bias, label) + 0.03 * weight.square().sum()
        loss.backward()
        return loss

    lbfgs.step(closure)
    predicted = (inputs(test) @ weight + bias).argmax(dim=1)
    return 100 * (predicted == test.label).float().mean().item()


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are small, and waiting for a busy core costs a minute
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_linear_probe_on_ravdess_finds_the_known_accuracies():
    # The figures came with the features, but not how the probe behind them was regularised.
    known = {("face",): 56.0, ("audio",): 32.2, ("face", "audio"): 65.1}
    found = dict.fromkeys(known, 0.0)
    for fold in range(6):
        data = ravdess(fold)
        train = [data.dataset("train"), data.dataset("val")]
        for names in known:
            accuracy = linear_probe_accuracy(train, data.dataset("test"), list(names))
            found[names] += accuracy / 6
    for names, accuracy in known.items():
        assert found[names] == pytest.approx(accuracy, abs=5), names
    assert found["face", "audio"] > found["face",] + 4, "audio and face are of the same clips"
