"""Why an H(T|S) term adds what it adds: discriminator, reconstructor and student, looked into.

    cmkd compare --config experiments/evidence/h_ts.yaml --jobs 2
    cmkd compare --config experiments/evidence/h_ts_speech.yaml --jobs 2
    python experiments/evidence/h_ts_diagnosis.py

trains the students of some methods once more, with the comparisons' teachers and exactly as there,
and measures at the end of their training, on training and validation samples; test samples are not
read. What is measured (h_ts_measures.py says what the columns are) is kept and not measured again;
h_ts_diagnosis.csv is written.
"""

import argparse
import csv
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, fields
from pathlib import Path
from statistics import fmean

import torch
from h_ts_measures import Diagnosis, diagnose

from cmkd.compare.config import read_comparison
from cmkd.compare.plan import Plan, Run, Selection
from cmkd.compare.store import Store, write_csv
from cmkd.compare.worker import leave_out_greetings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMPARISONS = ("h_ts", "h_ts_speech")
METHODS = (
    "none",
    "adversarial embedding 0.1",
    "adversarial embedding 0.3",
    "adversarial embedding 1",
    "adversarial logits 0.3",
    "spectral norm 0.3",
    "conditional 0.3",
    "penalty 0.3",
    "wasserstein 0.3",
    "gaussian 0.3",
    "gaussian 1",
    "categorical tau 4 0.3",
    "categorical tau 4 1",
    "all three 0.3",
)


def kept(path: Path) -> dict[str, Diagnosis]:
    """Return what has been measured, by the run's key."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    plain = ("key", "group", "method", "fold")
    return {
        row["key"]: Diagnosis(**{
            name: value if name in plain else (float(value) if value else None)
            for name, value in row.items()
        })  # type: ignore[arg-type]
        for row in rows
    }  # fmt: skip


def keep(path: Path, found: Iterable[Diagnosis]) -> None:
    """Write what has been measured."""
    names = [field.name for field in fields(Diagnosis)]
    write_csv(path, names, [asdict(diagnosis) for diagnosis in found])


def table(found: Sequence[Diagnosis]) -> str:
    """Return the means over folds as a Markdown table."""
    columns = ("d_train", "d_val", "g_train", "g_val", "ridge_val", "h_train", "h_val", "accuracy")
    heads = [name.replace("_", " ").replace("d ", "D ").replace("g ", "G ") for name in columns]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (1 + len(columns)) + "|"]
    for method in dict.fromkeys(diagnosis.method for diagnosis in found):
        mine = [diagnosis for diagnosis in found if diagnosis.method == method]
        cells = [method]
        for name in columns:
            values = [value for d in mine if (value := getattr(d, name)) is not None]
            digits = 1 if name == "accuracy" else 2
            cells.append(f"{fmean(values):.{digits}f}" if values else "")
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| prior | | | | | | | {fmean(d.prior for d in found):.2f} | |")
    return "\n".join(lines)


def wanted(name: str, options: argparse.Namespace) -> list[Run]:
    """Return the runs of one comparison that are to be looked into."""
    comparison = read_comparison(HERE / f"{name}.yaml")
    methods = [method for method in options.methods if method in comparison.methods]
    groups = None
    if options.groups is not None:
        groups = [group for group in options.groups if group in comparison.groups]
    selection = Selection(groups=groups, methods=methods, folds=options.folds)
    return Plan(comparison, selection).runs()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is not measured yet, print a table a data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add(
        "--runs", type=Path, default=Path("runs/compare"), help="where the comparisons' folders are"
    )
    add("--out", type=Path, default=ROOT / "experiments/results", help="folder to write into")
    add("--groups", nargs="*", help="data sets (default: all)")
    add("--folds", nargs="*", default=["0", "1", "2"], help="(default: 0 1 2)")
    add("--methods", nargs="*", default=list(METHODS))
    add("--jobs", type=int, default=2, help="runs at once (2)")
    options = parser.parse_args(arguments)
    everything: list[Diagnosis] = []
    for name in COMPARISONS:
        store = Store(options.runs / f"evidence-{name}")
        if store.folder.is_dir():
            everything += measured(wanted(name, options), store, options.jobs)
    if not everything:
        parser.error(
            f"there is nothing to look into in {options.runs}: run the comparison first, or name "
            "--runs, --groups, --folds and --methods that it has"
        )
    for group in dict.fromkeys(diagnosis.group for diagnosis in everything):
        print(f"\n### {group}\n\n{table([d for d in everything if d.group == group])}")
    options.out.mkdir(parents=True, exist_ok=True)
    keep(options.out / "h_ts_diagnosis.csv", everything)


def measured(runs: Sequence[Run], store: Store, jobs: int) -> list[Diagnosis]:
    """Return what was measured of runs, after measuring what was not, several at once."""
    path = store.folder / "diagnosis.csv"
    done = kept(path)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _prepare) as pool:
        waiting = [pool.submit(diagnose, run, store) for run in runs if run.key not in done]
        try:
            for future in as_completed(waiting):
                found = future.result()
                print(f"{found.group}, {found.method}, fold {found.fold}", flush=True)
                done[found.key] = found
                keep(path, done.values())
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C and errors do not wait for the rest
            raise
    return [done[run.key] for run in runs]


def _prepare() -> None:
    """Set up a process of the pool."""
    torch.set_num_threads(1)
    leave_out_greetings()


if __name__ == "__main__":
    main()
