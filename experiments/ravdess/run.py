"""RAVDESS, face <- audio and audio <- face: tune on training actors, then 6 folds x 3 seeds.

Every run is one ``cmkd fit`` with the configs beside this file. Settings are chosen per fold on
validation actors cut from the training actors; the test actors are read by the final runs alone.
All methods share the student's learning rate and weight decay, chosen for the student alone, and
then get six settings of their own. Finished runs stand in results.csv and are not run again.

    python experiments/ravdess/run.py
"""

import argparse
import csv
import itertools
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

HERE = Path(__file__).parent
DIRECTIONS = {"face <- audio": ("face", "audio"), "audio <- face": ("audio", "face")}
FOLDS, SEEDS = range(6), range(3)
Setting = dict[str, str | float]

STUDENT: list[Setting] = [
    {"optimizer.init_args.lr": rate, "optimizer.init_args.weight_decay": decay}
    for rate, decay in itertools.product((0.0005, 0.001, 0.002), (0.01, 1.0))
]
OWN: dict[str, list[Setting]] = {
    "none": [{"task.init_args.label_smoothing": s} for s in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)],
    "kd": [
        {
            "student_terms.kd.weight": weight,
            "student_terms.kd.objective.init_args.temperature": temperature,
        }
        for weight, temperature in itertools.product((0.3, 1.0, 3.0), (2.0, 4.0))
    ],
    "fitnets": [{"student_terms.fitnets.weight": w} for w in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)],
    "amid": [
        {
            "teacher_terms.mi_ts.weight": information,
            "teacher_terms.mi_ta.weight": information,
            "student_terms.mi_ts.weight": information,
            "student_terms.h_ts.weight": entropy,
        }
        for information, entropy in itertools.product((0.03, 0.1, 0.3), (0.03, 0.1))
    ],
}
FIELDS = ("phase", "direction", "method", "fold", "seed", "setting", "val", "test", "teacher_test")


class Run(NamedTuple):
    """One fit: what it is called in results.csv."""

    phase: str
    direction: str
    method: str
    fold: int
    seed: int
    setting: str


def describe(setting: Setting) -> str:
    """Write a setting as it stands in results.csv and on the command line."""
    return " ".join(f"--model.{key} {value}" for key, value in setting.items())


def fit(job: Run) -> dict[str, str | float]:
    """Run one fit; the final ones are tested too."""
    import os
    import warnings

    os.environ["WANDB_MODE"] = "disabled"
    warnings.filterwarnings("ignore")
    import logging

    import torch

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    from cmkd.callbacks import ResultsTable
    from cmkd.cli import run

    ResultsTable.on_fit_end = lambda *_: None  # type: ignore[method-assign]
    student, auxiliary = DIRECTIONS[job.direction]
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["fit", "--config", str(HERE / "base.yaml")]
        arguments += ["--config", str(HERE.parent / "methods" / f"{job.method}.yaml")]
        arguments += ["--seed_everything", str(job.seed), "--run.dir", folder]
        arguments += ["--model.student_modalities", f"[{student}]"]
        arguments += ["--model.auxiliary_modalities", f"[{auxiliary}]"]
        arguments += ["--data.init_args.split.init_args.fold", str(job.fold)]
        arguments += ["--data.init_args.auxiliary_at_test", "true"]
        arguments += ["--trainer.enable_progress_bar", "false", *job.setting.split()]
        cli = run(arguments)
        checkpoint = cli.trainer.checkpoint_callback
        row = job._asdict() | {"val": float(checkpoint.best_model_score)}
        if job.phase == "final":
            (scores,) = cli.trainer.test(cli.model, cli.datamodule, "best", verbose=False)
            row["test"] = scores["test/student_accuracy"]
            row["teacher_test"] = scores.get("test/teacher_accuracy", "")
    return row


