"""The data that one run after the other uses."""

from lightning.pytorch import LightningDataModule

from cmkd.compare.parser import Built
from cmkd.compare.plan import fingerprint


class SharedData:
    """Keeps the datamodule of the run before: reading data can take longer than a small training.

    A datamodule is used again only where its whole config and the seed are the same. Nothing else
    of a run may stay in it; those of this project keep what they read and nothing more.
    """

    def __init__(self) -> None:
        self._key = ""
        self._data: LightningDataModule | None = None

    def of(self, built: Built) -> LightningDataModule:
        """Return the datamodule to use for a run: the last one if it is equal, or the run's own."""
        key = fingerprint([built.config["data"], built.config["seed_everything"]])
        if self._data is None or key != self._key:
            self._key, self._data = key, built.data
        return self._data
