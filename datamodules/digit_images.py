"""MNIST's images as a datamodule wants them: divided, degraded, standardised."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.idx import read_digit_images, read_digits
from datamodules.principal_components import Images, PrincipalComponents
from datamodules.speaker_fold import Part, SpeakerFold


@dataclass(frozen=True)
class Look:
    """What the training images say about how all are shown.

    Attributes:
        components: what is left of an image; None: all.
        mean: of the training images' values after that.
        std: their standard deviation.
    """

    components: PrincipalComponents | None
    mean: float
    std: float

    def apply(self, images: Images) -> Images:
        """Return images (N, H, W) of values in [0, 1] as they are shown."""
        if self.components is not None:
            images = self.components.apply(images)
        return (images - np.float32(self.mean)) / np.float32(self.std)


class DigitImages:
    """The images of each part.

    The images of ``train_set`` are dealt out, digit by digit, into as many blocks as there are
    speakers; a block goes where its speaker goes. With a ``test_set`` those test, and the tested
    speaker's block trains.

    Args:
        folder: of MNIST's idx files.
        train_set: name of the set of images that is divided.
        test_set: name of the set that tests; None: a block of ``train_set``.
        fold: which speaker does what.
        energy_removed: share of the variance to remove; 0: leave the images as they are.
    """

    def __init__(
        self,
        folder: Path,
        train_set: str,
        test_set: str | None,
        fold: SpeakerFold,
        energy_removed: float,
    ) -> None:
        self.folder = folder
        self.train_set = train_set
        self.test_set = test_set
        self.fold = fold
        self.energy_removed = energy_removed

    def digits(self, part: Part) -> NDArray[np.int64]:
        """Return the digit on each image of a part, (N,); reads the labels alone."""
        return read_digits(self.folder, self.source(part))[self.rows(part)]

    def shown(self, part: Part) -> Images:
        """Return the images of a part, (N, H, W)."""
        return self.look.apply(self._grey(part))

    def source(self, part: Part) -> str:
        """Return the name of the set that a part's images are from."""
        return self.test_set if part == "test" and self.test_set else self.train_set

    def rows(self, part: Part) -> NDArray[np.int64]:
        """Return which images of its set a part has."""
        digits = read_digits(self.folder, self.source(part))
        if self.test_set and part == "test":
            return np.arange(len(digits))
        blocks = self.fold.of(part)
        if self.test_set and part == "train":
            blocks = blocks + self.fold.of("test")
        return np.flatnonzero(np.isin(_deal(digits, self.fold.speakers), blocks))

    @cached_property
    def look(self) -> Look:
        """How the images are shown, learnt from the training part alone."""
        images, components = self._grey("train"), None
        if self.energy_removed:
            components = PrincipalComponents.of(images, self.energy_removed)
            images = components.apply(images)
        return Look(components, float(images.mean()), float(images.std()))

    def _grey(self, part: Part) -> Images:
        images = read_digit_images(self.folder, self.source(part))[self.rows(part)]
        return images.astype(np.float32) / np.float32(255)


def _deal(digits: NDArray[np.int64], blocks: int) -> NDArray[np.int64]:
    """Return the block of each image, so that every block has its share of each digit."""
    block = np.empty_like(digits)
    for digit in np.unique(digits):
        rows = np.flatnonzero(digits == digit)
        block[rows] = np.arange(len(rows)) % blocks
    return block
