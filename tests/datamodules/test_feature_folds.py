import lightning
import numpy as np
import pytest
import torch

from datamodules.feature_arrays import Reading
from datamodules.feature_splits import SuffixSplit
from datamodules.validation_cut import ValidationCut
from tests.datamodules.feature_files import (
    actor_arrays,
    assert_same,
    feature_folds,
    save,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "actors.npz"


@pytest.fixture
def file(path):
    return save(path, **actor_arrays())


def test_classes_are_known_right_after_construction(file):
    data = feature_folds(file)
    assert data.num_classes == 3
    assert data.class_names == ["calm", "happy", "sad"]


def test_integer_labels_are_sorted_as_numbers(path):
    emotion = np.repeat([10, 2, 1], 12)[np.random.default_rng(0).permutation(36)]
    data = feature_folds(save(path, **{**actor_arrays(), "emotion": emotion}))
    assert data.class_names == ["1", "2", "10"]


def test_classes_give_labels_their_names_and_order(file):
    names = {"sad": "Trauer", "calm": "Ruhe", "happy": "Freude"}
    data = feature_folds(file, classes=names)
    assert data.class_names == ["Trauer", "Ruhe", "Freude"]
    test = data.dataset("test")
    assert test.label.tolist() == [1, 1, 2, 2, 0, 0] * 2


def test_a_label_outside_classes_is_refused(file):
    with pytest.raises(
        ValueError, match=r"actors\.npz: array 'emotion' has labels outside .*: sad"
    ):
        feature_folds(file, classes={"calm": "calm", "happy": "happy"})


def test_two_classes_of_one_name_are_refused(file):
    with pytest.raises(ValueError, match="classes: two classes have the same name"):
        feature_folds(file, classes={"calm": "good", "happy": "good", "sad": "bad"})


def test_a_class_without_training_samples_is_refused(path):
    arrays = actor_arrays()
    arrays["emotion"][(arrays["emotion"] == "sad") & (arrays["actor"] > 2)] = "calm"
    with pytest.raises(ValueError, match="array 'emotion' has no training sample of class sad"):
        feature_folds(save(path, **arrays))


def test_a_batch_holds_what_the_contract_says(file):
    data = feature_folds(file, auxiliary_modalities=["audio", "speech"])
    batch = next(iter(data.train_dataloader()))
    assert batch["face"].shape == (4, 4)
    assert batch["audio"].shape == (4, 6)
    assert batch["audio"].dtype == torch.float32
    assert batch["label"].dtype == batch["index"].dtype == torch.int64
    assert {name: there.tolist() for name, there in batch["present"].items()} == {
        name: [True] * 4 for name in ("face", "audio", "speech")
    }
    assert list(batch["length"]) == ["speech"]
    assert batch["speech"].shape == (4, int(batch["length"]["speech"].max()), 3)


def test_the_test_part_holds_the_student_modalities_alone(file):
    data = feature_folds(file)
    batch = next(iter(data.test_dataloader()))
    assert "audio" not in batch
    assert list(batch["present"]) == ["face"]


def test_the_test_part_holds_the_auxiliary_modalities_when_asked(file):
    data = feature_folds(file, auxiliary_at_test=True)
    assert "audio" in next(iter(data.test_dataloader()))


def test_testing_the_student_needs_no_auxiliary_array(path, file):
    with_audio = feature_folds(file).dataset("test").values["face"]
    arrays = actor_arrays()
    del arrays["audio_mfcc"]
    data = feature_folds(save(path, **arrays))
    data.setup("test")
    torch.testing.assert_close(data.dataset("test").values["face"], with_audio, rtol=0, atol=0)
    with pytest.raises(ValueError, match="array 'audio_mfcc' is not in the file, which has actor"):
        data.setup("fit")


@pytest.mark.parametrize("part", ["val", "test"])
def test_statistics_come_from_the_training_rows_alone(path, part):
    arrays = actor_arrays()
    before = feature_folds(save(path, **arrays))
    before.setup("fit")
    unmoved = before.dataset(part).values["face"]
    rows = getattr(before.parts, part).rows
    for name in ("face_au", "audio_mfcc"):
        arrays[name][rows] += 1000
    after = feature_folds(save(path, **arrays))
    after.setup("fit")
    for name in ("face", "audio"):
        assert (before.statistics[name].mean == after.statistics[name].mean).all()
        assert (before.statistics[name].std == after.statistics[name].std).all()
    moved = after.dataset(part).values["face"] - unmoved
    assert (moved > 100).all(), "the rows did move, only the statistics did not"


def test_testing_alone_uses_the_statistics_of_the_training_rows(file):
    after_fit, alone = feature_folds(file), feature_folds(file)
    after_fit.setup("fit")
    torch.testing.assert_close(
        alone.dataset("test").values["face"], after_fit.dataset("test").values["face"]
    )


def test_statistics_move_with_the_training_rows(path):
    arrays = actor_arrays()
    before = feature_folds(save(path, **arrays))
    before.setup("fit")
    arrays["face_au"][before.parts.train.rows] += 1000
    after = feature_folds(save(path, **arrays))
    after.setup("fit")
    np.testing.assert_allclose(
        after.statistics["face"].mean - before.statistics["face"].mean, 1000, rtol=1e-5
    )


def test_the_training_part_is_standardised(file):
    data = feature_folds(file)
    for values in data.dataset("train").values.values():
        torch.testing.assert_close(values.mean(0), torch.zeros(values.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            values.std(0, correction=0), torch.ones(values.shape[1]), atol=1e-5, rtol=0
        )


def test_values_stay_as_they_are_without_standardising(file):
    data = feature_folds(file, standardise=False)
    stored = torch.from_numpy(actor_arrays()["face_au"][data.parts.test.rows])
    torch.testing.assert_close(data.dataset("test").values["face"], stored, rtol=0, atol=0)
    assert data.statistics == {}


def test_stored_lengths_and_trailing_zeros_agree(file):
    inferred = feature_folds(file, student_modalities=["speech"]).dataset("train")
    named = feature_folds(
        file, student_modalities=["speech"], lengths={"speech": "speech_frames"}
    ).dataset("train")
    torch.testing.assert_close(inferred.length["speech"], named.length["speech"])
    torch.testing.assert_close(inferred.values["speech"], named.values["speech"])


def test_lengths_of_an_unknown_modality_are_refused(file):
    with pytest.raises(ValueError, match=r"lengths: there is no modality text; `arrays` has face"):
        feature_folds(file, lengths={"text": "speech_frames"})


def test_absent_rows_are_zeros_with_present_false(path):
    arrays = actor_arrays()
    data = feature_folds(save(path, **arrays))
    row = data.parts.train.rows[2]
    arrays["audio_mfcc"][row] = np.nan
    data = feature_folds(save(path, **arrays), reading=Reading(nan_rows_are_absent=True))
    train = data.dataset("train")
    assert torch.nonzero(~train.present["audio"]).flatten().tolist() == [2]
    assert (train.values["audio"][2] == 0).all()
    assert not train[2]["present"]["audio"]
    assert train.present["face"].all()


def test_nan_is_an_error_unless_declared(path):
    arrays = actor_arrays()
    arrays["audio_mfcc"][20] = np.nan
    data = feature_folds(save(path, **arrays))
    with pytest.raises(ValueError, match=r"actors\.npz: array 'audio_mfcc' has NaN .* row 20"):
        data.setup("fit")


def test_a_modality_that_no_training_sample_has_is_refused(path):
    arrays = actor_arrays()
    arrays["audio_mfcc"][:] = np.nan
    data = feature_folds(save(path, **arrays), reading=Reading(nan_rows_are_absent=True))
    with pytest.raises(ValueError, match="'audio_mfcc' has no training sample with 'audio'"):
        data.setup("fit")


def test_an_unknown_modality_is_answered_with_those_there_are(file):
    with pytest.raises(ValueError, match="no modality 'text'; this data has face, audio, speech"):
        feature_folds(file, student_modalities=["text"])


def test_parts_of_different_width_are_refused(path):
    parts = {"y_train": np.array([0, 1, 0, 1]), "y_test": np.array([0, 1])}
    save(path, **parts, x_train=np.eye(4), x_test=np.eye(2), z_train=np.eye(4))
    data = feature_folds(
        str(path),
        arrays={"face": "x", "audio": "z"},
        label="y",
        split=SuffixSplit(cut=ValidationCut(0.5)),
    )
    data.setup("fit")  # the auxiliary array has no test part and needs none
    with pytest.raises(ValueError, match="array 'x' is 4 wide in the training part, but 2 in"):
        data.setup("test")


def test_training_sees_every_sample_once_an_epoch_with_its_own_label(file):
    data = feature_folds(file)
    train = data.dataset("train")
    batches = list(data.train_dataloader())
    index = torch.cat([batch["index"] for batch in batches])
    assert sorted(index.tolist()) == list(range(len(train)))
    for batch in batches:
        torch.testing.assert_close(batch["face"], train.values["face"][batch["index"]])
        torch.testing.assert_close(batch["label"], train.label[batch["index"]])


def test_loader_workers_give_the_same_batches(file):
    alone = feature_folds(file, auxiliary_modalities=["speech"])
    helped = feature_folds(file, auxiliary_modalities=["speech"], num_workers=1)
    for one, other in zip(alone.val_dataloader(), helped.val_dataloader(), strict=True):
        assert_same(one, other)


class Counts(lightning.LightningModule):
    """Counts what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(4))
        self.seen = {"fit": [], "val": [], "test": []}

    def training_step(self, batch, _):
        self.seen["fit"] += batch["index"].tolist()
        return (batch["face"] @ self.weight).square().mean()

    def validation_step(self, batch, _):
        self.seen["val"] += batch["index"].tolist()

    def test_step(self, batch):
        self.seen["test"] += batch["index"].tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_trainer_fits_and_tests_with_it(file, tmp_path):
    data, model = feature_folds(file), Counts()
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    assert sorted(model.seen["fit"]) == list(range(18))
    assert model.seen["val"] == list(range(6))
    assert model.seen["test"] == list(range(12))
