"""The perceptron on ready-made features."""

import pytest
import torch

from cmkd.networks import MLP


def test_the_embedding_is_the_last_of_depth_layers():
    mlp = MLP(5, width=8, depth=3)
    features = mlp(torch.randn(2, 5))
    assert len(features.hidden) == 3
    assert features.embedding is features.hidden[-1]


def test_dropout_is_active_in_training_only():
    mlp = MLP(5, width=64, dropout=0.5)
    x = torch.randn(2, 5)
    assert not torch.equal(mlp(x).embedding, mlp(x).embedding)
    mlp.eval()
    assert torch.equal(mlp(x).embedding, mlp(x).embedding)


def test_a_perceptron_without_layers_is_refused():
    with pytest.raises(ValueError, match="depth must be at least 1"):
        MLP(5, depth=0)


def test_a_small_image_is_flattened():
    mlp, image = MLP(12, width=8), torch.randn(2, 1, 3, 4)
    torch.testing.assert_close(mlp(image).embedding, mlp(image.reshape(2, 12)).embedding)
    with pytest.raises(
        ValueError, match=r"MLP expects a float tensor \(B, D=12\), got \(2, 3, 3\)"
    ):
        mlp(torch.randn(2, 3, 3))
