import numpy as np
import pytest
import torch

from datamodules.collate import collate
from datamodules.feature_arrays import Reading
from datamodules.feature_splits import SuffixSplit
from datamodules.incomplete import IncompleteTraining
from tests.datamodules.feature_files import actor_arrays, assert_same, feature_folds, save

MODALITIES = {"student_modalities": ["face"], "auxiliary_modalities": ["audio", "speech"]}


@pytest.fixture
def file(tmp_path):
    return save(tmp_path / "actors.npz", **actor_arrays())


def test_a_gathered_batch_equals_the_collated_samples(file):
    data = feature_folds(file, auxiliary_modalities=["audio", "speech"])
    rows = data.dataset("train")
    keys = [(5, 1), (0, 1), (17, 1), (5, 1)]
    assert_same(rows.__getitems__(keys), collate([rows[key] for key in keys]))
    short = torch.nonzero(rows.length["speech"] < 4).flatten().tolist()
    assert_same(rows.__getitems__(short), collate([rows[row] for row in short]))


def test_a_row_out_of_range_is_an_index_error(file):
    rows = feature_folds(file).dataset("val")
    with pytest.raises(IndexError, match=f"row {len(rows)} of {len(rows)}"):
        rows[len(rows)]


def test_what_is_not_kept_is_zero_and_not_present_and_all_else_stays(file):
    rows, untouched = (feature_folds(file, **MODALITIES).dataset("train") for _ in range(2))
    kept = {name: np.ones(len(rows), dtype=bool) for name in ("audio", "speech")}
    kept["audio"][[0, 3]] = False
    kept["speech"][3] = False
    rows.keep_only(kept)
    for name in ("face", "audio", "speech"):
        mask = torch.from_numpy(kept.get(name, np.ones(len(rows), dtype=bool)))
        assert rows.present[name].tolist() == mask.tolist()
        assert (rows.values[name][~mask] == 0).all()
        torch.testing.assert_close(rows.values[name][mask], untouched.values[name][mask])
    assert rows[3]["present"] == {"face": True, "audio": False, "speech": False}
    assert rows[3]["speech"].shape == (1, 3), "recurrent networks refuse an empty sequence"
    assert_same(rows.__getitems__([3, 0, 5]), collate([rows[3], rows[0], rows[5]]))


def test_an_absent_row_stays_absent_when_it_is_kept(tmp_path):
    arrays = actor_arrays()
    arrays["audio_mfcc"][:] = np.nan
    arrays["audio_mfcc"][::2] = 1.0
    data = feature_folds(
        save(tmp_path / "a.npz", **arrays), reading=Reading(nan_rows_are_absent=True)
    )
    rows = data.dataset("train")
    before = rows.present["audio"].clone()
    rows.keep_only({"audio": np.ones(len(rows), dtype=bool)})
    assert 0 < before.sum() < len(rows)
    assert (rows.present["audio"] == before).all()


def test_a_mask_that_does_not_fit_is_refused(file):
    rows = feature_folds(file).dataset("train")
    with pytest.raises(ValueError, match="no modality 'text'; the rows hold face, audio"):
        rows.keep_only({"text": np.ones(len(rows), dtype=bool)})
    with pytest.raises(ValueError, match=r"mask of 'audio' has shape \(3,\), but there are 18"):
        rows.keep_only({"audio": np.ones(3, dtype=bool)})


def test_incomplete_training_data_lacks_auxiliary_modalities_in_training_alone(file):
    data = feature_folds(file, **MODALITIES, incomplete=IncompleteTraining({"audio": 0.3}))
    train = data.dataset("train")
    assert 0 < train.present["audio"].sum() < len(train)
    assert train.present["face"].all()
    assert data.dataset("val").present["audio"].all()
    again = feature_folds(file, **MODALITIES, incomplete=IncompleteTraining({"audio": 0.3}))
    assert (again.dataset("train").present["audio"] == train.present["audio"]).all()


def test_the_gallery_is_what_trains_and_validates_as_evaluation_reads_it(file):
    data = feature_folds(file, gallery=True)
    loaders = data.test_dataloader()
    assert list(loaders) == ["test", "gallery"]
    batches = list(loaders["gallery"])
    index = torch.cat([batch["index"] for batch in batches])
    assert index.tolist() == list(range(24)), "in order, each once"
    assert set(batches[0]) == {"face", "label", "index", "present"}
    parts = [data.dataset(part) for part in ("train", "val")]
    expected = torch.cat([part.values["face"] for part in parts])
    torch.testing.assert_close(torch.cat([batch["face"] for batch in batches]), expected)
    labels = torch.cat([part.label for part in parts])
    assert (torch.cat([batch["label"] for batch in batches]) == labels).all()


def test_a_gallery_of_sequences_of_two_lengths_is_padded(tmp_path):
    path = save(
        tmp_path / "m.npz",
        y_train=np.array([0, 1, 0, 1]),
        x_train=np.ones((4, 3, 2)),
        y_val=np.array([0, 1]),
        x_val=np.ones((2, 5, 2)),
        y_test=np.array([0, 1]),
        x_test=np.ones((2, 4, 2)),
    )
    data = feature_folds(
        path,
        arrays={"speech": "x"},
        label="y",
        split=SuffixSplit(val="_val"),
        student_modalities=["speech"],
        auxiliary_modalities=[],
        gallery=True,
        standardise=False,
    )
    gallery = data.dataset("gallery")
    assert gallery.length["speech"].tolist() == [3, 3, 3, 3, 5, 5]
    assert gallery.values["speech"].sum(dim=(1, 2)).tolist() == [6, 6, 6, 6, 10, 10]


def test_a_student_alone_needs_no_auxiliary_modality(file):
    data = feature_folds(file, auxiliary_modalities=[])
    batch = next(iter(data.train_dataloader()))
    assert set(batch) == {"face", "label", "index", "present"}
