"""Where a step of UCF51's recipe spends its time: R(2+1)D, 16 frames of 112x112, batch 16.

python experiments/benchmarks/video_step.py [--batch 16 --rounds 5 --device cuda]

The parts of a student stage's step with KD: a batch from UCF101's clips in one process, the frozen
teacher's forward, the student's forward and loss, its backward, the optimizer, and the all-reduce
of its gradients between two ranks: over gloo on a CPU; over nccl where there are two GPUs. Ways:
as it is; channels last; compiled in place (``network.compile()``); on a GPU each in bf16, too.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from clips import clip_parser, quiet, show, ucf101
from measure import synchronise
from torch import Tensor, nn

from cmkd.callbacks.channels_last import set_channels_last
from cmkd.networks import MLP, R2Plus1D10
from cmkd.networks.fusion import Concatenation
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.objectives import KnowledgeDistillation

CLASSES, WIDTH, AUDIO = 51, 512, 512
LAYOUTS = ("as it is", "channels last", "compiled", "channels last, compiled")


@dataclass
class Clock:
    """Takes the time of the parts of a step.

    Attributes:
        device: waited for at the end of each part.
        seconds: of each part, by name, in each step.
    """

    device: torch.device
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def part(self, name: str, begun: float) -> float:
        """Note a part that began at a time; return the time now."""
        synchronise(self.device)
        now = time.perf_counter()
        self.seconds.setdefault(name, []).append(now - begun)
        return now


def network(modalities: Sequence[str]) -> ModalityNetwork:
    """Return a network of the recipe."""
    encoders = {"video": R2Plus1D10, "audio": partial(MLP, AUDIO, width=512)}
    return ModalityNetwork({m: encoders[m]() for m in modalities}, Concatenation, WIDTH, CLASSES)


def batches(options: argparse.Namespace) -> Iterator[dict[str, Tensor]]:
    """Yield batches of clips, again and again; the sound is stood in for by a random vector."""
    data = ucf101(options, [], batch_size=options.batch, num_workers=0)
    data.setup("fit")
    while True:
        loaded = 0
        for batch in data.train_dataloader():
            loaded += 1
            yield batch
        if not loaded:
            raise SystemExit(f"--batch {options.batch}: there are fewer training clips")


def completed(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the batch on the device, with a vector for the sound."""
    rows = len(batch["label"])
    here: dict[str, Tensor] = {name: batch[name].to(device) for name in ("video", "label", "index")}
    here["audio"] = torch.randn(rows, AUDIO, device=device)
    present = torch.ones(rows, dtype=torch.bool, device=device)
    return here | {"present": {"video": present, "audio": present}}  # type: ignore[dict-item]


def measure(way: str, options: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Return the median seconds of each part."""
    torch.manual_seed(0)
    student, teacher = network(["video"]).to(device), network(["video", "audio"]).to(device).eval()
    if "channels last" in way:
        for net in (student, teacher):
            set_channels_last(net)
    if "compiled" in way:
        student.compile()
        teacher.compile()
    sizes = {"student": student.sizes, "teacher": teacher.sizes}
    objective = KnowledgeDistillation(sizes)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.001, momentum=0.9)
    clock, loaded = Clock(device), batches(options)
    for _ in range(options.warm_up + options.rounds):
        now = time.perf_counter()
        batch = next(loaded)
        now = clock.part("loading, one process", now)
        batch = completed(batch, device)
        now = clock.part("to the device", now)
        with precision(way, device):
            with torch.no_grad():
                taught = teacher(batch)
            now = clock.part("teacher's forward", now)
            learned = student(batch)
            loss = nn.functional.cross_entropy(learned.logits, batch["label"])
            loss = loss + objective({"student": learned, "teacher": taught}, batch).loss
        now = clock.part("student's forward, losses", now)
        optimizer.zero_grad()
        loss.backward()
        now = clock.part("backward", now)
        optimizer.step()
        clock.part("optimizer", now)
    return {name: median(values[options.warm_up :]) for name, values in clock.seconds.items()}


def precision(way: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast of a way."""
    return torch.autocast(device.type, torch.bfloat16, enabled="bf16" in way)


def reduce(rank: int, folder: str, kind: str, size: int, rounds: int) -> None:
    """Average a gradient between two ranks; the first writes its seconds down."""
    backend = "nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, f"file://{folder}/store", rank=rank, world_size=2)
    device = torch.device(kind, rank) if kind == "cuda" else torch.device("cpu")
    torch.set_num_threads(1)
    gradient, clock = torch.randn(size, device=device), Clock(device)
    for _ in range(1 + rounds):
        dist.barrier()
        begun = time.perf_counter()
        dist.all_reduce(gradient)
        clock.part("all-reduce", begun)
    if rank == 0:
        seconds = median(clock.seconds["all-reduce"][1:])
        Path(folder, "seconds").write_text(str(seconds))
    dist.barrier()  # gloo aborts where one rank leaves while another still waits
    dist.destroy_process_group()


def all_reduce(device: torch.device, rounds: int) -> float | None:
    """Return the seconds of the all-reduce, None where there are no two GPUs for it."""
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        return None
    size = sum(p.numel() for p in network(["video"]).parameters())
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(reduce, (folder, device.type, size, rounds), nprocs=2)
        return float(Path(folder, "seconds").read_text())


def main() -> None:
    """Measure and print the table."""
    parser = clip_parser(__doc__ or "", batch=16, rounds=5, warm_up=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ways", nargs="*", default=None, help="; ".join(LAYOUTS))
    options = parser.parse_args()
    threads = torch.get_num_threads()
    quiet()
    torch.set_num_threads(threads)
    device = torch.device(options.device)
    ways = options.ways or list(LAYOUTS)
    if device.type == "cuda" and options.ways is None:
        ways += [f"{way}, bf16" for way in LAYOUTS]
    found = {way: measure(way, options, device) for way in ways}
    names = list(found[ways[0]])
    rows = [[name, *(f"{1000 * found[way][name]:,.0f}" for way in ways)] for name in names]
    reduced = all_reduce(device, options.rounds)
    told = "two GPUs needed" if reduced is None else f"{1000 * reduced:,.0f}"
    rows.append(["all-reduce, two ranks", *([told] * len(ways))])
    steps = {
        way: sum(s for n, s in found[way].items() if not n.startswith("loading")) for way in ways
    }
    rows.append(["step without loading", *(f"{1000 * steps[way]:,.0f}" for way in ways)])
    rows.append(["of the first way", *(f"{steps[way] / steps[ways[0]]:.2f}" for way in ways)])
    show(f"ms of a step of {options.batch} clips on {device.type}", ["part", *ways], rows)


if __name__ == "__main__":
    main()
