"""Finds what a user asks for: a key by its path or name, a class by its name or path."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from lightning.pytorch import Trainer

from cmkd.keys.catalogue import Catalogue, Entry, targets
from cmkd.keys.key import Key, keys_of

#: Parts of a key's path that say nothing of what it is.
_LAYERS = ("init_args", "class_path")
_TRAINER = "trainer"


@dataclass(frozen=True)
class Answer:
    """What was found.

    Attributes:
        where: the class or top-level key that the keys belong to.
        keys: them.
        entry: the class, where it was asked for as a whole.
    """

    where: str
    keys: list[Key]
    entry: Entry | None = None


def look_up(catalogue: Catalogue, name: str) -> list[Answer]:
    """Return all that has a name.

    Args:
        catalogue: where to look.
        name: path of a key, a key's own name, a class's name, or a class's import path.

    Raises:
        ValueError: when there is nothing; names what is spelled like it.
    """
    found = _classes(catalogue, name) or _by_path(catalogue, name) or _by_name(catalogue, name)
    if found:
        return found
    cls = _import(name)
    if cls is not None:
        return [Answer(name, keys_of(cls), Entry(cls, name))]
    known = {key.name for entry in catalogue.entries() for key in entry.keys}
    known |= {entry.cls.__name__ for entry in catalogue.entries()}
    near = get_close_matches(name.rpartition(".")[2], sorted(known), n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(
        f"there is no key or class '{name}'{hint} `cmkd keys` lists all; a class of your own is "
        "given by its import path"
    )


def _classes(catalogue: Catalogue, name: str) -> list[Answer]:
    if name in catalogue.roots:
        entry = catalogue.roots[name]
        return [Answer(name, entry.keys, entry)]
    return [
        Answer(entry.path, entry.keys, entry)
        for entry in catalogue.entries()
        for path in (entry.path, *entry.aliases)
        if name.lower() in (path.lower(), path.rpartition(".")[2].lower())
    ]


def _by_path(catalogue: Catalogue, name: str) -> list[Answer]:
    """Follow a path from a top-level key through classes and the names of mappings."""
    top, *parts = [part for part in name.split(".") if part not in _LAYERS]
    is_root = top in (*catalogue.roots, _TRAINER) and len(parts) == 1
    entries = _top(catalogue, top)
    last: list[tuple[Entry, Key]] = []
    may_be_chosen = False
    for part in parts:
        found = [(entry, key) for entry in entries for key in entry.keys if key.name == part]
        if found:
            last = found
            classes = {cls for _, key in found for cls, _ in targets(key.annotation)}
            entries = [one for one in catalogue.entries() if issubclass(one.cls, tuple(classes))]
            if not entries:
                break  # what follows is a part of the value
        elif not may_be_chosen:
            return []
        # Behind a key of classes by name comes a name that the user chose: of a term, a modality.
        may_be_chosen = bool(found)
    return _answers(last, top if is_root else None)


def _top(catalogue: Catalogue, key: str) -> list[Entry]:
    """Return the classes that a top-level key stands for."""
    if key in catalogue.roots:
        return [catalogue.roots[key]]
    if key == _TRAINER:
        return [Entry(Trainer, "lightning.pytorch.Trainer")]
    return [entry for kind in catalogue.kinds if key in kind.places for entry in kind.entries]


def _by_name(catalogue: Catalogue, name: str) -> list[Answer]:
    """Return every key of a name."""
    return _answers(
        (entry, key) for entry in catalogue.entries() for key in entry.keys if key.name == name
    )


def _answers(found: Iterable[tuple[Entry, Key]], where: str | None = None) -> list[Answer]:
    """Return keys by the class that explains them, each once."""
    answers: dict[tuple[type, str], Answer] = {}
    for entry, key in found:
        own = entry.cls is key.owner
        explained = (key.owner, key.description)
        if own or explained not in answers:
            answers[explained] = Answer(where or entry.path, [key])
    return list(answers.values())


def _import(name: str) -> type | None:
    module, _, attribute = name.rpartition(".")
    if not module:
        return None
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return None
    return found if isinstance(found, type) else None
