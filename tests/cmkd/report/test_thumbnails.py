"""Samples as pictures."""

import base64
import io

import torch
from PIL import Image

from cmkd.report.thumbnails import moving_url, picture_of, still_url


def batch(present=True, **tensors):
    """Return a batch of one sample."""
    return {name: value[None] for name, value in tensors.items()} | {
        "index": torch.zeros(1),
        "present": {name: torch.tensor([present is True or name in present]) for name in tensors},
    }


def opened(url):
    head, content = url.split(",", 1)
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_video_moves_again_and_again_and_is_made_small():
    shown = picture_of(batch(audio=torch.randn(1, 800), video=torch.randn(3, 5, 100, 256)), 0)
    film = opened(moving_url(shown))
    assert (film.n_frames, film.size, film.info["loop"]) == (5, (128, 50), 0)
    assert opened(still_url(shown)).size == (128, 50)


def test_a_sound_is_shown_where_the_video_is_absent_and_does_not_move():
    sample = batch(present=["audio"], video=torch.zeros(3, 5, 8, 8), audio=torch.randn(1, 800))
    shown = picture_of(sample, 0)
    assert moving_url(shown) is None
    # Loud low tones stand at the bottom.
    time = torch.arange(4000) / 4000
    low = picture_of(batch(audio=torch.sin(2 * torch.pi * 100 * time)[None]), 0).still
    assert low[0].float().mean(1).argmax() > 0.9 * low.shape[1]


def test_vectors_are_nothing_to_look_at():
    assert picture_of(batch(face=torch.randn(6)), 0) is None