class Results:
    """results.csv: what is done, and what to do."""

    def __init__(self, path: Path, workers: int) -> None:
        self.path, self.workers = path, workers
        self.rows: dict[Run, dict[str, str]] = {}
        if path.exists():
            with path.open() as file:
                for row in csv.DictReader(file):
                    numbers = {"fold": int(row["fold"]), "seed": int(row["seed"])}
                    self.rows[Run(**{f: numbers.get(f, row[f]) for f in Run._fields})] = row

    def run(self, jobs: list[Run], progress: Progress, title: str) -> None:
        """Run what is not done yet and write it down at once."""
        missing = [job for job in jobs if job not in self.rows]
        task = progress.add_task(title, total=len(jobs), completed=len(jobs) - len(missing))
        with ProcessPoolExecutor(self.workers) as pool:
            pending = {pool.submit(fit, job): job for job in missing}
            for done in as_completed(pending):
                row = {field: str(done.result().get(field, "")) for field in FIELDS}
                self.rows[pending[done]] = row
                new = not self.path.exists()
                with self.path.open("a", newline="") as file:
                    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
                    if new:
                        writer.writeheader()
                    writer.writerow(row)
                progress.advance(task)

    def best(self, jobs: list[Run]) -> str:
        """Return the setting with the best validation accuracy, the first of equals."""
        return max(jobs, key=lambda job: float(self.rows[job]["val"])).setting


def tune(results: Results, direction: str, progress: Progress) -> dict[tuple[str, int], str]:
    """Choose a setting for each method and fold on validation actors, with one seed."""

    def jobs(method: str, fold: int, settings: list[str]) -> list[Run]:
        return [Run("tune", direction, method, fold, 0, setting) for setting in settings]

    shared = [describe(setting) for setting in STUDENT]
    results.run(
        [j for f in FOLDS for j in jobs("none", f, shared)], progress, f"{direction} student"
    )
    base = {fold: results.best(jobs("none", fold, shared)) for fold in FOLDS}
    own = {
        (method, fold): jobs(method, fold, [f"{base[fold]} {describe(s)}" for s in settings])
        for method, settings in OWN.items()
        for fold in FOLDS
    }
    results.run([j for some in own.values() for j in some], progress, f"{direction} methods")
    return {key: results.best(some) for key, some in own.items()}


def report(results: Results, console: Console) -> None:
    """Print mean accuracy on test actors and the paired difference to the student alone."""
    table = Table(title="RAVDESS, test accuracy in %, 6 folds x 3 seeds")
    for heading in ("direction", "method", "teacher", "student", "difference to none"):
        table.add_column(heading)
    final = {job: row for job, row in results.rows.items() if job.phase == "final"}
    for direction, method in itertools.product(DIRECTIONS, OWN):
        mine, none = (
            {
                (job.fold, job.seed): row
                for job, row in final.items()
                if (job.direction, job.method) == (direction, name)
            }
            for name in (method, "none")
        )
        if not mine or mine.keys() != none.keys():
            continue
        gains = [100 * (float(mine[k]["test"]) - float(none[k]["test"])) for k in mine]
        error = stdev(gains) / len(gains) ** 0.5
        teachers = [100 * float(r["teacher_test"]) for r in mine.values() if r["teacher_test"]]
        table.add_row(
            direction,
            method,
            f"{fmean(teachers):.1f}" if teachers else "",
            f"{fmean(100 * float(row['test']) for row in mine.values()):.1f}",
            "" if method == "none" else f"{fmean(gains):+.1f} ± {error:.1f}",
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results.csv")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    console = Console()
    results = Results(options.results, options.workers)
    with Progress(console=console) as progress:
        for direction in DIRECTIONS:
            chosen = tune(results, direction, progress)
            final = [
                Run("final", direction, method, fold, seed, setting)
                for (method, fold), setting in chosen.items()
                for seed in SEEDS
            ]
            results.run(final, progress, f"{direction} final")
    report(results, console)


if __name__ == "__main__":
    main()
