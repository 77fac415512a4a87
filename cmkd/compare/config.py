"""What a comparison compares: the YAML of ``cmkd compare``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmkd.compare.folds import no_folds, read_folds
from cmkd.compare.include import read_with_included
from cmkd.compare.reading import check_keys, integers, mapping
from cmkd.compare.search import Search, read_search
from cmkd.nearest import unknown

_KEYS = (
    "configs",
    "overrides",
    "groups",
    "folds",
    "seeds",
    "methods",
    "baseline",
    "metrics",
    "share_teacher",
    "threads",
    "tune",
)


@dataclass(frozen=True)
class Variant:
    """Config files, and overrides by dotted key, that go together.

    Attributes:
        configs: paths as ``cmkd fit --config`` takes them, in their order.
        overrides: value by key, for example ``{"model.teacher_epochs": 20}``.
    """

    configs: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """A setting in which all methods are compared: a direction, a data set.

    Attributes:
        variant: what makes the setting.
        folds: overrides of each fold, by its name.
    """

    variant: Variant
    folds: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """The YAML of a comparison; the command's help describes it.

    Attributes:
        path: the file.
        base: what all runs have in common.
        groups: the settings by name; one, called "", where the file names none.
        methods: by name.
        baseline: the method that the others are compared with.
        metrics: test metrics by name, with the factor that the table shows them with.
        seeds: seeds of the runs, where the command line names none.
        share_teacher: train equal teacher stages once.
        threads: of torch in each process; None divides the cores among the processes.
        search: what ``--tune`` searches.
    """

    path: Path
    base: Variant
    groups: Mapping[str, Group]
    methods: Mapping[str, Variant]
    baseline: str
    metrics: Mapping[str, float]
    seeds: tuple[int, ...]
    share_teacher: bool
    threads: int | None
    search: Search | None


def read_comparison(path: Path) -> Comparison:
    """Read and check the file; config files in it are relative to its folder.

    Raises:
        FileNotFoundError: when it, or a config it names, is not there.
        ValueError: for anything in it that does not fit; the message names file and key.
    """
    if not path.is_file():
        raise FileNotFoundError(f"--config: there is no file {path}")
    try:
        return _comparison(path, read_with_included(path))
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{path}: {error}") from error


def _comparison(path: Path, content: Mapping[str, Any]) -> Comparison:
    check_keys(content, _KEYS, "the file")
    methods = {
        str(name): _variant(given, path.parent, f"methods.{name}")
        for name, given in mapping(content.get("methods"), "methods").items()
    }
    baseline = content.get("baseline", next(iter(methods)))
    if baseline not in methods:
        raise ValueError(f"baseline: {unknown('method', baseline, methods)}")
    folds = read_folds(content["folds"], "folds") if "folds" in content else no_folds()
    groups = {
        str(name): _group(given, path.parent, folds, f"groups.{name}")
        for name, given in mapping(content.get("groups", {"": None}), "groups").items()
    }
    threads = content.get("threads")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads: has to be 1 or more, got {threads}")
    base = {"configs": content.get("configs")} | (content.get("overrides") or {})
    return Comparison(
        path=path,
        base=_variant(base, path.parent, "overrides"),
        groups=groups,
        methods=methods,
        baseline=baseline,
        metrics=_metrics(content.get("metrics")),
        seeds=integers(content.get("seeds", 0), "seeds"),
        share_teacher=bool(content.get("share_teacher", True)),
        threads=threads,
        search=read_search(content["tune"], list(methods)) if "tune" in content else None,
    )


def _group(given: Any, folder: Path, folds: Mapping[str, Mapping[str, Any]], where: str) -> Group:
    if isinstance(given, Mapping) and "folds" in given:
        folds = read_folds(given["folds"], f"{where}.folds")
        given = {key: value for key, value in given.items() if key != "folds"}
    return Group(_variant(given, folder, where), folds)


def _variant(given: Any, folder: Path, where: str) -> Variant:
    """Read a path, a list of paths, or overrides by dotted key with ``configs`` among them."""
    if given is None:
        return Variant()
    if isinstance(given, str | list):
        given = {"configs": given}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{where}: has to be a path, a list of paths, or a mapping of overrides, got {given!r}"
        )
    overrides = dict(given)
    configs = _paths(overrides.pop("configs", None), folder, where)
    if plain := [str(key) for key in overrides if "." not in str(key)]:
        raise ValueError(
            f"{where}: {', '.join(plain)} is neither `configs` nor a dotted key such as "
            "model.teacher_epochs"
        )
    return Variant(configs, overrides)


def _paths(given: Any, folder: Path, where: str) -> tuple[str, ...]:
    given = [given] if isinstance(given, str) else given or []
    if not isinstance(given, list) or not all(isinstance(path, str) for path in given):
        raise ValueError(f"{where}: configs has to be a path or a list of paths, got {given!r}")
    paths = tuple(_relative(folder / path) for path in given)
    for path in paths:
        if not Path(path).is_file():
            raise FileNotFoundError(f"{where}: there is no config {path}")
    return paths


def _relative(path: Path) -> str:
    """Return the path without its ``..``, seen from the working folder where that is shorter."""
    resolved, here = path.resolve(), Path.cwd()
    inside = resolved.is_relative_to(here)
    return str(resolved.relative_to(here) if inside else resolved)


def _metrics(given: Any) -> dict[str, float]:
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = dict.fromkeys(given, 1)
    named = mapping(given, "metrics")
    if wrong := [name for name, factor in named.items() if not isinstance(factor, int | float)]:
        raise ValueError(
            f"metrics: {', '.join(wrong)} needs a number, which the table multiplies it with "
            "(100 for percent)"
        )
    return {str(name): float(factor) for name, factor in named.items()}
