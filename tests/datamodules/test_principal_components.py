"""Removing energy from images."""

import numpy as np
import pytest

from datamodules.principal_components import PrincipalComponents


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    scale = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.25])
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    flat = rng.standard_normal((5000, 6)) * scale @ rotation + np.arange(6)
    return flat.reshape(-1, 2, 3).astype(np.float32)


@pytest.mark.parametrize(("removed", "count"), [(0.9, 1), (0.75, 1), (0.2, 2), (0.04, 3)])
def test_the_fewest_components_that_hold_enough_remain(images, removed, count):
    variance = np.array([64, 16, 4, 1, 0.25, 0.0625])
    components = PrincipalComponents.of(images, removed)
    assert components.directions.shape == (6, count)
    expected = variance[:count].sum() / variance.sum()
    assert components.kept == pytest.approx(expected, abs=0.01)
    left = components.apply(images)
    assert left.shape == images.shape
    assert left.dtype == np.float32
    assert left.var(axis=0).sum() / images.var(axis=0).sum() == pytest.approx(
        components.kept, abs=1e-4
    )


def test_what_is_left_of_an_image_is_left_again(images):
    components = PrincipalComponents.of(images, 0.5)
    once = components.apply(images)
    np.testing.assert_allclose(components.apply(once), once, atol=1e-4)


def test_what_is_removed_does_not_matter(images):
    components = PrincipalComponents.of(images, 0.5)
    removed = images - components.apply(images)
    np.testing.assert_allclose(
        components.apply(images + 3 * removed), components.apply(images), atol=1e-3
    )


def test_images_it_was_not_fitted_to_are_projected_alike(images):
    components = PrincipalComponents.of(images[:4000], 0.5)
    rows = components.apply(images)[4000:]
    np.testing.assert_allclose(components.apply(images[4000:]), rows, atol=1e-5)
