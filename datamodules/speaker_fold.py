"""Leave-one-speaker-out: who of the speakers trains, who validates and who is tested."""

from dataclasses import dataclass
from typing import Literal

from datamodules.base import Split

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class SpeakerFold:
    """Fold k: speaker k is tested, the next one validates, the others train.

    Args:
        speakers: how many there are, numbered from 0.
        number: k.
        owner: whose argument it is, for messages.

    Raises:
        ValueError: for fewer than three speakers, or a fold that is not there.
    """

    speakers: int
    number: int
    owner: str

    def __post_init__(self) -> None:
        if self.speakers < 3:
            raise ValueError(
                f"{self.owner}: there are {self.speakers} speakers; one trains, one validates and "
                "one is tested, so it takes three at least"
            )
        if not 0 <= self.number < self.speakers:
            raise ValueError(
                f"{self.owner}.fold: {self.number} is not there; {self.speakers} speakers make the "
                f"folds 0 to {self.speakers - 1}"
            )

    def of(self, part: Part) -> list[int]:
        """Return the speakers of a part; no speaker is in two."""
        tested, validates = self.number, (self.number + 1) % self.speakers
        others = [s for s in range(self.speakers) if s not in (tested, validates)]
        return {"train": others, "val": [validates], "test": [tested]}[part]


def parts_of(split: Split) -> list[Part]:
    """Return the parts that a split has: the gallery is the training and validation samples."""
    return ["train", "val"] if split == "gallery" else [split]
