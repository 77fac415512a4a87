"""The image network for small images."""

import pytest
import torch

from cmkd.networks import SmallImageNet


def test_it_is_small():
    assert sum(parameter.numel() for parameter in SmallImageNet().parameters()) < 100_000


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (64, 64)])
def test_any_size_works(size):
    assert SmallImageNet(width=8)(torch.randn(2, 1, *size)).embedding.isfinite().all()


def test_where_in_the_image_something_is_matters_little_and_what_it_is_matters():
    torch.manual_seed(0)
    network = SmallImageNet(width=8).eval()
    bar, cross = torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 40, 40)
    bar[..., 12:20, 15] = 1
    cross[..., 12:20, 15] = cross[..., 15, 12:20] = 1
    embedding = network(bar).embedding
    moved = network(bar.roll(8, dims=-1)).embedding  # by whole strides of the last stage
    assert (moved - embedding).norm() < 1e-3 * embedding.norm()
    assert (network(cross).embedding - embedding).norm() > 1e-2 * embedding.norm()


def test_a_width_its_norm_cannot_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of 8, got 12"):
        SmallImageNet(width=12)


def test_colours_are_refused_where_grey_is_expected():
    with pytest.raises(ValueError, match=r"\(B, C=1, H, W\), got \(2, 3, 8, 8\)"):
        SmallImageNet()(torch.zeros(2, 3, 8, 8))
