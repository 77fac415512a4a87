"""Time and peak memory of a step, on a CPU (Linux) or a GPU."""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

#: A step to be measured.
Step = Callable[[], object]


def synchronise(device: torch.device) -> None:
    """Wait for what was started on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(
    steps: Mapping[str, Step], device: torch.device, rounds: int, warm_up: int = 1
) -> dict[str, float]:
    """Return the median seconds of each step; they take turns, so that noise hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(warm_up + rounds):
        for name, step in steps.items():
            synchronise(device)
            begin = time.perf_counter()
            step()
            synchronise(device)
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory(step: Step, device: torch.device) -> int:
    """Return the bytes that a step holds at its peak beyond what was held before it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    # What was freed goes back to the system first, or it would be used again unseen.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _resident("VmRSS")
    step()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def mib(size: float) -> str:
    """Return a size in MiB as a table shows it."""
    return f"{size / 2**20:,.0f}"
