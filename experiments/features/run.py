"""What one modality gives on ready-made features: UCF51 by sound, MOSI by text and by sound.

Every run is one ``cmkd fit``. A study's setting is the one with the best mean validation score
over three seeds (each seed cuts other groups); the test part is read by its final runs alone.
Finished runs stand in results.csv and are not run again.

    python experiments/features/run.py
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
SEEDS = range(3)
FIELDS = ("phase", "study", "setting", "seed", "val", "metric", "test")


class Study(NamedTuple):
    """Configs under experiments/, those added for the test, arguments, settings to choose from."""

    configs: list[str]
    at_test: list[str]
    arguments: str
    settings: list[str]


def optimizers(rates: tuple[float, ...], decays: tuple[float, ...]) -> list[str]:
    """Return the settings of a grid of learning rates and weight decays."""
    return [
        f"--model.optimizer.init_args.lr {rate} --model.optimizer.init_args.weight_decay {decay}"
        for rate, decay in itertools.product(rates, decays)
    ]


def smoothed(settings: list[str]) -> list[str]:
    """Return each setting without and with label smoothing."""
    return [f"{s} --model.task.init_args.label_smoothing {x}" for s in settings for x in (0.0, 0.1)]


UCF51 = smoothed(optimizers((0.0005, 0.002), (0.1, 1.0)))
MOSI = smoothed(optimizers((0.0003, 0.001), (0.1,)))
TEXT = "--model.student_modalities [text] --model.auxiliary_modalities [audio]"
STUDIES = {
    "UCF51 audio": Study(["ucf51/audio_features"], ["retrieval"], "", UCF51),
    "MOSI text": Study(["mosi/base", "methods/none"], [], TEXT, MOSI),
    "MOSI audio": Study(["mosi/base", "methods/none"], [], "", MOSI),
    "MOSI audio <- text, KD": Study(["mosi/base", "methods/kd"], [], "", MOSI),
    "MOSI audio <- text, AMID objective": Study(["mosi/base", "methods/amid"], [], "", MOSI),
}


class Run(NamedTuple):
    """One fit: what it is called in results.csv."""

    phase: str
    study: str
    setting: str
    seed: int


def fit(job: Run) -> list[dict[str, str | float]]:
    """Run one fit; return its validation score, and a row for each test metric if it is final."""
    import logging
    import os
    import warnings

    os.environ["WANDB_MODE"] = "disabled"
    warnings.filterwarnings("ignore")
    import torch

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    from cmkd.callbacks import ResultsTable
    from cmkd.cli import run

    ResultsTable.on_fit_end = lambda *_: None  # type: ignore[method-assign]
    study = STUDIES[job.study]
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["fit"]
        for config in study.configs + (study.at_test if job.phase == "final" else []):
            arguments += ["--config", str(HERE.parent / f"{config}.yaml")]
        arguments += ["--seed_everything", str(job.seed), "--run.dir", folder]
        arguments += ["--run.wandb", "disabled", "--trainer.enable_progress_bar", "false"]
        cli = run([*arguments, *study.arguments.split(), *job.setting.split()])
        row = job._asdict() | {"val": float(cli.trainer.checkpoint_callback.best_model_score)}
        if job.phase == "tune":
            return [row]
        scores, *_ = cli.trainer.test(cli.model, cli.datamodule, "best", verbose=False)
        return [
            row | {"metric": name.removeprefix("test/student_").split("/")[0], "test": score}
            for name, score in scores.items()
            if name.startswith("test/student_")
        ]


class Results:
    """results.csv: what is done, and what to do."""

    def __init__(self, path: Path, workers: int) -> None:
        self.path, self.workers = path, workers
        self.rows: dict[Run, list[dict[str, str]]] = {}
        if path.exists():
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    job = Run(row["phase"], row["study"], row["setting"], int(row["seed"]))
                    self.rows.setdefault(job, []).append(row)

    def run(self, jobs: list[Run], progress: Progress, title: str) -> None:
        """Run what is not done yet and write it down at once."""
        missing = [job for job in jobs if job not in self.rows]
        task = progress.add_task(title, total=len(jobs), completed=len(jobs) - len(missing))
        with ProcessPoolExecutor(self.workers) as pool:
            pending = {pool.submit(fit, job): job for job in missing}
            for done in as_completed(pending):
                rows = [{f: str(row.get(f, "")) for f in FIELDS} for row in done.result()]
                self.rows[pending[done]] = rows
                new = not self.path.exists()
                with self.path.open("a", newline="") as file:
                    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
                    if new:
                        writer.writeheader()
                    writer.writerows(rows)
                progress.advance(task)

    def val(self, study: str, setting: str) -> float:
        """Return the mean validation score of a setting."""
        return fmean(
            float(self.rows[Run("tune", study, setting, seed)][0]["val"]) for seed in SEEDS
        )


def report(results: Results, console: Console) -> None:
    """Print the mean of each test metric and its standard deviation over the seeds."""
    table = Table(title="Test metrics in %, mean ± standard deviation over 3 seeds")
    for heading in ("study", "validation", "metric", "test"):
        table.add_column(heading)
    for study in STUDIES:
        final = [rows for job, rows in results.rows.items() if job[:2] == ("final", study)]
        for row in final[0] if final else []:
            name = row["metric"]
            values = [float(r["test"]) for rows in final for r in rows if r["metric"] == name]
            unit = 1 if name in ("median_rank", "queries_without_match") else 100
            val = 100 * fmean(float(rows[0]["val"]) for rows in final)
            spread = f"{unit * fmean(values):.1f} ± {unit * stdev(values):.1f}"
            table.add_row(study, f"{val:.1f}", name, spread)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results.csv")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    options = parser.parse_args()
    console = Console()
    results = Results(options.results, options.workers)
    with Progress(console=console) as progress:
        for study in options.studies:
            settings = STUDIES[study].settings
            jobs = [Run("tune", study, setting, seed) for setting in settings for seed in SEEDS]
            results.run(jobs, progress, f"{study}: settings")
            best = max(settings, key=lambda setting, study=study: results.val(study, setting))
            final = [Run("final", study, best, seed) for seed in SEEDS]
            results.run(final, progress, f"{study}: test")
    report(results, console)


if __name__ == "__main__":
    main()
