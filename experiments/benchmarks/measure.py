"""Time and peak memory of a step, on a CPU or a GPU."""

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile

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
    """Return the bytes that a step holds at its peak beyond what was held before it.

    What tensors and NumPy arrays hold, as their allocators tell. On a CPU the process's resident
    memory would say something else: the system takes pages from it and gives them back unasked.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True):
        pass  # what its first use imports and keeps is not the step's
    tracemalloc.start()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns()))
    # Both peaks together, although they need not come at once.
    return max([0, *held]) + arrays


def mib(size: float) -> str:
    """Return a size in MiB as a table shows it."""
    return f"{size / 2**20:,.0f}"
