import numpy as np
import pytest
import torch

from cmkd.tasks import Classification, Regression
from datamodules.few_labels import FewLabels
from tests.cmkd.setting import assert_same, make_data, make_model, make_trainer, weights


def test_the_share_of_each_class_keeps_its_label_and_at_least_one_sample_does():
    labels = np.repeat([0, 1, 2], [100, 40, 3])
    known = FewLabels(0.1).labelled(labels, seed=0)
    assert [known[labels == one].sum() for one in range(3)] == [10, 4, 1]
    assert np.array_equal(known, FewLabels(0.1).labelled(labels, seed=0))
    assert not np.array_equal(known, FewLabels(0.1).labelled(labels, seed=1))
    assert FewLabels(0.25).labelled(np.linspace(-3, 3, 40), seed=0).sum() == 10


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"FewLabels.share: has to lie in \(0, 1\]"):
        FewLabels(share)


def test_training_batches_hold_every_pair_and_no_hidden_label():
    data = make_data(few_labels=FewLabels(0.25))
    batches = list(data.train_dataloader())
    index = torch.cat([batch["index"] for batch in batches])
    labelled = torch.cat([batch["labelled"] for batch in batches])
    label = torch.cat([batch["label"] for batch in batches])
    assert sorted(index.tolist()) == list(range(32))
    assert labelled.sum() == 3 + 3 + 2  # a quarter of 11, 11 and 10
    assert not label[~labelled].any()
    assert torch.equal(label[labelled], index[labelled] % 3)
    assert all(batch["present"]["audio"].all() for batch in batches)
    assert "labelled" not in next(iter(data.val_dataloader()))


@pytest.mark.parametrize("task", [Classification(3), Regression(1)])
def test_the_task_sees_the_labelled_rows_alone(task):
    data = make_data(few_labels=FewLabels(0.5), regression=isinstance(task, Regression))
    batch = next(iter(data.train_dataloader()))
    model = make_model(num_classes=3 if isinstance(task, Classification) else 1, task=type(task))
    representation = model.networks["student"](batch)
    loss = task.loss(representation, batch)
    metrics = task.step_metrics(representation, batch)
    other = batch | {"label": batch["label"].where(batch["labelled"], batch["label"] + 1)}
    assert loss == task.loss(representation, other)
    assert metrics == task.step_metrics(representation, other)
    everything = {key: value for key, value in batch.items() if key != "labelled"}
    assert loss != task.loss(representation, everything)


def test_all_labels_known_is_the_same_as_no_few_labels(tmp_path):
    ends = []
    for few_labels in (None, FewLabels(1.0)):
        model = make_model(teacher_epochs=1)
        make_trainer(tmp_path, 2).fit(model, datamodule=make_data(few_labels=few_labels))
        ends.append(weights(model))
    assert_same(*ends)
