"""Reading ahead in threads changes nothing about what the student says."""

import threading

import numpy as np
import pytest
import torch

from cmkd import load_student
from cmkd.infer import predict_ahead
from cmkd.infer.reading import _ahead
from cmkd.student import Failure
from tests.cmkd.infer.small_students import feature_reading, save


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (3, 4), (2, 100)])
def test_results_are_those_of_predict_in_order_and_failures_stand_between(
    student, clips, tmp_path, workers, batch_size
):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    failed = Failure("folder", "no clips in it")
    sources = [failed, clips[0], str(tmp_path / "broken.mp4"), *clips[1:], "nowhere.mp4", failed]
    results = list(predict_ahead(student, sources, batch_size, workers))
    names = [one if isinstance(one, str) else one.source for one in sources]
    assert [result.source for result in results] == names
    assert [isinstance(result, Failure) for result in results] == [1, 0, 1, 0, 0, 1, 1]
    assert "broken.mp4" in results[2].reason
    for clip, result in zip(clips, (results[1], *results[3:5]), strict=True):
        alone = student.predict(clip)
        assert torch.allclose(result.probabilities, alone.probabilities, atol=1e-6)
        assert torch.allclose(result.embedding, alone.embedding, atol=1e-5)
        assert result.class_names == student.class_names


def test_features_are_standardised_once(tmp_path):
    student = load_student(save(tmp_path, feature_reading()))
    np.save(tmp_path / "face.npy", np.array([5.0, 7.0, 3.0, 9.0]))
    (result,) = predict_ahead(student, [str(tmp_path / "face.npy")])
    seen = student.network({"face": torch.tensor([[0.0, 1.0, -1.0, 2.0]]),
                            "present": {"face": torch.tensor([True])}})  # fmt: skip
    assert torch.allclose(result.embedding, seen.embedding[0], atol=1e-6)


def test_outputs_that_are_not_finite_are_a_failure(tmp_path):
    student = load_student(save(tmp_path, feature_reading()))
    next(student.network.parameters()).data.fill_(float("nan"))
    (result,) = predict_ahead(student, [{"face": torch.ones(4)}])
    assert isinstance(result, Failure)
    assert "NaN" in result.reason


def test_an_error_that_is_not_the_sources_is_raised(student):
    with pytest.raises(TypeError):
        list(predict_ahead(student, [5]))


def test_sizes_below_one_are_refused(student):
    with pytest.raises(ValueError, match="workers"):
        predict_ahead(student, [], workers=0)
    with pytest.raises(ValueError, match="batch_size"):
        predict_ahead(student, [], batch_size=0)


def test_threads_work_at_once_and_only_a_few_items_ahead():
    both = threading.Barrier(2, timeout=20)
    begun = []

    def work(item):
        begun.append(item)
        if item < 2:
            both.wait()
        return -item

    results = _ahead(work, iter(range(100)), workers=2)
    assert next(results) == 0
    assert len(begun) <= 5
    assert list(results) == [-item for item in range(1, 100)]
