"""All config keys as one Markdown page."""

import re
from collections.abc import Iterable

from cmkd.keys.catalogue import Catalogue, Entry, Kind, targets
from cmkd.keys.key import Key, summary

_INTRODUCTION = """\
# Config keys

Every key of a config that `cmkd fit` reads, made from the signatures and docstrings by `make keys`;
a test keeps it in step. `cmkd keys InfoNCE`, `cmkd keys model.teacher_epochs` or
`cmkd keys temperature` prints a part of it, `cmkd keys my_module.MyClass` a class of your own.

A value that is a class is given by `class_path`, with its own keys under `init_args`:

```yaml
model:
  student_terms:
    mi_ts:
      weight: 0.1
      objective:
        class_path: cmkd.objectives.InfoNCE
        init_args: {temperature: 0.1}
```

"X by name" is a mapping: `mi_ts` above is the name of a [Term](#term). `null` is Python's None.
Keys that are not here are Lightning's: `trainer.*` (`cmkd keys trainer.max_epochs`),
`seed_everything` (0 by default) and `ckpt_path`. Optimizers are those of `torch.optim`, with `lr`
and the like under `init_args`.
"""
_LINKS = "Set from other keys, to be left out: "
_TITLES = {"LightningDataModule": "Datamodule"}


def markdown(catalogue: Catalogue) -> str:
    """Return the page."""
    parts = [_INTRODUCTION, _contents(catalogue)]
    links = [f"`{key}` (from `{source}`)" for key, source in catalogue.links.items()]
    parts.append(f"{_LINKS}{', '.join(links)}.\n")
    for name, entry in catalogue.roots.items():
        parts += [f"## {name}\n", *_class(catalogue, entry, prefix=f"{name}.")]
    for kind in catalogue.kinds:
        parts += _kind(catalogue, kind)
    return "\n".join(parts)


def title(kind: Kind) -> str:
    """Return the heading of a kind of classes."""
    return _TITLES.get(kind.base.__name__, kind.base.__name__)


def _contents(catalogue: Catalogue) -> str:
    lines = ["Top level: " + ", ".join(_link(name) for name in catalogue.roots) + ".\n"]
    for kind in catalogue.kinds:
        names = [name for one in kind.entries if one.cls is not kind.base for name in _names(one)]
        lines.append(f"* {_link(title(kind))}" + (f": {', '.join(names)}" if names else ""))
    return "\n".join(lines) + "\n"


def _names(entry: Entry) -> list[str]:
    """Return links by all names of a class to its one heading."""
    heading = entry.cls.__name__.lower()
    paths = [entry.path, *entry.aliases]
    return [f"[{path.rpartition('.')[2]}](#{heading})" for path in paths]


def _kind(catalogue: Catalogue, kind: Kind) -> list[str]:
    places = ", ".join(f"`{place}`" for place in kind.places)
    parts = [f"## {title(kind)}\n", f"Value of {places}.\n"]
    for entry in kind.entries:
        if entry.cls is not kind.base:
            parts.append(f"### {entry.cls.__name__}\n")
        parts += _class(catalogue, entry)
    return parts


def _class(catalogue: Catalogue, entry: Entry, prefix: str = "") -> list[str]:
    parts = [f"{_paths(entry)} {summary(entry.cls)}\n"]
    shown = {one.cls for one in catalogue.entries()} - {entry.cls}
    own = [key for key in entry.keys if key.owner not in shown]
    if own:
        parts.append(_table(catalogue, own, prefix))
    passed_on: dict[type, list[Key]] = {}
    for key in entry.keys:
        if key.owner in shown:
            passed_on.setdefault(key.owner, []).append(key)
    for owner, keys in passed_on.items():
        names = ", ".join(f"`{key.name}`" for key in keys)
        parts.append(f"As in {_link(owner.__name__)}: {names}.\n")
    return parts


def _paths(entry: Entry) -> str:
    names = " or ".join(f"`{path}`" for path in (entry.path, *entry.aliases))
    return f"{names}{' (to subclass)' if entry.is_base else ''}:"


def _table(catalogue: Catalogue, keys: Iterable[Key], prefix: str) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        default = "required" if key.default is None else f"`{key.default}`"
        cells = (f"`{prefix}{key.name}`", _type(catalogue, key), default, key.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _type(catalogue: Catalogue, key: Key) -> str:
    """Return a key's type, with links to the classes it names."""
    text = key.type
    for cls, _ in targets(key.annotation):
        kind = catalogue.kind_of(cls)
        heading = title(kind) if kind is not None and kind.base is cls else cls.__name__
        text = re.sub(rf"\b{cls.__name__}\b", _link(heading), text, count=1)
    return text


def _link(heading: str) -> str:
    return f"[{heading}](#{heading.lower()})"
