"""``--tune``: each method's trials, on validation parts cut from training alone.

A trial is a training whose test data is never built. Settings are chosen for each group, method
and fold by themselves: the validation parts of other folds hold this one's test samples.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from cmkd.compare.choice import Choice, Choices, best
from cmkd.compare.plan import Place, Plan, Run
from cmkd.compare.search import Search, Setting
from cmkd.compare.store import Store, write_csv

_COLUMNS = ("phase", "group", "method", "fold", "seed", "setting", "val", "seconds", "key")


@dataclass(frozen=True)
class Trials:
    """The trials of one place: a run for each setting and seed.

    Attributes:
        place: what is chosen for.
        settings: what is tried.
        runs: of each setting, one a seed.
    """

    place: Place
    settings: Sequence[Setting]
    runs: Sequence[Sequence[Run]]

    def all_runs(self) -> list[Run]:
        """Return every run."""
        return [run for runs in self.runs for run in runs]

    def choose(self, store: Store) -> Choice | None:
        """Return the best setting, None where a run is not finished."""
        records = [[store.record(run.key) for run in runs] for runs in self.runs]
        scores = [[record.val for record in of if record is not None] for of in records]
        if any(len(found) < len(runs) for found, runs in zip(scores, self.runs, strict=True)):
            return None
        mode = next(record.mode for record in records[0] if record is not None)
        return best(self.settings, [fmean(of) for of in scores], mode)


class Tuning:
    """The trials of a comparison in their two phases: what all share, then each method's own.

    Args:
        plan: the comparison.
        search: what is searched.
    """

    def __init__(self, plan: Plan, search: Search) -> None:
        self._plan = plan
        self._search = search

    def shared(self) -> list[Trials]:
        """Return the trials of the settings that all methods share."""
        if not self._search.shared:
            return []
        wanted = {(place.group, place.fold) for place in self._plan.places()}
        places = self._plan.places(self._search.shared_method)
        return [
            self._trials(place, self._search.shared)
            for place in places
            if (place.group, place.fold) in wanted
        ]

    def own(self, shared: Mapping[Place, Choice]) -> list[Trials]:
        """Return each method's trials where the shared settings are chosen."""
        found = {(place.group, place.fold): choice.setting for place, choice in shared.items()}
        trials = []
        for place in self._plan.places():
            base = found.get((place.group, place.fold)) if self._search.shared else {}
            if base is not None:
                settings = [{**base, **own} for own in self._search.trials[place.method]]
                trials.append(self._trials(place, settings))
        return trials

    def _trials(self, place: Place, settings: Sequence[Setting]) -> Trials:
        runs = [
            [self._plan.run(place, setting, seed, tested=False) for seed in self._search.seeds]
            for setting in settings
        ]
        return Trials(place, settings, runs)


def choose(trials: Sequence[Trials], store: Store) -> Choices:
    """Return the choices of those places whose trials are all finished."""
    made = {some.place: some.choose(store) for some in trials}
    return Choices({place: choice for place, choice in made.items() if choice is not None})


def write_trials(path: Path, phases: Mapping[str, Sequence[Trials]], store: Store) -> None:
    """Write a CSV file with a row a trial run that is finished."""
    rows = [
        {
            "phase": phase,
            "group": run.group,
            "method": run.method,
            "fold": run.fold,
            "seed": run.seed,
            "setting": json.dumps(dict(setting)),
            "val": record.val,
            "seconds": record.seconds,
            "key": run.key,
        }
        for phase, trials in phases.items()
        for some in trials
        for setting, runs in zip(some.settings, some.runs, strict=True)
        for run in runs
        if (record := store.record(run.key)) is not None
    ]
    write_csv(path, _COLUMNS, rows)
