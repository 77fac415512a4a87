"""The whole evidence of the README, one step after the other.

    python experiments/evidence/run.py              # two hours on 2 cores
    python experiments/evidence/run.py --quick      # 6 minutes: shows that it works

Every step is a command that can be given by itself; ``--list`` prints them. A step that is finished
is not done again, and one that was interrupted goes on where it stopped. The results of the quick
run go to runs/evidence/quick, those of the whole to experiments/results.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
QUICK = Path("runs/evidence/quick")
#: The forms of H(T|S) in the quick run.
FORMS = ("--methods", "none", "adversarial embedding 0.3", "gaussian 0.3", "categorical tau 4 0.3")
#: The clips' training in the quick run.
SHORT = ("--methods", "none", "amid", "--model.teacher_epochs", "1", "--trainer.max_epochs", "2")


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: for people.
        words: the command.
        quick: what the quick run adds to it.
        reads: whether it is made of what other steps leave, and is due again after any of them.
    """

    name: str
    words: tuple[str, ...]
    quick: tuple[str, ...] = ()
    reads: bool = False

    def command(self, quick: bool) -> list[str]:
        """Return the words of the command."""
        return [*self.words, *(self.quick if quick else ())]


@dataclass(frozen=True)
class Spent:
    """What a step has taken so far, failed attempts included.

    Attributes:
        seconds: wall time.
        finished: whether it has come to its end.
    """

    seconds: float = 0.0
    finished: bool = False


def script(name: str, *quick: str, reads: bool = False) -> Step:
    """Return the step that runs a script of this folder."""
    path = str((HERE / f"{name}.py").relative_to(ROOT))
    return Step(name, ("python", path), (*quick, "--out", str(QUICK)), reads)


def reading(name: str, *quick: str) -> Step:
    """Return the step whose script reads the comparisons' runs."""
    return script(name, "--runs", str(QUICK), *quick, reads=True)


def comparison(config: str, *quick: str, tune: bool = True) -> Step:
    """Return the step that compares methods; the quick one takes one seed and few methods."""
    path = Path("experiments") / config
    name = "-".join(Path(config).with_suffix("").parts)
    words = ("cmkd", "compare", "--config", str(path), *(("--tune",) if tune else ()))
    few = ("--methods", "none", "kd", "infonce", "gaussian", "amid") if tune else ()
    return Step(name, words, (*few, *quick, "--out", str(QUICK / name)))


def steps() -> list[Step]:
    """Return the steps in their order."""
    one = ("--seeds", "0")
    fold = (*one, "--folds", "0")
    return [
        comparison("ravdess/compare.yaml", *fold),
        comparison("ucf51/compare.yaml", *fold),
        comparison("mosi/compare.yaml", *one),
        comparison("spoken_digits/compare.yaml", *fold),
        comparison("avmnist/compare.yaml", *fold),
        comparison("quickstart/compare.yaml", "--seeds", "0", *SHORT, tune=False),
        reading("comparison"),
        script("gaussians", "--quick"),
        comparison("evidence/weak_teacher_world.yaml", "--folds", "0", "1", tune=False),
        comparison("evidence/weak_teacher_ravdess.yaml", *fold, tune=False),
        reading("weak_teacher"),
        comparison("evidence/h_ts.yaml", "--folds", "0", *FORMS, tune=False),
        comparison("evidence/h_ts_speech.yaml", "--folds", "0", *FORMS, tune=False),
        reading("h_ts"),
        reading("h_ts_diagnosis", "--folds", "0", *FORMS),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one fold, one seed and few methods of everything")
    add("--jobs", type=int, default=2, help="runs at once (2)")
    add("--list", action="store_true", help="print the commands and do nothing")
    add("--again", action="store_true", help="do also what is finished; finished runs are kept")
    options = parser.parse_args(arguments)
    everything = {shlex.join(_words(step, options)): step for step in steps()}
    if options.list:
        print("\n".join(everything))
        return
    record = Path("runs/evidence") / ("quick.json" if options.quick else "full.json")
    kept: dict[str, dict[str, Any]] = {}
    if record.is_file() and not options.again:
        kept = json.loads(record.read_text(encoding="utf-8"))
    # Times of commands that have changed since are dropped.
    spent = {command: Spent(**kept[command]) for command in everything if command in kept}
    something_new = False
    for command, step in everything.items():
        before = spent.get(command, Spent())
        if before.finished and not (step.reads and something_new):
            continue
        something_new = True
        print(f"\n{command}", flush=True)
        begun = time.perf_counter()
        finished = subprocess.call(_here(shlex.split(command)), cwd=ROOT) == 0  # noqa: S603 - they stand above
        seconds = before.seconds + time.perf_counter() - begun
        spent[command] = Spent(round(seconds, 3), finished)
        record.parent.mkdir(parents=True, exist_ok=True)
        content = {command: asdict(entry) for command, entry in spent.items()}
        record.write_text(json.dumps(content, indent=1), encoding="utf-8")
    _report(spent)
    if not all(entry.finished for entry in spent.values()):
        raise SystemExit(1)


def _words(step: Step, options: argparse.Namespace) -> list[str]:
    """Return a step's command with the options that it takes."""
    jobs = ["--jobs", str(options.jobs)] if step.words[0] == "cmkd" else []
    return [*step.command(options.quick), *jobs]


def _here(words: Sequence[str]) -> list[str]:
    """Return the command with this interpreter, whatever is on the path."""
    first = {"python": [sys.executable], "cmkd": [sys.executable, "-m", "cmkd"]}[words[0]]
    return [*first, *words[1:]]


def _report(spent: Mapping[str, Spent]) -> None:
    table = Table(title=f"{sum(entry.seconds for entry in spent.values()) / 60:.0f} minutes")
    table.add_column("command", overflow="fold")
    table.add_column("seconds", justify="right")
    for command, entry in spent.items():
        table.add_row(command, f"{entry.seconds:.0f}" + ("" if entry.finished else ", failed"))
    Console(markup=False).print(table)


if __name__ == "__main__":
    main()
