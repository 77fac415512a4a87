"""Bounds on mutual information and conditional entropy where the true values are known.

    python experiments/evidence/gaussians.py            # 2.5 minutes; writes experiments/results
    python experiments/evidence/gaussians.py --quick    # 15 seconds; writes runs/evidence

InfoNCE's and CRD's lower bounds on I(T;S) and the Gaussian upper bound on H(T|S), by the library's
own objectives, on Gaussians of several dimensions and correlations: tables, ``gaussians.csv`` with
a row a bound and seed, and ``gaussians.svg``. How each is trained and what it can say stands in
``gaussian_bounds.py``.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean, stdev

import torch
from gaussian_bounds import ENTROPY, INFORMATION, bounds
from gaussian_pair import GaussianPair
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parents[2]
SMALL = [GaussianPair(5, nats) for nats in (0.1, 1.0, 2.0, 4.0)]
LARGE = [GaussianPair(20, nats) for nats in (2.0, 4.0, 8.0, 12.0)]


@dataclass(frozen=True)
class Row:
    """One line of the CSV; nats where a number is not a count or a correlation.

    Attributes:
        dim: number of coordinates.
        correlation: of each.
        information: true I(T;S).
        quantity: what is bounded.
        truth: its true value.
        bound: by which bound.
        seed: of the run.
        value: the bound on fresh samples.
        ceiling: what it cannot exceed, None where there is no such thing.
    """

    dim: int
    correlation: float
    information: float
    quantity: str
    truth: float
    bound: str
    seed: int
    value: float
    ceiling: float | None


def measure(
    pairs: Sequence[GaussianPair], seeds: Sequence[int], effort: float, console: Console
) -> list[Row]:
    """Return every bound on every pair for every seed."""
    rows = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("bounds", total=len(pairs) * len(seeds))
        for pair in pairs:
            for seed in seeds:
                for bound in bounds(pair, seed, effort):
                    entropy = bound.quantity == ENTROPY
                    truth = pair.conditional_entropy if entropy else pair.information
                    rows.append(
                        Row(
                            dim=pair.dim,
                            correlation=round(pair.correlation, 4),
                            information=pair.information,
                            quantity=bound.quantity,
                            truth=round(truth, 4),
                            bound=bound.name,
                            seed=seed,
                            value=round(bound.value, 4),
                            ceiling=None if bound.ceiling is None else round(bound.ceiling, 4),
                        )
                    )
                progress.advance(task)
    return rows


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def table(rows: Sequence[Row], quantity: str) -> Table:
    """Return mean ± standard deviation over seeds of all bounds on one quantity, in Markdown."""
    rows = [row for row in rows if row.quantity == quantity]
    names = list(dict.fromkeys(row.bound for row in rows))
    result = Table(box=MARKDOWN)
    for heading in ("d", "rho", f"true {quantity}", *names):
        result.add_column(heading, justify="right", no_wrap=True)
    for dim, rho, truth in dict.fromkeys((r.dim, r.correlation, r.truth) for r in rows):
        cells = [str(dim), f"{rho:.3f}", f"{truth:.2f}"]
        for name in names:
            values = [r.value for r in rows if (r.dim, r.truth, r.bound) == (dim, truth, name)]
            spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{fmean(values):.2f}{spread}")
        result.add_row(*cells)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="three pairs, one seed, 40 %% of the steps"
    )
    parser.add_argument(
        "--out", type=Path, help="folder to write into (experiments/results, quick: runs/evidence)"
    )
    options = parser.parse_args(arguments)
    quick: bool = options.quick
    out: Path = options.out or ROOT / ("runs/evidence" if quick else "experiments/results")
    out.mkdir(parents=True, exist_ok=True)
    # More threads gain nothing on matrices of this size, and sum in another order.
    torch.set_num_threads(1)
    console = Console()
    pairs = [SMALL[1], LARGE[1], LARGE[3]] if quick else [*SMALL, *LARGE]
    rows = measure(pairs, range(1 if quick else 3), 0.4 if quick else 1.0, console)
    write(rows, out / "gaussians.csv")
    from gaussian_figure import draw

    draw(rows, out / "gaussians.svg")
    # Wide enough for its own columns: a table cut to the terminal would be no Markdown.
    wide = Console(width=200)
    for quantity in (INFORMATION, ENTROPY):
        wide.print(f"{quantity} in nats, on fresh samples\n", table(rows, quantity), sep="\n")
    console.print(f"Written: {out / 'gaussians.csv'} and gaussians.svg", soft_wrap=True)


if __name__ == "__main__":
    main()
