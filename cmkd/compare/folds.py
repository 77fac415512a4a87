"""How a fold is set: a template, or the overrides of each fold."""

from collections.abc import Mapping
from typing import Any

from cmkd.compare.reading import integers, mapping

_TEMPLATE = {"values", "overrides"}
_MARK = "{fold}"

Folds = Mapping[str, Mapping[str, Any]]


def no_folds() -> Folds:
    """Return the one fold of data that has none."""
    return {"": {}}


def read_folds(given: Any, where: str) -> Folds:
    """Return the overrides of each fold by its name.

    Either ``{values: 0..5, overrides: {data.init_args.fold: "{fold}"}}``, where values may be a
    range, a list of numbers or a list of names, or a mapping from names to overrides.

    Raises:
        ValueError: for a template in which ``{fold}`` does not stand, or no overrides.
    """
    folds = mapping(given, where)
    if set(folds) & _TEMPLATE:
        return _from_template(folds, where)
    return {str(name): mapping(overrides, f"{where}.{name}") for name, overrides in folds.items()}


def _from_template(given: Mapping[str, Any], where: str) -> Folds:
    if set(given) != _TEMPLATE:
        raise ValueError(f"{where}: a template has `values` and `overrides`, got {list(given)}")
    template = mapping(given["overrides"], f"{where}.overrides")
    values = given["values"]
    named = isinstance(values, list) and not all(isinstance(value, int) for value in values)
    listed: list[Any] = list(values) if named else list(integers(values, f"{where}.values"))
    folds = {str(value): _filled(template, value) for value in listed}
    if len(folds) < len(listed) or (len(folds) > 1 and _filled(template, listed[0]) == template):
        raise ValueError(
            f"{where}: the folds do not differ: name each once in `values`, and let {_MARK} stand "
            "in a value of `overrides`"
        )
    return folds


def _filled(template: Any, value: Any) -> Any:
    if isinstance(template, Mapping):
        return {key: _filled(item, value) for key, item in template.items()}
    if isinstance(template, list):
        return [_filled(item, value) for item in template]
    if template == _MARK:
        return value
    return template.replace(_MARK, str(value)) if isinstance(template, str) else template
