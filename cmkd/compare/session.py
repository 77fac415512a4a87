"""A comparison from the plan to the table."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cmkd.compare.choice import Choices
from cmkd.compare.display import Display
from cmkd.compare.executors import Executor, Finished, OneByOne, SeveralAtOnce, Started
from cmkd.compare.plan import Plan, Run
from cmkd.compare.results import Outcome, compare, missing, outcomes, write_results
from cmkd.compare.store import Store, write_whole
from cmkd.compare.tables import ResultTable
from cmkd.compare.tune import Trials, Tuning, choose, write_trials
from cmkd.compare.worker import Worker, cause_of


class Session:
    """Does what one command line asks for.

    Args:
        plan: which runs there are.
        folder: of results.
        worker: does one run.
        jobs: runs at once.
        tune: choose settings first.
        tuned: file of settings that were chosen earlier.
        command: the command line, for lists of jobs and the files it writes.
        console: where to print.

    Attributes:
        failures: the runs that failed.

    Raises:
        ValueError: for ``tune`` where the comparison does not say what to search, or a file that
            holds no settings.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        worker: Worker,
        jobs: int,
        tune: bool,
        tuned: Path | None,
        command: str,
        console: Console,
    ) -> None:
        self.failures: list[Finished] = []
        self._plan = plan
        self._store = Store(folder)
        self._executor: Executor = SeveralAtOnce(worker, jobs) if jobs > 1 else OneByOne(worker)
        self._command = command
        self._console = console
        self._display = Display(console)
        self._given = None if tuned is None else Choices.read(tuned)
        self._tuning: Tuning | None = None
        if tune:
            search = plan.comparison.search
            if search is None:
                raise ValueError(f"--tune: {plan.comparison.path} has no `tune` that says what")
            self._tuning = Tuning(plan, search)

    def run_all(self, again: bool) -> None:
        """Do what is not finished, then write and print the tables.

        Args:
            again: do also what is finished.
        """
        with closing(self._executor):
            runs = self._all(again)
        self._report(runs)

    def list_commands(self) -> None:
        """Print a command line for each run that can be done now.

        With ``tune`` these are trials until all of them are finished.
        """
        runs = next((r for r in self._phases() if self._open(r)), [])
        for run in self._open(runs):
            # Not through rich, which would break the lines.
            print(f"{self._command} --only {run.key}")

    def run_only(self, keys: Sequence[str], again: bool) -> None:
        """Do some runs and print what came out; the tables are left to ``run_all``.

        Args:
            keys: of the runs.
            again: do them also where they are finished.

        Raises:
            ValueError: for a key that no run has.
        """
        known = {run.key: run for runs in self._phases() for run in runs}
        if absent := [key for key in keys if key not in known]:
            raise ValueError(
                f"--only: no run has the key {', '.join(absent)}: the configs or the library have "
                "changed since it was made, or a trial it builds on is not finished"
            )
        runs = [known[key] for key in keys]
        with closing(self._executor):
            self._do(runs, "runs", again)
        for run, record in outcomes(runs, self._store):
            if record is not None:
                scores = ", ".join(f"{name} {value:.4f}" for name, value in record.test.items())
                self._console.print(f"{run.name}: val {record.val:.4f} {scores}", soft_wrap=True)
        self._print_failures()

    def _phases(self) -> list[list[Run]]:
        """Return the runs of each phase as far as the phase before allows to know them."""
        if self._tuning is None:
            return [self._runs(self._given)]
        shared = self._tuning.shared()
        own = self._tuning.own(choose(shared, self._store).by_place)
        return [_runs_of(shared), _runs_of(own), self._runs(choose(own, self._store))]

    def _runs(self, choices: Choices | None) -> list[Run]:
        if choices is None:
            return self._plan.runs()
        places = self._plan.places()
        if self._tuning is not None:
            # Nothing is chosen yet where a trial is not finished.
            places = [place for place in places if place in choices.by_place]
        return self._plan.runs(places, choices.setting)

    def _all(self, again: bool) -> list[Run]:
        """Tune if asked to, do the runs that the table is made of, and return them."""
        choices = self._given
        if self._tuning is not None:
            choices = self._tune(self._tuning, again)
            for place in self._plan.places():
                if place not in choices.by_place:
                    self._console.print(f"{place.name}: not run, because a trial of it failed")
        runs = self._runs(choices)
        self._do(runs, "runs", again)
        return runs

    def _tune(self, tuning: Tuning, again: bool) -> Choices:
        shared = tuning.shared()
        self._do(_runs_of(shared), "trials of shared settings", again)
        common = choose(shared, self._store)
        own = tuning.own(common.by_place)
        self._do(_runs_of(own), "trials", again)
        choices = choose(own, self._store)
        choices.write(self._store.folder / "tuned.yaml", self._command)
        phases = {"shared": shared, "own": own}
        write_trials(self._store.folder / "trials.csv", phases, self._store)
        return choices

    def _open(self, runs: Sequence[Run]) -> list[Run]:
        """Return the runs that are not finished, those of equal keys once."""
        by_key = {run.key: run for run in runs}
        return [run for key, run in by_key.items() if self._store.record(key) is None]

    def _do(self, runs: Sequence[Run], title: str, again: bool) -> None:
        if again:
            for run in runs:
                self._store.forget(run.key)
        waiting = self._open(runs)
        _check(waiting)
        events = self._executor.do(waiting)
        total = len({run.key for run in runs})
        with closing(events), self._display.over(title, total, total - len(waiting)):
            for event in events:
                if isinstance(event, Started):
                    self._display.start(event.run)
                    continue
                self._display.finish(event.run, event.failure)
                if event.failure is not None:
                    self.failures.append(event)

    def _report(self, runs: Sequence[Run]) -> None:
        comparison, folder = self._plan.comparison, self._store.folder
        finished = outcomes(runs, self._store)
        if any(record is not None for _, record in finished):
            write_results(folder / "results.csv", finished, list(comparison.metrics))
            texts = [f"`{self._command}`\n"]
            for table in self._tables(finished):
                self._console.print(table.rich())
                texts.append(table.markdown())
            notes = missing(finished, comparison.baseline)
            texts.extend(f"* {note}\n" for note in notes)
            for note in notes:
                self._console.print(note, soft_wrap=True)
            write_whole(folder / "table.md", "\n".join(texts))
            self._console.print(f"results: {folder}", soft_wrap=True)
        self._print_failures()

    def _tables(self, finished: Sequence[Outcome]) -> Iterator[ResultTable]:
        comparison = self._plan.comparison
        for metric, factor in comparison.metrics.items():
            lines = compare(finished, metric, comparison.baseline)
            unit = " in %" if factor == 100 else ""
            for group in dict.fromkeys(line.group for line in lines):
                title = f"{group}: test {metric}{unit}" if group else f"test {metric}{unit}"
                of_group = [line for line in lines if line.group == group]
                yield ResultTable(title, of_group, comparison.baseline, factor)

    def _print_failures(self) -> None:
        if not self.failures:
            return
        table = Table(title=f"{len(self.failures)} failed runs; the same command tries them again")
        for column in ("run", "reason", "log"):
            table.add_column(column, overflow="fold")
        for failed in self.failures:
            log = str(self._store.log(failed.run.key))
            table.add_row(failed.run.name, failed.failure, log)
        self._console.print(table)


def _runs_of(trials: Sequence[Trials]) -> list[Run]:
    return [run for some in trials for run in some.all_runs()]


def _check(runs: Sequence[Run]) -> None:
    """Parse each combination of configs and keys once: a typo stops a comparison, not each run."""
    from cmkd.compare.parser import parse_run

    different = {(run.configs, tuple(run.overrides)): run for run in runs}
    for run in different.values():
        try:
            parse_run(run)
        except (ValueError, OSError) as error:
            raise ValueError(f"{run.name}: {cause_of(error)}") from error
