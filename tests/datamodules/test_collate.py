import pytest
import torch

from datamodules.collate import collate


def sample(index, **changes):
    values = {
        "face": torch.full((3,), float(index)),
        "label": index % 2,
        "index": index,
        "present": {"face": index != 1},
    }
    return values | changes


def sequence(index, steps, width=2):
    return {
        "text": torch.ones(steps, width),
        "label": 0,
        "index": index,
        "present": {"text": True},
        "length": {"text": steps},
    }


def test_samples_are_stacked_with_labels_numbers_and_presence():
    batch = collate([sample(4), sample(1)])
    assert batch["face"].tolist() == [[4.0] * 3, [1.0] * 3]
    assert batch["label"].tolist() == [0, 1]
    assert batch["label"].dtype == batch["index"].dtype == torch.int64
    assert batch["index"].tolist() == [4, 1]
    assert batch["present"]["face"].tolist() == [True, False]
    assert batch["present"]["face"].dtype == torch.bool
    assert "length" not in batch


def test_sequences_are_padded_with_zeros_to_the_longest_of_the_batch():
    batch = collate([sequence(0, 2), sequence(1, 5)])
    assert batch["text"].shape == (2, 5, 2)
    assert batch["text"][0].sum() == 4
    assert batch["length"]["text"].tolist() == [2, 5]


def test_real_labels_stay_real():
    assert collate([sample(0, label=0.5)])["label"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (sample(7, face=torch.zeros(4)), r"sample 7: modality 'face' has shape \(4,\)"),
        (sample(7, face=torch.zeros(3, 1)), "sample 7: modality 'face'"),
        (sample(7, present={}), "sample 7: 'present' says nothing about .*face"),
        (sample(7, audio=torch.zeros(1)), r"sample 7 holds .*audio.*present False"),
        (sample(7, length={"face": 3}), "sample 7: lengths"),
    ],
)
def test_samples_that_do_not_fit_together_are_named(second, message):
    with pytest.raises(ValueError, match=message):
        collate([sample(0), second])


def test_sequences_of_another_width_or_with_a_length_beyond_their_steps_are_named():
    with pytest.raises(ValueError, match="sample 1: modality 'text'"):
        collate([sequence(0, 2), sequence(1, 2, width=3)])
    with pytest.raises(ValueError, match="sample 1: modality 'text' has 2 steps"):
        collate([sequence(0, 2), sequence(1, 2) | {"length": {"text": 3}}])
