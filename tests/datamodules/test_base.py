import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from datamodules.base import CrossModalDataModule
from datamodules.incomplete import IncompleteTraining


class Numbers:
    def __init__(self, length, modalities):
        self.length = length
        self.modalities = modalities

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        index, epoch = key if isinstance(key, tuple) else (key, -1)
        values = {name: torch.tensor([float(epoch)]) for name in self.modalities}
        return values | {
            "label": 0,
            "index": index,
            "present": dict.fromkeys(self.modalities, True),
        }

    def keep_only(self, kept):
        self.kept = kept


class NumbersData(CrossModalDataModule):
    offered_modalities = ("face", "audio", "text")
    lengths = {"train": 9, "val": 5, "test": 3, "gallery": 14}  # noqa: RUF012

    def __init__(self, student=("face",), auxiliary=("audio",), **kwargs):
        super().__init__(list(student), list(auxiliary), **kwargs)
        self.class_names = ["calm", "happy"]

    def build_dataset(self, split, modalities):
        return Numbers(self.lengths[split], modalities)


def rows(loader):
    return [index for batch in loader for index in batch["index"].tolist()]


def test_training_and_validation_hold_all_modalities_and_test_the_students():
    data = NumbersData(batch_size=4)
    assert {"face", "audio"} <= next(iter(data.train_dataloader())).keys()
    assert {"face", "audio"} <= next(iter(data.val_dataloader())).keys()
    for loader in (data.test_dataloader(), data.predict_dataloader()):
        batch = next(iter(loader))
        assert "face" in batch
        assert "audio" not in batch
        assert list(batch["present"]) == ["face"]


def test_the_teacher_can_be_tested_on_request():
    batch = next(iter(NumbersData(auxiliary_at_test=True).test_dataloader()))
    assert "audio" in batch


def test_evaluation_runs_in_order_and_training_shuffled_with_its_epoch():
    data = NumbersData(batch_size=4)
    assert rows(data.val_dataloader()) == [0, 1, 2, 3, 4]
    loader = data.train_dataloader()
    loader.sampler.set_epoch(6)
    batches = list(loader)
    assert all((batch["face"] == 6).all() for batch in batches)
    assert [len(batch["index"]) for batch in batches] == [4, 4, 2]
    assert rows(loader) != sorted(rows(loader))


def test_each_rank_reads_its_own_share():
    shares = []
    for rank in (0, 1):
        data = NumbersData(batch_size=4)
        place = {"world_size": 2, "global_rank": rank}
        data.trainer = type("RankTrainer", (Trainer,), place)(accelerator="cpu", logger=False)
        shares.append(rows(data.train_dataloader()))
    assert len(shares[0]) == len(shares[1]) == 6
    assert set(shares[0]) | set(shares[1]) == set(range(9))


class Recorder(LightningModule):
    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.seen = []

    def training_step(self, batch):
        self.seen.append((batch["face"][0].item(), batch["index"].tolist()))

    def validation_step(self, batch):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])


def test_lightning_tells_the_sampler_each_epoch():
    recorder = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(recorder, datamodule=NumbersData(batch_size=4))
    assert [epoch for epoch, _ in recorder.seen] == [0, 0, 0, 1, 1, 1]
    orders = [[index for _, rows in recorder.seen[at : at + 3] for index in rows] for at in (0, 3)]
    assert orders[0] != orders[1]


def test_the_number_of_classes_is_known_without_setup():
    assert NumbersData().num_classes == 2


def test_a_student_alone_needs_no_auxiliary_modality():
    batch = next(iter(NumbersData(auxiliary=[]).train_dataloader()))
    assert list(batch["present"]) == ["face"]


def test_a_gallery_is_a_second_test_loader_over_training_and_validation_samples():
    data = NumbersData(gallery=True)
    data.setup("test")
    loaders = data.test_dataloader()
    assert list(loaders) == ["test", "gallery"]
    batches = list(loaders["gallery"])
    assert rows(batches) == list(range(14))
    assert all("audio" not in batch for batch in batches)
    assert all((batch["face"] == -1).all() for batch in batches)  # not augmented
    assert rows(data.predict_dataloader()) == rows(loaders["test"])


def test_training_samples_lack_what_incomplete_says_and_no_other_part_does():
    data = NumbersData(
        auxiliary=["audio", "text"], incomplete=IncompleteTraining({"audio": 0.3, "text": 0.5})
    )
    data.setup("fit")
    kept = data.dataset("train").kept
    assert kept.keys() == {"audio", "text"}
    assert (kept["audio"] | kept["text"]).all()
    assert not hasattr(data.dataset("val"), "kept")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"student": []}, "student_modalities is empty.*face, audio, text"),
        ({"student": ["fase"]}, "student_modalities.*'fase'.*face, audio, text"),
        ({"auxiliary": ["flow"]}, "auxiliary_modalities.*'flow'.*face, audio, text"),
        ({"student": ["face", "audio"]}, "'audio' stands in student_modalities and in"),
        ({"student": ["face", "face"]}, "names a modality twice"),
        ({"batch_size": 0}, "NumbersData.batch_size"),
        ({"num_workers": -1}, "NumbersData.num_workers"),
        ({"seed": -1}, "NumbersData.seed"),
    ],
)
def test_bad_arguments_are_named_with_what_there_is(arguments, message):
    with pytest.raises(ValueError, match=message):
        NumbersData(**arguments)


def test_a_modality_named_like_a_key_of_the_batch_is_refused():
    class Labelled(NumbersData):
        offered_modalities = ("face", "audio", "label")

    with pytest.raises(ValueError, match="label is a key of the batch"):
        Labelled()


def test_an_empty_split_is_reported_at_setup():
    class Untested(NumbersData):
        lengths = {"train": 9, "val": 5, "test": 0}  # noqa: RUF012

    data = Untested()
    data.setup("fit")
    with pytest.raises(ValueError, match="Untested: the test split is empty"):
        data.setup("test")
