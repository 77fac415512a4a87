"""Overrides by dotted key: merging them, and those that the command line cannot express."""

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

_STAGES = ("model", "stages")


def merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the overrides of all layers; later ones win and come last."""
    overrides: dict[str, Any] = {}
    for layer in layers:
        overrides = {k: v for k, v in overrides.items() if k not in layer} | dict(layer)
    return overrides


def as_arguments(overrides: Mapping[str, Any]) -> list[str]:
    """Return the overrides as arguments of ``cmkd fit``."""
    return [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in overrides.items()
    ]


def with_whole_stages(overrides: Mapping[str, Any], contents: Sequence[Any]) -> dict[str, Any]:
    """Return overrides in which those inside ``model.stages`` are put into the whole of it.

    ``--model.stages.student.terms.kd.weight`` is more than jsonargparse can merge into a config.

    Args:
        overrides: by dotted key.
        contents: of the config files, in their order; the last that has stages counts.

    Raises:
        ValueError: when no config has stages.
    """
    prefix = ".".join(_STAGES) + "."
    inside = {key: value for key, value in overrides.items() if key.startswith(prefix)}
    if not inside:
        return dict(overrides)
    stages = overrides.get(".".join(_STAGES)) or _last_stages(contents)
    if stages is None:
        raise ValueError(f"{', '.join(inside)}: no config of this method has model.stages")
    stages = deepcopy(stages)
    for key, value in inside.items():
        _put(stages, key.removeprefix(prefix).split("."), value)
    rest = {key: value for key, value in overrides.items() if key not in inside}
    return rest | {".".join(_STAGES): stages}


def _last_stages(contents: Sequence[Any]) -> Any:
    for content in reversed(contents):
        model = content.get(_STAGES[0]) if isinstance(content, Mapping) else None
        if isinstance(model, Mapping) and _STAGES[1] in model:
            return model[_STAGES[1]]
    return None


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    tree[path[-1]] = value
