"""Run methods over folds in one process and print a table: test accuracy, paired by fold.

Nothing is chosen here: each run is ``cmkd fit`` with the config, the method and the fold, and the
student of its best validation epoch is tested. Finished runs stand in the CSV file and are not
run again.

    python experiments/folds.py --config experiments/avmnist/base.yaml --results avmnist.csv
"""

import argparse
import csv
import logging
import os
import tempfile
import warnings
from pathlib import Path
from statistics import fmean, stdev

HERE = Path(__file__).parent
FIELDS = ("method", "fold", "seed", "val", "test", "teacher")
Row = dict[str, str]


def fit(config: Path, method: str, fold: int, seed: int, overrides: list[str]) -> Row:
    """Run one fit and test its student, and its teacher where there is one."""
    from cmkd.callbacks import ResultsTable
    from cmkd.cli import run

    ResultsTable.on_fit_end = lambda *_: None  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["fit", "--config", str(config)]
        arguments += ["--config", str(HERE / "methods" / f"{method}.yaml")]
        arguments += ["--seed_everything", str(seed), "--run.dir", folder]
        arguments += ["--data.init_args.fold", str(fold)]
        arguments += ["--data.init_args.auxiliary_at_test", "true"]
        arguments += ["--trainer.enable_progress_bar", "false", *overrides]
        cli = run(arguments)
        best = float(cli.trainer.checkpoint_callback.best_model_score)
        (scores,) = cli.trainer.test(cli.model, cli.datamodule, "best", verbose=False)
    numbers = (fold, seed, best, scores["test/student_accuracy"])
    teacher = scores.get("test/teacher_accuracy", "")
    return dict(zip(FIELDS, map(str, (method, *numbers, teacher)), strict=True))


def table(rows: list[Row], methods: list[str]) -> str:
    """Return the means and the differences to the first method, paired by fold, as Markdown."""
    lines = ["| method | teacher | student | difference |", "|---|---|---|---|"]
    scores = {
        method: {
            (row["fold"], row["seed"]): 100 * float(row["test"])
            for row in rows
            if row["method"] == method
        }
        for method in methods
    }
    for method in methods:
        mine, first = scores[method], scores[methods[0]]
        own = [row for row in rows if row["method"] == method and row["teacher"]]
        teachers = [100 * float(row["teacher"]) for row in own]
        gains = [mine[key] - first[key] for key in mine]
        spread = f" ± {stdev(gains) / len(gains) ** 0.5:.1f}" if len(gains) > 1 else ""
        gain = "" if method == methods[0] else f"{fmean(gains):+.1f}{spread}"
        teacher = f"{fmean(teachers):.1f}" if teachers else ""
        lines.append(f"| {method} | {teacher} | {fmean(mine.values()):.1f} | {gain} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is not done yet; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True, help="CSV file, kept and added to")
    parser.add_argument("--methods", nargs="+", default=["none", "kd", "amid"])
    parser.add_argument("--folds", type=int, default=6, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    options, overrides = parser.parse_known_args()
    os.environ["WANDB_MODE"] = "disabled"
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    import torch

    torch.set_num_threads(1)
    rows: list[Row] = []
    if options.results.exists():
        with options.results.open() as file:
            rows = list(csv.DictReader(file))
    done = {(row["method"], row["fold"], row["seed"]) for row in rows}
    for fold in range(options.folds):
        for method in options.methods:
            if (method, str(fold), str(options.seed)) in done:
                continue
            rows.append(fit(options.config, method, fold, options.seed, overrides))
            with options.results.open("w", newline="") as file:
                writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    print(table(rows, options.methods))


if __name__ == "__main__":
    main()
