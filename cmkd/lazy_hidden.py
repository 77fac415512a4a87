"""A representation whose hidden layers are read when an objective asks for them."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from torch import Tensor

from cmkd.representation import Representation


class CachedRepresentation(Representation):
    """A representation that never had a gradient."""

    def detach(self) -> Representation:
        """Return itself, without reading its hidden layers."""
        return self


class LazyHidden(Mapping[str, list[Tensor]]):
    """Hidden layers by modality, of which those not known are read when they are asked for.

    Args:
        names: the modalities.
        known: the layers of some of them.
        read: gives those of another.
    """

    def __init__(
        self,
        names: Iterable[str],
        known: Mapping[str, list[Tensor]],
        read: Callable[[str], list[Tensor]],
    ) -> None:
        self._names = list(names)
        self._known = dict(known)
        self._read_layers = read

    def __getitem__(self, name: str) -> list[Tensor]:
        if name in self._names and name not in self._known:
            self._known[name] = self._read_layers(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
