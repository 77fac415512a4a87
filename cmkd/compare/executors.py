"""Doing runs: one after the other in this process, or several at once in others."""

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol, TypeAlias

from cmkd.compare.plan import Run
from cmkd.compare.worker import Worker


@dataclass(frozen=True)
class Started:
    """A run has begun."""

    run: Run


@dataclass(frozen=True)
class Finished:
    """A run has ended; ``failure`` says why it failed, None where it did not."""

    run: Run
    failure: str | None


Event: TypeAlias = Started | Finished


def next_run(waiting: Sequence[Run], last: Run | None, others: Iterable[Run | None]) -> int:
    """Return which of the waiting runs a process takes.

    One with the data of the run it did last, which it still holds; otherwise the first one whose
    data no other process is at, so that no two wait for the same teacher; otherwise the first.
    """
    places = [run.data_place for run in waiting]
    if last is not None and last.data_place in places:
        return places.index(last.data_place)
    taken = {run.data_place for run in others if run is not None}
    return next((i for i, place in enumerate(places) if place not in taken), 0)


class Executor(Protocol):
    """Does runs, as often as it is asked to."""

    def do(self, runs: Sequence[Run]) -> Generator[Event, None, None]:
        """Do the runs and tell what happens."""
        ...

    def close(self) -> None:
        """Stop what is still running."""
        ...


class OneByOne:
    """Does runs in this process, one after the other.

    Args:
        worker: does one run.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._prepared = False

    def do(self, runs: Sequence[Run]) -> Generator[Event, None, None]:
        """Do the runs and tell what happens."""
        waiting, run = list(runs), None
        while waiting:
            run = waiting.pop(next_run(waiting, run, ()))
            yield Started(run)
            if not self._prepared:
                self._worker.prepare()
                self._prepared = True
            yield Finished(run, self._worker(run))

    def close(self) -> None:
        """Do nothing: what runs here ends before anything else begins."""


@dataclass
class _Process:
    """A process that does runs until its connection is closed."""

    worker: Worker
    device: str | None
    run: Run | None = None
    last: Run | None = None
    process: SpawnProcess = field(init=False)
    connection: Connection = field(init=False)

    def __post_init__(self) -> None:
        # A fork would inherit torch's threads and a GPU that it cannot use.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # No daemon: data loaders have processes of their own.
        self.process = context.Process(
            target=_serve, args=(theirs, self.worker, self.device), daemon=False
        )
        self.process.start()
        theirs.close()

    def begin(self, run: Run) -> None:
        self.run = self.last = run
        self.connection.send(run)

    def result(self) -> str | None:
        """Return why the run failed, None where it did not; dies with its process."""
        try:
            failure: str | None = self.connection.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            killed = "; was it short of memory?" if code == -signal.SIGKILL else ""
            return f"its process ended with code {code}{killed}"
        return failure

    def stop(self) -> None:
        self.connection.close()
        # Whatever a run writes, it writes whole: nothing is lost by not waiting for its end.
        self.process.kill()
        self.process.join()


class SeveralAtOnce:
    """Does runs in several processes, which stay for the next ones until they are stopped.

    Where there are GPUs, each process sees one of them.

    Args:
        worker: does one run.
        jobs: number of processes.
    """

    def __init__(self, worker: Worker, jobs: int) -> None:
        self._worker = worker
        self._jobs = jobs
        self._processes: list[_Process] = []

    def do(self, runs: Sequence[Run]) -> Generator[Event, None, None]:
        """Do the runs and tell what happens; stops the processes if it is left before the end."""
        waiting, processes = list(runs), self._processes
        self._start(min(self._jobs, len(waiting)))
        try:
            while waiting or any(process.run for process in processes):
                for number, process in enumerate(processes):
                    if process.run is None and waiting:
                        if not process.process.is_alive():
                            process.stop()
                            processes[number] = process = _Process(self._worker, process.device)
                        others = [other.last for other in processes if other is not process]
                        run = waiting.pop(next_run(waiting, process.last, others))
                        process.begin(run)
                        yield Started(run)
                ready = wait([process.connection for process in processes if process.run])
                for process in processes:
                    if process.run is not None and process.connection in ready:
                        run, process.run = process.run, None
                        yield Finished(run, process.result())
        finally:
            if any(process.run for process in processes):
                self.close()

    def close(self) -> None:
        """Stop the processes."""
        while self._processes:
            self._processes.pop().stop()

    def _start(self, count: int) -> None:
        devices = visible_devices()
        for number in range(len(self._processes), count):
            device = devices[number % len(devices)] if devices else None
            self._processes.append(_Process(self._worker, device))


def visible_devices() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed:
        return [name.strip() for name in listed.split(",")]
    return [str(number) for number in range(torch.cuda.device_count())]


def _serve(connection: Connection, worker: Worker, device: str | None) -> None:
    """Do what comes over the connection until it is closed."""
    # Ctrl-C reaches all processes of a terminal; the first one stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where there is none, torch would look for one in every step of an optimizer.
    os.environ["CUDA_VISIBLE_DEVICES"] = "" if device is None else device
    worker.prepare()
    while True:
        try:
            run = connection.recv()
        except EOFError:
            return
        connection.send(worker(run))
