"""Which runs a comparison has, and what each of them is."""

import hashlib
import json
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cmkd import __version__
from cmkd.compare.config import Comparison
from cmkd.compare.overrides import as_arguments, merged, with_whole_stages
from cmkd.compare.search import Setting
from cmkd.nearest import unknown


@dataclass(frozen=True)
class Place:
    """Where runs stand that differ by seed alone: what settings are chosen for."""

    group: str
    method: str
    fold: str

    @property
    def name(self) -> str:
        """Return the place's name for people."""
        fold = f"fold {self.fold}" if self.fold else ""
        return ", ".join(filter(None, (self.group, self.method, fold)))


@dataclass(frozen=True)
class Run:
    """One training, and the test of its best student unless it is a trial of the tuning.

    Attributes:
        group: name of its setting.
        method: name of its method.
        fold: name of its fold, "" where there are none.
        seed: of weights, order and noise.
        configs: config files.
        overrides: values by dotted key; they win over the files.
        setting: those of the overrides that were chosen, or are tried.
        tested: whether the test data is looked at.
        key: fingerprint of all that determines the outcome; names do not.
    """

    group: str
    method: str
    fold: str
    seed: int
    configs: tuple[str, ...]
    overrides: Mapping[str, Any]
    setting: Setting
    tested: bool
    key: str

    @property
    def data_place(self) -> tuple[str, str, int]:
        """Return what the run's data depends on, unless its method or setting changes that."""
        return self.group, self.fold, self.seed

    @property
    def name(self) -> str:
        """Return the run's name for people."""
        name = f"{Place(self.group, self.method, self.fold).name}, seed {self.seed}"
        tried = [f"{key.split('.')[-1]}={value}" for key, value in self.setting.items()]
        return name if self.tested else ", ".join([name, *tried])

    @property
    def settings(self) -> list[str]:
        """Return the arguments of ``cmkd fit`` but for the seed."""
        configs = [word for path in self.configs for word in ("--config", path)]
        return [*configs, *as_arguments(self.overrides)]

    def arguments(self) -> list[str]:
        """Return the arguments of ``cmkd fit`` that repeat the training."""
        return [*self.settings, f"--seed_everything={self.seed}"]

    def command(self) -> str:
        """Return the command line that repeats the training and keeps its checkpoints."""
        return shlex.join(["cmkd", "fit", *self.arguments()])


@dataclass(frozen=True)
class Selection:
    """What of a comparison is to be run; None is everything.

    Attributes:
        groups: names.
        methods: names.
        folds: names.
        seeds: those of the runs.
        overrides: of every run, by dotted key; they win over those of the file.
    """

    groups: Collection[str] | None = None
    methods: Collection[str] | None = None
    folds: Collection[str] | None = None
    seeds: Sequence[int] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def check(self, comparison: Comparison) -> None:
        """Raise a ValueError for a name that the comparison does not have."""
        folds = {fold for group in comparison.groups.values() for fold in group.folds}
        for what, names, known in (
            ("group", self.groups, comparison.groups),
            ("method", self.methods, comparison.methods),
            ("fold", self.folds, folds),
        ):
            for name in names or ():
                if name not in known:
                    raise ValueError(f"--{what}s: {unknown(what, name, sorted(known))}")


class Plan:
    """Makes the runs of a comparison.

    Args:
        comparison: what the YAML says.
        selection: what of it is wanted.

    Raises:
        ValueError: for a name in the selection that the comparison does not have.
    """

    def __init__(self, comparison: Comparison, selection: Selection) -> None:
        selection.check(comparison)
        self.comparison = comparison
        self.selection = selection
        self._contents: dict[str, Any] = {}

    def places(self, method: str | None = None) -> list[Place]:
        """Return where runs are wanted; of one method, wanted or not, if it is named.

        Method by method, so that the runs that train a teacher come before those that share it.
        """
        wanted = self.selection
        return [
            Place(group, name, fold)
            for group, content in self.comparison.groups.items()
            if wanted.groups is None or group in wanted.groups
            for name in self.comparison.methods
            if (name == method if method else wanted.methods is None or name in wanted.methods)
            for fold in content.folds
            if wanted.folds is None or fold in wanted.folds
        ]

    def runs(
        self,
        places: Sequence[Place] | None = None,
        setting: Callable[[Place], Setting] = lambda _: {},
    ) -> list[Run]:
        """Return the runs that the table is made of.

        Args:
            places: by default all that are wanted.
            setting: gives the overrides that were chosen for a place.
        """
        seeds = self.selection.seeds or self.comparison.seeds
        places = self.places() if places is None else places
        return [self.run(place, setting(place), seed, True) for place in places for seed in seeds]

    def run(self, place: Place, setting: Setting, seed: int, tested: bool) -> Run:
        """Return one run."""
        group = self.comparison.groups[place.group]
        variants = (self.comparison.base, group.variant, self.comparison.methods[place.method])
        configs = tuple(path for variant in variants for path in variant.configs)
        contents = [self._content(path) for path in configs]
        layers = [variant.overrides for variant in variants]
        layers += [group.folds[place.fold], setting, self.selection.overrides]
        try:
            overrides = with_whole_stages(merged(layers), contents)
        except ValueError as error:
            raise ValueError(f"{place.name}: {error}") from error
        key = fingerprint([__version__, contents, list(overrides.items()), seed, tested])
        return Run(
            group=place.group,
            method=place.method,
            fold=place.fold,
            seed=seed,
            configs=configs,
            overrides=overrides,
            setting=setting,
            tested=tested,
            key=key,
        )

    def _content(self, path: str) -> Any:
        if path not in self._contents:
            try:
                content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            except yaml.YAMLError as error:
                raise ValueError(f"{path} is not YAML: {error}") from error
            self._contents[path] = content
        return self._contents[path]


def fingerprint(content: Any) -> str:
    """Return 12 hexadecimal digits that stand for plain data."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
