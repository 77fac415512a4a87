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


def seed_step(device: torch.device, *parts: int | str) -> None:
    """Seed the generators that a training step on a device draws from.

    What ``torch.manual_seed`` does; without a GPU it spends a tenth of a small network's step on
    remembering the seed for devices that are not there.
    """
    seed = derived_seed(*parts)
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Seed torch from parts inside the block and put its CPU generator back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(*parts))
        yield
