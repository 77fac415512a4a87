"""What to do about a clip that cannot be read during training."""

import logging
import multiprocessing
from typing import Literal

from datamodules.media import MediaError

Policy = Literal["error", "skip"]
_LONGEST = 2_000
log = logging.getLogger(__name__)


class CorruptClips:
    """Counts the clips of an epoch that were replaced by others, over all loader workers.

    Args:
        policy: ``error`` stops at the first; ``skip`` replaces it within the same epoch.
        most: how many of an epoch may be replaced before it is an error after all.
    """

    def __init__(self, policy: Policy, most: int) -> None:
        self.policy = policy
        self.most = most
        self._count = multiprocessing.Value("q", 0)
        self._first = multiprocessing.Array("c", _LONGEST)

    def add(self, error: MediaError) -> None:
        """Count one corrupt clip.

        Raises:
            MediaError: the one given, if the policy is to stop; one that says how many there are,
                if there are too many.
        """
        if self.policy == "error":
            raise error
        with self._count.get_lock():
            self._count.value += 1
            if self._count.value == 1:
                self._first[:] = str(error).encode()[:_LONGEST].ljust(_LONGEST, b"\0")
            if self._count.value > self.most:
                raise MediaError(
                    f"{self._count.value} clips of this epoch cannot be decoded, more than "
                    f"max_corrupt_share allows ({self.most}); the first: {self._described()}. "
                    "`cmkd prepare` lists all of them"
                ) from error

    def report(self) -> None:
        """Log how many clips of the epoch were replaced, on every rank, and start anew."""
        with self._count.get_lock():
            count, self._count.value = self._count.value, 0
        if count:
            # On every rank: each reads clips of its own.
            log.warning(
                "%d clips of this epoch could not be decoded and were replaced by others; the "
                "first: %s",
                count,
                self._described(),
            )

    def _described(self) -> str:
        return bytes(self._first[:]).rstrip(b"\0").decode(errors="replace")
