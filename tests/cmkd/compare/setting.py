"""A small comparison for the tests: fake data, two folds, methods of experiments/."""

import csv
from pathlib import Path

import yaml

from cmkd.compare.command import main
from cmkd.compare.config import read_comparison
from cmkd.compare.plan import Place, Plan, Selection

TINY = Path(__file__).parents[1] / "tiny.yaml"
METHODS = Path(__file__).parents[3] / "experiments" / "methods"


def content(*methods: str, **changes) -> dict:
    """Return the content of a comparison's YAML; a change to None takes a key out."""
    whole = {
        "configs": str(TINY),
        "overrides": {"data.init_args.auxiliary_at_test": True, "model.teacher_epochs": 2},
        "folds": {"values": [24, 40], "overrides": {"data.init_args.samples": "{fold}"}},
        "methods": {name: str(METHODS / f"{name}.yaml") for name in methods or ("none", "kd")},
        "metrics": {"accuracy": 100},
        "threads": 1,
    } | changes
    return {key: value for key, value in whole.items() if value is not None}


def write(folder: Path, *methods: str, **changes) -> Path:
    """Write a comparison's YAML."""
    path = folder / "compare.yaml"
    path.write_text(yaml.safe_dump(content(*methods, **changes), sort_keys=False))
    return path


def make_plan(folder: Path, *methods: str, selection: Selection | None = None, **changes) -> Plan:
    return Plan(read_comparison(write(folder, *methods, **changes)), selection or Selection())


def make_run(folder: Path, method: str = "kd", *, seed: int = 0, tested: bool = True, **overrides):
    """Return one run of the small comparison; overrides have ``__`` for the dot."""
    setting = {key.replace("__", "."): value for key, value in overrides.items()}
    plan = make_plan(folder, method)
    return plan.run(Place("", method, "24"), setting, seed, tested)


SEARCH = {
    "budget": 2,
    "grids": {
        "none": {"model.task.init_args.label_smoothing": [0.0, 0.1]},
        "kd": {"model.student_terms.kd.weight": [0.5, 2.0]},
    },
}


def compare(folder, *more, path=None, **changes):
    """Run the command on the small comparison; return its folder of results."""
    path = path or write(folder, **changes)
    main(["--config", str(path), "--out", str(folder / "out"), *more])
    return folder / "out"


def records(out):
    return {path.stem: path.stat().st_mtime_ns for path in (out / "runs").glob("*.json")}


def rows(out, name="results.csv"):
    with (out / name).open() as file:
        return list(csv.DictReader(file))
