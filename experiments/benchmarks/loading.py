"""What loading costs: memory by the length of the dataset, the start, and the training step.

python experiments/benchmarks/loading.py [--root UCF101 --list_folder LISTS --rounds 9 --steps 6]

Memory and start are measured in processes of their own; Linux only.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from clips import parse, quiet, ratios, show, ucf101
from torch.utils.data import DataLoader

from cmkd.batch import Batch
from cmkd.networks import SmallVideoNet
from datamodules import ClipDataModule
from datamodules.clip_datamodule import Part
from datamodules.clip_table import Clip, Source

ROWS = (100, 100_000)
WORKERS = 2
BATCH = 8


class ManyClips(ClipDataModule):
    """Any number of clips, links to one file; a fifth of them is for testing."""

    class_names = [f"class {number}" for number in range(50)]  # noqa: RUF012 - set once

    def listed(self, part: Part) -> Iterator[Clip]:
        """Return what the links are."""
        for number in range(int((self.root / "count").read_text())):
            group = number // 10
            if (group % 5 == 0) == (part == "test"):
                source = Source(Path(link(self.root, number)))
                sources = dict.fromkeys(("video", "audio"), source)
                yield Clip(f"clip {number}", group // 5 % 50, f"group {group}", sources)


def link(root: Path, number: int) -> str:
    """Return a link's path: names as long as real ones are."""
    return f"{root}/class {number // 10 % 50}/v_of_a_clip_g{number // 10:06d}_c{number:06d}.avi"


def write_many(root: Path, clip: Path, count: int) -> None:
    """Write the links and their index."""
    for number in range(50):
        (root / f"class {number}").mkdir(parents=True)
    for number in range(count):
        Path(link(root, number)).symlink_to(clip.resolve())
    (root / "count").write_text("10")
    path = many(root, index=False).write_index().path
    header, row = path.read_text().splitlines()[:2]
    rest = row.partition(",")[2]
    with path.open("w") as file:
        file.write(f"{header}\n")
        names = (link(root, number).removeprefix(f"{root}/") for number in range(count))
        file.writelines(f"{name},{rest}\n" for name in names)
    (root / "count").write_text(str(count))


def many(root: Path, **arguments: bool) -> ManyClips:
    """Return the datamodule of the links."""
    return ManyClips(
        str(root), ["video"], ["audio"], batch_size=BATCH, num_workers=WORKERS, **arguments
    )


