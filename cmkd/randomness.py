"""Random numbers that depend on what they are for, not on what was drawn before.

Paired comparisons and exact resume both need it: the student of seed 3 starts from the same
weights under every objective, and step k of epoch e draws the same noise after a resume.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(*parts: int | str) -> int:
    """Return a 32-bit seed that is a function of parts alone, the same in every process."""
    return zlib.crc32("/".join(str(part) for part in parts).encode())


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Seed torch from parts inside the block and put its CPU generator back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(*parts))
        yield
