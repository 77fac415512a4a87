"""What negatives cost: one shared set for a batch against a set of its own for each sample.

python experiments/benchmarks/negatives.py [--negatives 16384 65536 --rounds 5 --device cuda]

A step is forward, backward and the update of what is kept. "Drawn by index" is CRD's published
bank (Contrastive Representation Distillation, Tian, Krishnan, Isola, ICLR 2020; the authors' code):
the vectors of K negatives are copied together for every sample of the batch. At 65,536 it needs
about 4.3 GiB on both sides together.
"""

import argparse
import math

import torch
from measure import Step, median_seconds, mib, peak_memory
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import normalize

from cmkd.objectives import CRD, InfoNCE, noise_contrastive_loss
from cmkd.objectives.base import Objective, StageContext
from cmkd.representation import Representation, Sizes

TEMPERATURE = 0.07


class DrawnByIndex(nn.Module):
    """CRD's published bank between two batches of unit vectors.

    Args:
        samples: number of training samples.
        dim: width of their vectors.
        negatives: K, drawn for every sample and side together, as published.
    """

    def __init__(self, samples: int, dim: int, negatives: int) -> None:
        super().__init__()
        self.negatives = negatives
        self.register_buffer("banks", normalize(torch.randn(2, samples, dim), dim=2))
        self.register_buffer("log_normaliser", torch.tensor(math.log(samples)))

    def forward(self, source: Tensor, target: Tensor, index: Tensor) -> Tensor:
        """Return the loss of a batch and move the entries of its samples."""
        banks: Tensor = self.banks
        rows, samples = len(index), banks.shape[1]
        drawn = torch.randint(samples, (rows, 1 + self.negatives), device=index.device)
        drawn[:, 0] = index
        loss = source.new_zeros(())
        for anchors, bank in ((source, banks[1]), (target, banks[0])):
            vectors = bank.index_select(0, drawn.view(-1)).view(*drawn.shape, -1)
            scores = torch.bmm(vectors, anchors[:, :, None]).squeeze(2) / TEMPERATURE
            loss = loss + noise_contrastive_loss(scores, self.log_normaliser, samples).mean()
        with torch.no_grad():
            for bank, vectors in ((banks[0], source), (banks[1], target)):
                bank[index] = normalize((bank[index] + vectors) / 2, dim=1)
        return loss


class Batches:
    """The same random embeddings for every contender, another batch of samples each time.

    Args:
        rows: of a batch.
        dim: width of the embeddings.
        samples: number of training samples.
        device: where all of it is.
    """

    def __init__(self, rows: int, dim: int, samples: int, device: torch.device) -> None:
        self.samples, self.device = samples, device
        self.vectors = torch.randn(2, rows, dim, device=device)
        self.valid = torch.ones(rows, dtype=torch.bool, device=device)
        self.sizes = {role: Sizes(dim, 1) for role in ("student", "teacher")}

    def index(self) -> Tensor:
        """Return the sample numbers of a batch."""
        return torch.randint(self.samples, (len(self.valid),), device=self.device)

    def leaves(self) -> list[Tensor]:
        """Return source and target embeddings that ask for a gradient."""
        return [x.clone().requires_grad_() for x in self.vectors]

    def of_objective(self, objective: Objective) -> Step:
        """Return a step with an objective of the library."""
        objective.to(self.device)
        context = StageContext({}, self.samples, 1)
        objective.allocate(context)

        def step() -> None:
            given = {
                role: Representation(x, x[:, :1], {}, self.valid)
                for role, x in zip(self.sizes, self.leaves(), strict=True)
            }
            objective(given, {"index": self.index()}).loss.backward()

        return step

    def drawn_by_index(self, dim: int, negatives: int) -> Step:
        """Return a step with the published bank, behind the same projections."""
        bank = DrawnByIndex(self.samples, dim, negatives).to(self.device)
        heads = [nn.Linear(dim, dim).to(self.device) for _ in range(2)]

        def step() -> None:
            pair = (normalize(head(x), dim=1) for head, x in zip(heads, self.leaves(), strict=True))
            bank(*pair, self.index()).backward()

        return step


def fill(objective: InfoNCE, rows: int, device: torch.device) -> InfoNCE:
    """Fill the queue: an empty one would cost as much but contrast nothing."""
    objective.to(device)
    queue = objective.queue
    if queue is None:
        raise ValueError("an InfoNCE without a queue cannot be filled")
    size, dim = queue.source.shape
    for start in range(0, size, rows):
        vectors = torch.randn(2, min(rows, size - start), dim, device=device)
        count = vectors.shape[1]
        index = torch.arange(start, start + count, device=device)
        queue.push(*vectors, index, torch.ones(count, dtype=torch.bool, device=device))
    return objective


def main() -> None:
    """Measure and print one table for each number of negatives."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--negatives", type=int, nargs="*", default=[16_384, 65_536])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--samples", type=int, default=50_000, help="training samples")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.manual_seed(0)
    for negatives in options.negatives:
        batches = Batches(options.batch, options.dim, options.samples, device)
        sizes, dim = batches.sizes, options.dim
        queued = fill(InfoNCE(sizes, dim=dim, queue_size=negatives), 4096, device)
        steps = {
            "drawn by index": batches.drawn_by_index(dim, negatives),
            "CRD": batches.of_objective(CRD(sizes, dim=dim, negatives=negatives)),
            "CRD, shared_negatives": batches.of_objective(
                CRD(sizes, dim=dim, negatives=negatives, shared_negatives=True)
            ),
            "InfoNCE, queue": batches.of_objective(queued),
        }
        seconds = median_seconds(steps, device, options.rounds)
        memory = {name: peak_memory(step, device) for name, step in steps.items()}
        title = f"{negatives:,} negatives, batch {options.batch}, {dim}-d, {options.samples:,}"
        table = Table(title=f"{title} training samples, {device}")
        table.add_column("")
        for heading in ("ms", "times as fast", "MiB", "of the memory"):
            table.add_column(heading, justify="right")
        base = "drawn by index"
        for name in steps:
            table.add_row(
                name,
                f"{1000 * seconds[name]:.1f}",
                f"{seconds[base] / seconds[name]:.1f}",
                mib(memory[name]),
                f"1/{memory[base] / max(memory[name], 1):.1f}",
            )
        Console().print(table)


if __name__ == "__main__":
    main()
