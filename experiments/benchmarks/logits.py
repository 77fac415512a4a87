"""InfoNCE of a large gathered batch: all logits at once against blocks of rows.

python experiments/benchmarks/logits.py [--rows 4096 8192 16384 32768 --plain 8192 --device cuda]

A step is forward and backward of both directions. All logits at once are measured up to --plain
rows; there the gradients of both are compared too.
"""

import argparse

import torch
from measure import Step, median_seconds, mib, peak_memory
from rich.console import Console
from rich.table import Table
from torch import Tensor

from cmkd.objectives import info_nce
from cmkd.objectives.blocked_logits import MAX_LOGITS

TEMPERATURE = 0.1


def gradients(x: Tensor, y: Tensor, max_logits: int) -> tuple[Tensor, Tensor]:
    """Return those of the mean loss with respect to x and y."""
    leaves = [z.clone().requires_grad_() for z in (x, y)]
    info_nce(*leaves, TEMPERATURE, max_logits=max_logits).mean().backward()
    return tuple(z.grad for z in leaves)  # type: ignore[return-value]


def step(x: Tensor, y: Tensor, max_logits: int) -> Step:
    """Return a step that gives nothing."""
    return lambda: gradients(x, y, max_logits) and None


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="*", default=[4096, 8192, 16_384, 32_768])
    parser.add_argument("--plain", type=int, default=8192, help="most rows for all logits at once")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    table = Table(title=f"InfoNCE of N x N logits, {options.dim}-d, {device}")
    for heading in ("N", "blocks: s", "MiB", "at once: s", "MiB", "gradients differ by"):
        table.add_column(heading, justify="right")
    for rows in options.rows:
        torch.manual_seed(0)
        x, y = torch.randn(2, rows, options.dim, device=device)
        # What the default does, but in blocks also where it would not yet.
        ways = {"blocks": min(MAX_LOGITS, rows * rows // 4)}
        if rows <= options.plain:
            ways["at once"] = rows * rows
        steps = {name: step(x, y, most) for name, most in ways.items()}
        memory = {name: peak_memory(one, device) for name, one in steps.items()}
        seconds = median_seconds(steps, device, options.rounds, warm_up=0)
        cells = [f"{rows:,}"]
        for name in ("blocks", "at once"):
            there = name in steps
            cells += [f"{seconds[name]:.2f}", mib(memory[name])] if there else ["", ""]
        if "at once" in ways:
            pairs = zip(*(gradients(x, y, most) for most in ways.values()), strict=True)
            cells.append(f"{max(float((a - b).norm() / b.norm()) for a, b in pairs):.1e}")
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
