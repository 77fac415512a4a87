"""The whole evidence of the README, one step after the other.

    python experiments/evidence/run.py              # two to three hours on 2 cores
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """

    name: str
    words: tuple[str, ...]
    quick: tuple[str, ...] = ()

    def command(self, quick: bool) -> list[str]:
        """Return the words of the command."""
        return [*self.words, *(self.quick if quick else ())]


def script(name: str, *quick: str) -> Step:
    """Return the step that runs a script of this folder."""
    path = str((HERE / f"{name}.py").relative_to(ROOT))
    return Step(name, ("python", path), (*quick, "--out", str(QUICK)))


def comparison(config: str, *quick: str, tune: bool = True) -> Step:
    """Return the step that compares methods; the quick one takes one seed and few methods."""
    path = Path("experiments") / config
    name = "-".join(Path(config).with_suffix("").parts)
    words = ("cmkd", "compare", "--config", str(path), *(("--tune",) if tune else ()))
    few = ("--methods", "none", "kd", "infonce", "gaussian", "amid") if tune else ()
    return Step(name, words, (*few, *quick, "--out", str(QUICK / name)))


def steps() -> list[Step]:
    """Return the steps in their order."""
    runs = ("--runs", str(QUICK))
    one = ("--seeds", "0")
    fold = (*one, "--folds", "0")
    return [
        comparison("ravdess/compare.yaml", *fold),
        comparison("ucf51/compare.yaml", *fold),
        comparison("mosi/compare.yaml", *one),
        comparison("spoken_digits/compare.yaml", *fold),
        comparison("avmnist/compare.yaml", *fold),
        comparison("quickstart/compare.yaml", "--seeds", "0", *SHORT, tune=False),
        script("comparison", *runs),
        script("gaussians", "--quick"),
        comparison("evidence/weak_teacher_world.yaml", "--folds", "0", "1", tune=False),
        comparison("evidence/weak_teacher_ravdess.yaml", *fold, tune=False),
        script("weak_teacher", *runs),
        comparison("evidence/h_ts.yaml", "--folds", "0", *FORMS, tune=False),
        comparison("evidence/h_ts_speech.yaml", "--folds", "0", *FORMS, tune=False),
        script("h_ts", *runs),
        script("h_ts_diagnosis", *runs, "--folds", "0", *FORMS),
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
    record = Path("runs/evidence") / ("quick.json" if options.quick else "full.json")
    done: dict[str, float] = {}
    if record.is_file() and not options.again:
        done = json.loads(record.read_text(encoding="utf-8"))
    failed = []
    for step in steps():
        words = step.command(options.quick)
        if words[0] == "cmkd":
            words += ["--jobs", str(options.jobs)]
        if options.list:
            print(shlex.join(words))
            continue
        command = shlex.join(words)
        if command in done:
            continue
        print(f"\n{command}", flush=True)
        begun = time.perf_counter()
        if subprocess.call(_here(words), cwd=ROOT) != 0:  # noqa: S603 - the commands stand above
            failed.append(command)
            continue
        done[command] = round(time.perf_counter() - begun, 1)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(done, indent=1), encoding="utf-8")
    if not options.list:
        _report(done, failed)
    if failed:
        raise SystemExit(1)


def _here(words: Sequence[str]) -> list[str]:
    """Return the command with this interpreter, whatever is on the path."""
    first = {"python": [sys.executable], "cmkd": [sys.executable, "-m", "cmkd"]}[words[0]]
    return [*first, *words[1:]]


def _report(done: dict[str, float], failed: Sequence[str]) -> None:
    table = Table(title=f"{sum(done.values()) / 60:.0f} minutes")
    table.add_column("command", overflow="fold")
    table.add_column("seconds", justify="right")
    for command, seconds in done.items():
        table.add_row(command, f"{seconds:.0f}")
    for command in failed:
        table.add_row(command, "failed")
    Console(markup=False).print(table)


if __name__ == "__main__":
    main()
