"""How a step's time and memory grow with batch, negatives, gallery and ranks.

python experiments/benchmarks/growth.py [--largest 16384 --rounds 3]

Writes experiments/results/growth.csv and growth.svg (needs the extra `plots`). A step of an
objective is forward, backward and update of what it keeps, on 128-d embeddings; one of retrieval is
the search of 256 queries. Ranks are processes over gloo with one thread each and 256 rows each;
their memory is that of one of them. Where there are more ranks than cores they wait for each other.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from measure import Step, median_seconds, peak_memory
from negatives import Batches, fill
from torch.nn.functional import normalize

from cmkd.metrics.retrieval import retrieval_metrics
from cmkd.objectives import CRD, InfoNCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = Path(__file__).parents[1] / "results"
CPU = torch.device("cpu")
DIM, ROWS, QUERIES, SAMPLES = 128, 64, 256, 50_000
LOCAL_ROWS = 256
#: Of Okabe and Ito's colours, and a marker of its own for each curve.
LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"))


@dataclass(frozen=True)
class Cost:
    """A measured step.

    Attributes:
        axis: what grows.
        curve: what is measured.
        size: how large the growing thing is.
        seconds: median of a step.
        bytes: peak beyond what was held before the step.
    """

    axis: str
    curve: str
    size: int
    seconds: float
    bytes: int


def cost(axis: str, curve: str, size: int, step: Step, rounds: int) -> Cost:
    """Measure a step."""
    step()
    memory = peak_memory(step, CPU)
    (seconds,) = median_seconds({curve: step}, CPU, rounds, warm_up=0).values()
    return Cost(axis, curve, size, seconds, memory)


def in_batch(rows: int) -> Step:
    """Return a step of InfoNCE among the rows of a batch."""
    batches = Batches(rows, DIM, SAMPLES, CPU)
    return batches.of_objective(InfoNCE(batches.sizes, dim=DIM))


def queue(negatives: int) -> Step:
    """Return a step of InfoNCE with a full queue."""
    batches = Batches(ROWS, DIM, SAMPLES, CPU)
    objective = InfoNCE(batches.sizes, dim=DIM, queue_size=negatives)
    return batches.of_objective(fill(objective, ROWS, CPU))


def bank(negatives: int, shared: bool) -> Step:
    """Return a step of CRD."""
    batches = Batches(ROWS, DIM, SAMPLES, CPU)
    return batches.of_objective(
        CRD(batches.sizes, dim=DIM, negatives=negatives, shared_negatives=shared)
    )


def search(items: int) -> Step:
    """Return the search of a gallery."""
    gallery = normalize(torch.randn(items, DIM), dim=1)
    label = torch.randint(100, (items,))
    return lambda: retrieval_metrics(gallery[:QUERIES], label[:QUERIES], gallery, label)


#: By axis and curve: what makes the step of a size.
CURVES: dict[tuple[str, str], Callable[[int], Step]] = {
    ("batch", "InfoNCE"): in_batch,
    ("negatives", "InfoNCE, queue"): queue,
    ("negatives", "CRD, shared"): partial(bank, shared=True),
    ("negatives", "CRD"): partial(bank, shared=False),
    ("gallery", "retrieval"): search,
}


def sizes(axis: str, largest: int) -> list[int]:
    """Return the sizes of an axis, each four times the one before."""
    first, last = {
        "batch": (64, largest),
        "negatives": (1024, 65_536),
        "gallery": (4096, 16 * largest),
    }[axis]
    return [first * 4**k for k in range(12) if first * 4**k <= last]


def work(rank: int, ranks: int, folder: str, rounds: int) -> None:
    """Measure a step of InfoNCE over ranks and leave what rank 0 found in the folder."""
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks
    )
    found = cost("ranks", "InfoNCE", ranks, in_batch(LOCAL_ROWS), rounds)
    if rank == 0:
        torch.save(asdict(found), Path(folder) / "cost.pt")
    dist.barrier()  # gloo aborts where one rank leaves while another still waits
    dist.destroy_process_group()


def over_ranks(ranks: int, rounds: int) -> Cost:
    """Measure a step of InfoNCE in so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, args=(ranks, folder, rounds), nprocs=ranks)  # type: ignore[no-untyped-call]
        return Cost(**torch.load(Path(folder) / "cost.pt", weights_only=True))


def write(costs: Sequence[Cost], path: Path) -> None:
    """Write the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Cost)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(one) for one in costs)


def draw(costs: Sequence[Cost], path: Path) -> None:
    """Draw time and memory; the same figures give the same file.

    Raises:
        ModuleNotFoundError: without matplotlib, which the extra ``plots`` brings.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    axes_names = list(dict.fromkeys(one.axis for one in costs))
    with mpl.rc_context({"svg.hashsalt": "cmkd", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(2.8 * len(axes_names), 4.8), layout="constrained")
        panels = figure.subplots(2, len(axes_names), squeeze=False, sharex="col", sharey="row")
        for column, axis in enumerate(axes_names):
            own = [one for one in costs if one.axis == axis]
            _panel(panels[0][column], own, lambda one: 1000 * one.seconds)
            # A step too small to be seen in the process's memory is drawn at the bottom.
            _panel(panels[1][column], own, lambda one: max(one.bytes / 2**20, 0.1))
            panels[0][column].legend(frameon=False)
            panels[1][column].set_xlabel(axis)
        panels[0][0].set_ylabel("time of a step (ms)")
        panels[1][0].set_ylabel("memory of a step (MiB)")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def _panel(axes: "Axes", costs: Sequence[Cost], height: Callable[[Cost], float]) -> None:
    for name, (colour, marker) in zip(
        dict.fromkeys(one.curve for one in costs), LOOKS, strict=False
    ):
        own = [one for one in costs if one.curve == name]
        x, y = [one.size for one in own], [height(one) for one in own]
        axes.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1, label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.grid(linewidth=0.3)


def main() -> None:
    """Measure, write and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--largest", type=int, default=16_384, help="largest batch")
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.manual_seed(0)
    costs = [
        cost(axis, curve, size, make(size), options.rounds)
        for (axis, curve), make in CURVES.items()
        for size in sizes(axis, options.largest)
    ]
    costs += [over_ranks(ranks, options.rounds) for ranks in options.ranks]
    write(costs, options.folder / "growth.csv")
    draw(costs, options.folder / "growth.svg")


if __name__ == "__main__":
    main()
