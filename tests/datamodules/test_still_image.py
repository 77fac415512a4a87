import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.decode import read_image
from datamodules.media import MediaError
from tests.datamodules.media_files import moving_picture

PIXELS = moving_picture(3, (30, 41))


@pytest.mark.parametrize("name", ["a.png", "flow x 00001.png", "größe.png"])
def test_a_lossless_image_comes_back_as_it_was(tmp_path, name):
    Image.fromarray(PIXELS).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.dtype == torch.uint8
    assert torch.equal(image, torch.from_numpy(PIXELS))


def test_a_jpeg_is_close_to_what_it_was(tmp_path):
    smooth = np.broadcast_to(np.arange(0, 200, 5, dtype=np.uint8)[:, None, None], (40, 30, 3))
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (40, 30, 3)
    assert (image.int() - torch.from_numpy(smooth.astype(int))).abs().max() < 8


def test_a_grey_image_gets_three_equal_channels_and_alpha_is_dropped(tmp_path):
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    grey = read_image(tmp_path / "grey.png")
    assert torch.equal(grey, torch.from_numpy(PIXELS[..., :1].repeat(3, -1)))
    alpha = np.concatenate([PIXELS, PIXELS[..., :1]], -1)
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    assert torch.equal(read_image(tmp_path / "alpha.png"), torch.from_numpy(PIXELS))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_image_is_named(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(MediaError, match=rf"cannot decode .*a{suffix}: .*intact copy"):
        read_image(path)


def test_an_empty_file_noise_and_one_that_is_not_there_are_named(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(MediaError, match=r"empty.jpg: it is empty \(0 bytes\)"):
        read_image(tmp_path / "empty.jpg")
    (tmp_path / "noise.jpg").write_bytes(bytes(range(256)))
    with pytest.raises(MediaError, match=r"noise.jpg: .*intact copy"):
        read_image(tmp_path / "noise.jpg")
    with pytest.raises(MediaError, match=r"nothing.jpg: No such file"):
        read_image(tmp_path / "nothing.jpg")
