import numpy as np
import pytest

from datamodules.incomplete import IncompleteTraining

NAMES = ["audio", "text", "flow"]


def test_every_sample_keeps_at_least_one_modality_with_the_chances_given():
    kept = IncompleteTraining({"audio": 0.2, "text": 0.5}).kept(NAMES[:2], 20_000, seed=0)
    assert (kept["audio"] | kept["text"]).all()
    # Given that not both are gone: 0.2 / 0.6 and 0.5 / 0.6.
    assert kept["audio"].mean() == pytest.approx(0.2 / 0.6, abs=0.02)
    assert kept["text"].mean() == pytest.approx(0.5 / 0.6, abs=0.02)


def test_modalities_that_are_not_named_are_always_kept():
    kept = IncompleteTraining({"audio": 0.0}).kept(NAMES, 100, seed=0)
    assert not kept["audio"].any()
    assert kept["text"].all()
    assert kept["flow"].all()


def test_none_may_be_left_on_request():
    kept = IncompleteTraining({"audio": 0.3}, none_left=True).kept(["audio"], 20_000, seed=0)
    assert kept["audio"].mean() == pytest.approx(0.3, abs=0.02)


def test_the_seed_decides_who_lacks_what():
    incomplete = IncompleteTraining({"audio": 0.5, "text": 0.5})
    one, same, other = (incomplete.kept(NAMES, 50, seed)["audio"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("keep", "auxiliary", "message"),
    [
        ({"adio": 0.5}, ["audio", "text"], "'adio' is not among the auxiliary_modalities"),
        ({"audio": 0.5}, ["audio"], "with 'audio' alone every sample would keep it.*none_left"),
        ({"audio": 0, "text": 0}, ["audio", "text"], "no auxiliary modality has a probability"),
    ],
)
def test_what_cannot_be_is_refused(keep, auxiliary, message):
    with pytest.raises(ValueError, match=message):
        IncompleteTraining(keep).check(auxiliary, "UCF51")


def test_a_probability_out_of_range_is_refused():
    with pytest.raises(ValueError, match="probability of 'audio' has to lie"):
        IncompleteTraining({"audio": 1.5})
