"""Which classes a config can name, found by following the types of the arguments."""

import collections.abc
import inspect
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, get_args, get_origin

from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.cli import SaveConfigCallback

from cmkd.cli import CrossModalCLI
from cmkd.distillation import CrossModalDistillation
from cmkd.keys.key import Key, keys_of
from cmkd.prepare_arguments import GROUP

#: Packages whose ``__all__`` is what the class paths of a config name, the datamodules' aside.
_PACKAGES = (
    "cmkd.networks",
    "cmkd.objectives",
    "cmkd.tasks",
    "cmkd.schedules",
    "cmkd.callbacks",
)


@dataclass(frozen=True)
class Entry:
    """A class that a config can name.

    Attributes:
        cls: the class.
        path: the shortest path to import it by.
        given: how many leading arguments the library gives.
        aliases: its other names.
        is_base: whether it is there to be subclassed, not to be named.
    """

    cls: type
    path: str
    given: int = 0
    aliases: tuple[str, ...] = ()
    is_base: bool = False

    @cached_property
    def keys(self) -> list[Key]:
        """Its keys."""
        return keys_of(self.cls, self.given)


@dataclass
class Kind:
    """The classes that can stand at the same places of a config.

    Attributes:
        base: what they have in common.
        entries: the classes; the base's own stands first, ``is_base`` where it is no choice.
        places: the keys whose values they are, for example ``Term.objective``.
    """

    base: type
    entries: list[Entry]
    places: list[str] = field(default_factory=list)


class Catalogue:
    """All that a config of ``cmkd fit`` can say, Lightning's own keys aside.

    Attributes:
        roots: the classes of the config's top-level keys, by key.
        links: keys that the command line sets from others: ``{key: source}``.
        kinds: all other classes, in the order in which the keys lead to them.
    """

    def __init__(self) -> None:
        self._paths: dict[type, list[str]] = {}
        for path, cls in _exported().items():
            self._paths.setdefault(cls, []).append(path)
        parser = _Recorder()
        CrossModalCLI.add_arguments_to_parser(parser, parser)  # type: ignore[arg-type]
        self.links = parser.links
        classes = {"model": CrossModalDistillation, **parser.classes}
        self.roots = {key: self._entry(cls) for key, cls in classes.items()}
        self.kinds: list[Kind] = []
        self._follow(self.roots.items())
        self._follow(self._found(LightningDataModule, 0, "data"))
        self._follow(self._found(Callback, 0, "trainer.callbacks"))

    def entries(self) -> list[Entry]:
        """Return every class, those of the top-level keys first."""
        return [*self.roots.values(), *(one for kind in self.kinds for one in kind.entries)]

    def kind_of(self, cls: type) -> Kind | None:
        """Return the kind that a class belongs to."""
        return next((kind for kind in self.kinds if issubclass(cls, kind.base)), None)

    def _follow(self, entries: Iterable[tuple[str, Entry]]) -> None:
        waiting = deque(entries)
        while waiting:
            name, entry = waiting.popleft()
            for key in entry.keys:
                for base, given in targets(key.annotation):
                    has_entry = key.owner in self._paths and key.owner is not entry.cls
                    owner = key.owner.__name__ if has_entry else name
                    waiting += self._found(base, given, f"{owner}.{key.name}")

    def _found(self, base: type, given: int, place: str) -> list[tuple[str, Entry]]:
        """Note a place for classes of a kind; return them where the kind is new."""
        kind = self.kind_of(base)
        if kind is not None:
            if place not in kind.places:
                kind.places.append(place)
            return []
        classes = [cls for cls in self._paths if issubclass(cls, base) and not self._is_set_up(cls)]
        if base not in classes and is_ours(base):
            classes.insert(0, base)
        classes.sort(key=lambda cls: (not _is_base(cls), cls.__name__.lower()))
        entries = [self._entry(cls, given) for cls in classes]
        self.kinds.append(Kind(base, entries, [place]))
        return [(entry.cls.__name__, entry) for entry in entries]

    def _entry(self, cls: type, given: int = 0) -> Entry:
        path, *aliases = self._paths.get(cls, [f"{cls.__module__}.{cls.__qualname__}"])
        return Entry(cls, path, given, tuple(aliases), _is_base(cls))

    def _is_set_up(self, cls: type) -> bool:
        """Return whether the command line makes the class itself, from keys of its own."""
        return issubclass(cls, SaveConfigCallback) or any(
            cls is root.cls for root in self.roots.values()
        )


class _Recorder:
    """Takes note of what the command line adds to its parser."""

    def __init__(self) -> None:
        self.classes: dict[str, type] = {}
        self.links: dict[str, str] = {}

    def add_class_arguments(self, cls: type, key: str) -> None:
        self.classes[key] = cls

    def add_lightning_class_args(self, cls: type, key: str) -> None:
        self.classes[key] = cls

    def link_arguments(self, source: str, target: str, **_: Any) -> None:
        self.links[target] = source

    def set_defaults(self, defaults: dict[str, Any]) -> None:
        pass


def targets(annotation: Any, given: int = 0) -> Iterator[tuple[type, int]]:
    """Yield the library's classes that a type speaks of.

    Args:
        annotation: the type.
        given: how many leading arguments the library gives to what it makes.

    Yields:
        A class, and how many arguments of it the library gives.
    """
    inner = get_args(annotation)
    if get_origin(annotation) is collections.abc.Callable:
        parameters, made = inner
        yield from targets(made, 0 if parameters is Ellipsis else len(parameters))
    elif isinstance(annotation, type) and not inner:
        if is_ours(annotation):
            yield annotation, given
    else:
        for one in inner:
            yield from targets(one, given)


def is_ours(made: Any) -> bool:
    """Return whether a class or function comes with the library."""
    top = str(made.__module__).partition(".")[0]
    return top in {package.partition(".")[0] for package in _packages()}


@cache
def _packages() -> list[str]:
    """Return the packages whose names a config uses, those of the library's datamodules last."""
    points = entry_points(group=GROUP)
    own = {point.module for point in points if point.dist and point.dist.name == "cmkd"}
    return [*_PACKAGES, *sorted(own)]


def _exported() -> dict[str, type]:
    """Return the classes that the packages export, by path."""
    found = {}
    for package in _packages():
        module = import_module(package)
        names = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
        for name in names:
            value = getattr(module, name)
            if isinstance(value, type) and is_ours(value):
                found[f"{package}.{name}"] = value
    return found


def _is_base(cls: type) -> bool:
    """Return whether a class leaves a method to its subclasses."""
    return any(
        getattr(one, "__isabstractmethod__", False)
        or (is_ours(one) and "NotImplementedError" in one.__code__.co_names)
        for _, one in inspect.getmembers(cls, inspect.isfunction)
    )
