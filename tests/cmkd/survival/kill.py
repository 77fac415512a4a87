"""Runs a training that is killed again and again: ``python -m tests.cmkd.survival.kill``.

Arguments: folder, kills, seed, steps between checkpoints (0: a checkpoint an epoch).

A process of its own that forks for every attempt: importing the library twenty times would take
minutes. Prints a line of JSON: the batch that was reached, and the files, at every kill.
"""

import json
import logging
import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

import torch

from tests.cmkd.survival.run import BATCHES, EPOCHS, Journal, fit, last


def attempt(folder: Path, counter: mmap.mmap, every: int | None, to_the_end: bool = False) -> int:
    """Fork a process that begins or goes on with the run; return its id.

    Unless it may go to the end it waits for its kill in the last batch, where it gets to when this
    process was not given a core in time.
    """
    child = os.fork()
    if child:
        return child
    code = 1

    def tell(number: int) -> None:
        counter[:8] = struct.pack("q", number)
        if number == EPOCHS * BATCHES - 1 and not to_the_end:
            signal.pause()

    try:
        fit(folder, [Journal(folder / "journal", tell)], every)
        code = 0
    finally:
        os._exit(code)


def kill_at(child: int, counter: mmap.mmap, batch: int, delay: float) -> int:
    """Kill -9 a process some time after it began a batch; return the batch it was in."""
    while struct.unpack("q", counter[:8])[0] < batch:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            raise SystemExit(f"the attempt ended by itself with status {status}")
        time.sleep(0.0005)
    time.sleep(delay)
    reached = struct.unpack("q", counter[:8])[0]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return reached


def main(folder: Path, kills: int, seed: int, every: int | None) -> None:
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    folder.mkdir(parents=True)
    counter = mmap.mmap(-1, 8)
    numbers = random.Random(seed)
    moments = sorted(numbers.randrange(EPOCHS * BATCHES - 1) for _ in range(kills))
    record = []
    for moment in moments:
        counter[:8] = struct.pack("q", -1)
        child = attempt(folder, counter, every)
        reached = kill_at(child, counter, moment, numbers.uniform(0, 0.03))
        names = sorted(path.name for path in last(folder).parent.glob("*"))
        for name in names:
            if name.endswith(".ckpt"):
                # Whole, at every moment.
                torch.load(last(folder).parent / name, weights_only=True)
        record.append([reached, names])
    counter[:8] = struct.pack("q", -1)
    child = attempt(folder, counter, every, to_the_end=True)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"the last attempt failed with status {status}")
    print(json.dumps(record))


if __name__ == "__main__":
    steps = int(sys.argv[4])
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), steps or None)
