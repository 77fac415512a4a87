"""``include``: what several comparisons have in common, in a file of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cmkd.compare.reading import mapping


def read_with_included(path: Path) -> dict[str, Any]:
    """Read a comparison's YAML over the one that it includes, if any.

    Mappings are merged key by key, everything else is replaced; null takes a key out. A method
    that is taken out takes its grid along. Paths in the included file are relative to its folder.

    Raises:
        FileNotFoundError: when a file is not there.
        ValueError: for a file that is no YAML, or no mapping.
    """
    own = dict(_read(path, "the file"))
    included = own.pop("include", None)
    if included is None:
        return own
    if not isinstance(included, str):
        raise ValueError(f"include: has to be a path, got {included!r}")
    source = path.parent / included
    if not source.is_file():
        raise FileNotFoundError(f"include: there is no file {source}")
    whole = _merged(_rebased(read_with_included(source), source.parent), own)
    _drop_grids(whole)
    return whole


def _read(path: Path, where: str) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is not YAML: {error}") from error
    return mapping(content, where)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(under)
    for key, value in over.items():
        if value is None and key in under:
            del whole[key]
        elif isinstance(value, Mapping) and isinstance(under.get(key), Mapping):
            whole[key] = _merged(under[key], value)
        else:
            whole[key] = value
    return whole


def _rebased(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the content with the paths of its configs made absolute."""

    def rebase(given: Any) -> Any:
        if isinstance(given, str):
            return str((folder / given).resolve())
        if isinstance(given, list):
            return [rebase(path) for path in given]
        if isinstance(given, Mapping) and "configs" in given:
            return {**given, "configs": rebase(given["configs"])}
        return given

    whole = dict(content)
    if "configs" in whole:
        whole["configs"] = rebase(whole["configs"])
    for part in ("methods", "groups"):
        if isinstance(whole.get(part), Mapping):
            whole[part] = {name: rebase(given) for name, given in whole[part].items()}
    return whole


def _drop_grids(content: dict[str, Any]) -> None:
    tune = content.get("tune")
    if isinstance(tune, Mapping) and isinstance(tune.get("grids"), Mapping):
        kept = {name: g for name, g in tune["grids"].items() if name in content.get("methods", {})}
        content["tune"] = {**tune, "grids": kept}
