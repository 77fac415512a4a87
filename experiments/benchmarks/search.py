"""Retrieval against the bare blocked matrix product with top-k: time and memory.

python experiments/benchmarks/search.py [--queries 10000 --gallery 1000000 --device cuda]

Ours gives R@K, the median rank and mAP over all relevant items, for which every score counts; the
bare search gives the first 20 of each query and no figure. Both take the same number of scores at
once. Memory is what is held beyond the embeddings and labels.
"""

import argparse

import torch
from measure import median_seconds, mib, peak_memory
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import normalize

from cmkd.metrics.retrieval import retrieval_metrics

#: Scores at once, those of ``retrieval_metrics``.
SCORES = 2**25
FIRST = 20


def bare(query: Tensor, gallery: Tensor) -> Tensor:
    """Return the (Q, 20) items of the highest inner products, a block of queries at a time."""
    transposed = gallery.T
    chunk = max(SCORES // len(gallery), 1)
    buffer = query.new_empty(min(chunk, len(query)), len(gallery))
    found = [
        torch.mm(rows, transposed, out=buffer[: len(rows)]).topk(FIRST).indices
        for rows in query.split(chunk)
    ]
    return torch.cat(found)


def embeddings(rows: int, dim: int, label: Tensor, centres: Tensor) -> Tensor:
    """Return unit vectors around the centres of their classes."""
    noise = torch.randn(rows, dim, device=label.device)
    return normalize(noise.add_(centres[label]), dim=1)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--gallery", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.manual_seed(0)
    centres = torch.randn(options.classes, options.dim, device=device)
    query_label, gallery_label = (
        torch.randint(options.classes, (rows,), device=device)
        for rows in (options.queries, options.gallery)
    )
    query = embeddings(options.queries, options.dim, query_label, centres)
    gallery = embeddings(options.gallery, options.dim, gallery_label, centres)
    steps = {
        "product and top-k": lambda: bare(query, gallery),
        "retrieval_metrics": lambda: retrieval_metrics(query, query_label, gallery, gallery_label),
    }
    # The first use of a kernel is no one's cost.
    bare(query[:64], gallery)
    retrieval_metrics(query[:64], query_label[:64], gallery, gallery_label)
    memory = {name: peak_memory(step, device) for name, step in steps.items()}
    seconds = median_seconds(steps, device, options.rounds, warm_up=0)
    size = f"{options.queries:,} queries, {options.gallery:,} x {options.dim}, {device}"
    table = Table(title=f"{size}, inputs of {mib(gallery.nbytes + query.nbytes)} MiB")
    table.add_column("")
    for heading in ("s", "of the product and top-k", "MiB beyond the inputs"):
        table.add_column(heading, justify="right")
    base = seconds["product and top-k"]
    for name in steps:
        ratio = f"{seconds[name] / base:.2f}"
        table.add_row(name, f"{seconds[name]:.1f}", ratio, mib(memory[name]))
    Console().print(table)


if __name__ == "__main__":
    main()