def held(process: int) -> int:
    """Return a process's bytes of data, those it shares with its workers divided among them."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def start(root: str) -> None:
    """Print the seconds of each part of a start, and memory, as JSON."""
    quiet()
    clock = time.monotonic
    seconds: dict[str, float] = {}
    times = [clock()]

    def done(name: str) -> None:
        times.append(clock())
        seconds[name] = times[-1] - times[-2]

    data = many(Path(root))
    done("construct the datamodule")
    length = len(data.media_index or [])
    done("read the index")
    data.clips("train")
    done("list and divide the clips")
    data.setup("fit")
    done("the rest of setup")
    loader = data.train_dataloader()
    done("make the loader")
    before = peak()
    batches = iter(loader)
    next(batches)
    done("start the workers, first batch")
    next(batches)
    done("second batch")
    for _ in islice(batches, 6):
        pass
    workers = [child.pid for child in torch.multiprocessing.active_children()]
    used = sum(held(process) for process in [os.getpid(), *workers])
    print(json.dumps({"rows": length, "seconds": seconds, "peak": before, "held": used}))
    os._exit(0)  # epochs of 80,000 clips need not end


def compare_starts(clip: Path) -> None:
    """Print memory and seconds for datasets of very different length."""
    found = []
    for count in ROWS:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name, "clips")
            write_many(root, clip, count)
            command = [sys.executable, __file__, "start", str(root)]
            # The second time, Python's files are in memory.
            for _ in range(2):
                begin = time.monotonic()
                output = subprocess.run(  # noqa: S603 - this file
                    command, check=True, stdout=subprocess.PIPE, text=True
                ).stdout
                one = json.loads(output.splitlines()[-1])
                spent = time.monotonic() - begin
                one["seconds"]["Python, imports, exit"] = spent - sum(one["seconds"].values())
        found.append(one)
    rows = [
        [
            name,
            *(f"{one[key] / 1e6:.0f}" for one in found),
            f"{(found[1][key] - found[0][key]) / 1e6:.0f}",
        ]
        for name, key in (
            ("most in the main process, before workers, MB", "peak"),
            (f"all processes, {WORKERS} workers, after 8 batches, MB", "held"),
        )
    ]
    titles = [f"{one['rows']:,} files" for one in found]
    show("Memory of the loader", ["", *titles, "difference"], rows)
    rows = [
        [name, *(f"{one['seconds'][name]:.3f}" for one in found)] for name in found[0]["seconds"]
    ]
    show("Seconds from nothing to the second batch", ["", *titles], rows)


def steps(network: SmallVideoNet, batches: Iterator[Batch], count: int) -> float:
    """Train and return the seconds a step."""
    head = torch.nn.Linear(network.out_features, 51)
    optimizer = torch.optim.SGD([*network.parameters(), *head.parameters()], lr=0.01)
    begin = 0.0
    for number in range(count + 2):
        if number == 2:  # workers have started, and the first batches are there
            begin = time.perf_counter()
        batch = next(batches)
        embedding = network(batch["video"]).embedding
        loss = torch.nn.functional.cross_entropy(head(embedding), batch["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - begin) / count


def compare_steps(sources: dict[str, ClipDataModule], rounds: int, count: int) -> None:
    """Print the training step's time with loading, and with one batch again and again."""
    network = SmallVideoNet()
    data = next(iter(sources.values()))
    keys = [(row % len(data.dataset("train")), row) for row in range((count + 6) * BATCH)]

    def load(one: ClipDataModule, workers: int) -> Iterator[Batch]:
        dataset, collate = one.dataset("train"), one.collate_fn
        return iter(
            DataLoader(dataset, BATCH, sampler=keys, num_workers=workers, collate_fn=collate)
        )

    cached = next(load(data, 0))
    ways: dict[str, Callable[[], Iterator[Batch]]] = {
        "one batch again and again": lambda: iter(lambda: cached, None)
    }
    for name, one in sources.items():
        for workers in (1, WORKERS):
            ways[f"{name}, {workers} workers"] = partial(load, one, workers)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(steps(network, way(), count))
    first = seconds["one batch again and again"]
    rows = [
        [
            name,
            f"{min(spent) * 1e3:.0f}",
            f"{min(spent) / min(first):.2f}",
            f"{statistics.median(spent) * 1e3:.0f}",
            ratios(spent, first),
        ]
        for name, spent in seconds.items()
    ]
    title = f"Training SmallVideoNet on {torch.get_num_threads()} cores, {BATCH} clips a step"
    columns = ["ms a step, best round", "times one batch", "ms, median", "times, by round"]
    show(title, ["batches from", *columns], rows)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["start"]:
        start(sys.argv[2])
        return
    options = parse(__doc__ or "", rounds=9, steps=6)
    threads = torch.get_num_threads()
    quiet()
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = ucf101(options, [], index=False)
        compare_starts(plain.media_files()[0])
        index = str(plain.write_index(folder / "index.csv").path)
        ucf101(options, [], index=index).cache_writer(folder / "cache", 128).write()
        sources: dict[str, ClipDataModule] = {
            "media files": ucf101(options, [], index=index),
            "cache": ucf101(options, [], index=index, cache=str(folder / "cache")),
        }
        if options.rounds:
            compare_steps(sources, options.rounds, options.steps)


if __name__ == "__main__":
    main()
