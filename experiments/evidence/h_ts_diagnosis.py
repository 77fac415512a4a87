"""Why an H(T|S) term adds what it adds: discriminator, reconstructor and student, looked into.

    cmkd compare --config experiments/evidence/h_ts.yaml --jobs 2
    cmkd compare --config experiments/evidence/h_ts_speech.yaml --jobs 2
    python experiments/evidence/h_ts_diagnosis.py

trains the students of some methods once more, with the comparisons' teachers and exactly as there,
and measures at the end of their training, on training and validation samples; test samples are not
read. What is measured is kept and not measured again; h_ts_diagnosis.csv is written. The columns:

* D train, D val: accuracy of the discriminator over real and reconstructed pairs. Near 1 it is
  sure, near 0.5 it cannot tell the reconstruction.
* G train, G val: R^2 of the term's reconstruction, noise included.
* ridge val: R^2 of the teacher's embedding, each row standardised, predicted linearly from the
  student's (fitted on training samples). What the student's embedding holds of the teacher's.
* H train, H val: the Gaussian probe's bound on H(T|S), nats a dimension. The line "prior" has the
  bound of a Gaussian that knows nothing of S: H(T).
* accuracy: the student's, on validation.
"""

import argparse
import csv
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn.functional import layer_norm
from torch.utils.data import DataLoader

from cmkd import CrossModalDistillation
from cmkd.callbacks.ridge import Ridge, r_squared
from cmkd.compare.config import read_comparison
from cmkd.compare.parser import build, parse_run
from cmkd.compare.plan import Plan, Run, Selection
from cmkd.compare.store import Store, write_csv
from cmkd.compare.teacher import shared_teacher
from cmkd.compare.worker import leave_out_greetings
from cmkd.objectives import (
    AdversarialConditionalEntropy,
    Objective,
    Probe,
    gaussian_conditional_entropy,
)
from cmkd.representation import Representation
from datamodules.base import CrossModalDataModule, Split

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMPARISONS = ("h_ts", "h_ts_speech")
METHODS = (
    "none",
    "adversarial embedding 0.1",
    "adversarial embedding 0.3",
    "adversarial embedding 1",
    "adversarial logits 0.3",
    "adversarial both 0.3",
    "hinge 0.3",
    "noise 0.3",
    "spectral norm 0.3",
    "hinge spectral norm 0.3",
    "running 0.3",
    "unstandardised 0.3",
    "conditional 0.3",
    "penalty 0.3",
    "deterministic 0.3",
    "wasserstein 0.3",
    "gaussian 0.3",
    "gaussian 1",
    "categorical tau 4 0.3",
    "categorical tau 4 1",
    "all three 0.3",
)
ROLES = ("student", "teacher")


@dataclass(frozen=True)
class Diagnosis:
    """What is measured of one run; the module's docstring describes it. None: has no such thing."""

    key: str
    group: str
    method: str
    fold: str
    d_train: float | None
    d_val: float | None
    g_train: float | None
    g_val: float | None
    ridge_val: float
    h_train: float
    h_val: float
    prior: float
    accuracy: float


def diagnose(run: Run, store: Store) -> Diagnosis:
    """Train a run's student again and look into it.

    Raises:
        ValueError: when the comparison has not trained its teacher.
    """
    parsed = parse_run(run)
    teacher = shared_teacher(build(parsed))
    if teacher is None or not store.teacher(teacher.key).is_file():
        raise ValueError(
            f"{store.folder} has no teacher for '{run.name}': run its `cmkd compare` (--again "
            "if its code has changed since), or name its folder's folder with --runs"
        )
    # The probe draws nothing and pulls nothing: the student is the same as without it.
    built = build(
        parsed,
        model__teacher_checkpoint=str(store.teacher(teacher.key)),
        model__entropy_probe=True,
    )
    bare = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(**built.trainer | bare | {"num_sanity_val_steps": 0, "devices": 1})
    trainer.fit(built.model, datamodule=built.data)
    if not isinstance(built.data, CrossModalDataModule):
        raise TypeError(f"{type(built.data).__name__} is no CrossModalDataModule")
    model = built.model.eval()
    train, val = represent(model, built.data, "train"), represent(model, built.data, "val")
    objectives = model.stage.terms.by_name()
    probe = objectives.pop("entropy")
    assert isinstance(probe, Probe)  # noqa: S101 - for the type checker
    width = val.by_role["teacher"].embedding.shape[1]
    d_train, g_train = game(objectives.values(), train.by_role)
    d_val, g_val = game(objectives.values(), val.by_role)
    h_train, h_val = (
        float(probe.inner(part.by_role, {}).logs["nats"]) / width for part in (train, val)
    )
    guessed = val.by_role["student"].logits.argmax(dim=1)
    return Diagnosis(
        key=run.key,
        group=run.group,
        method=run.method,
        fold=run.fold,
        d_train=d_train,
        d_val=d_val,
        g_train=g_train,
        g_val=g_val,
        ridge_val=linear(train.by_role, val.by_role),
        h_train=h_train,
        h_val=h_val,
        prior=prior(train.by_role["teacher"].embedding, val.by_role["teacher"].embedding),
        accuracy=100 * float((guessed == val.label).double().mean()),
    )


@dataclass(frozen=True)
class Part:
    """A split's rows: label (N,) and representations by role, without hidden layers."""

    label: Tensor
    by_role: dict[str, Representation]


@torch.no_grad()
def represent(model: CrossModalDistillation, data: CrossModalDataModule, split: Split) -> Part:
    """Return what student and teacher make of a split, in its order."""
    dataset: Any = data.dataset(split)
    labels: list[Tensor] = []
    found: dict[str, list[Representation]] = {role: [] for role in ROLES}
    for batch in DataLoader(dataset, batch_size=256, collate_fn=data.collate_fn):
        labels.append(batch["label"])
        for role in ROLES:
            found[role].append(model.network(role)(batch))
    joined = {
        role: Representation(
            embedding=torch.cat([part.embedding for part in parts]),
            logits=torch.cat([part.logits for part in parts]),
            hidden={},
            valid=torch.cat([part.valid for part in parts]),
        )
        for role, parts in found.items()
    }
    return Part(torch.cat(labels), joined)


def game(
    objectives: Iterable[Objective], by_role: dict[str, Representation]
) -> tuple[float | None, float | None]:
    """Return the discriminator's accuracy and the reconstruction's R^2; None without a game."""
    for objective in objectives:
        if isinstance(objective, AdversarialConditionalEntropy):
            _, target, reconstructed, _ = objective.reconstruct(by_role)
            accuracy = objective(by_role, {}).logs["accuracy"]
            return float(accuracy), r_squared(reconstructed.detach(), target)
    return None, None


def linear(train: dict[str, Representation], val: dict[str, Representation]) -> float:
    """Return the R^2 of the teacher's standardised embedding by a ridge on the student's."""
    fitted, wanted = (
        layer_norm(part["teacher"].embedding, part["teacher"].embedding.shape[1:])
        for part in (train, val)
    )
    ridge = Ridge.fit(train["student"].embedding, fitted)
    return r_squared(ridge.predict(val["student"].embedding), wanted.double())


def prior(train: Tensor, val: Tensor) -> float:
    """Return the bound on H(T), nats a dimension, of a diagonal Gaussian fitted to train."""
    mean = train.mean(dim=0).expand_as(val)
    # No narrower than the probe allows itself to be.
    log_variance = train.var(dim=0).log().clamp(min=-8).expand_as(val)
    return float(gaussian_conditional_entropy(val, mean, log_variance).mean()) / val.shape[1]


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
