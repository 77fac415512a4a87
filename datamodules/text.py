"""Reads what is said in a clip, as hashed words: no vocabulary, no tokeniser, no download."""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.clip_table import Clip
from datamodules.views import Timeline, View

#: A bracketed event such as [LAUGHTER], a word, or one punctuation mark.
_WORD = re.compile(r"\[\w+\]|\w+(?:'\w+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """Divide a text into words, punctuation marks and ``[events]``, in lower case.

    Composed and decomposed accents, and straight and curly apostrophes, give the same words.
    """
    plain = unicodedata.normalize("NFC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return _WORD.findall(plain.casefold())


class LazyTexts(Mapping[str, str]):
    """Texts by clip name that are read when the first is asked for.

    Args:
        load: reads them.
    """

    def __init__(self, load: Callable[[], Mapping[str, str]]) -> None:
        self._load = load

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return self._load()

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


class TextReader(ABC):
    """Base of the readers of ``text``: a text belongs to the whole clip, not to a window of it.

    Args:
        texts: what is said, by the clip's name; clips that are not in it have no text.

    Attributes:
        is_sequence: whether a text is a sequence (L, width) or one vector (width,).
        width: length of a vector.
        file: where the texts come from, if it is not from ``texts``.
    """

    is_sequence: bool = True
    width: int
    file: Path | None = None

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def has(self, clip: Clip) -> bool:
        """Return whether it is known what is said in the clip."""
        return clip.name in self.texts

    def timeline(self, clip: Clip) -> Timeline | None:  # noqa: ARG002
        """Return None: text does not pass in time."""
        return None

    @abstractmethod
    def read(self, clip: Clip, view: View) -> Tensor | None:
        """Return the text of the whole clip, None where there is none."""

    def blank(self) -> Tensor:
        """Return zeros (1, width), or (width,) if no sequence."""
        return torch.zeros((1, self.width) if self.is_sequence else self.width)


class EmbeddedText(TextReader):
    """Base of the readers that make vectors of words; a subclass implements ``embed``.

    A text without any word is embedded as the empty word: it is there, and it is no sequence of
    length 0.
    """

    @abstractmethod
    def embed(self, tokens: Sequence[str]) -> Tensor:
        """Return the vectors (L, width) of L words, or one vector (width,) if no sequence."""

    def read(self, clip: Clip, view: View) -> Tensor | None:  # noqa: ARG002
        """Return the embedded text of the whole clip, None where there is none."""
        text = self.texts.get(clip.name)
        return None if text is None else self.embed(words(text) or [""])


#: Builds the reader of the texts that a dataset has; what ``class_path`` gives in YAML.
TextFactory: TypeAlias = Callable[[Mapping[str, str]], TextReader]


class HashedText(EmbeddedText):
    """Text as a vector a word, (L, width), without a vocabulary, a tokeniser or a download.

    A word's vector is the sum of its hashed parts: the word itself and its character n-grams
    (Bojanowski, Grave, Joulin & Mikolov, "Enriching Word Vectors with Subword Information", TACL
    2017). A part's hash gives it a place and a sign (Weinberger, Dasgupta, Langford, Smola &
    Attenberg, "Feature Hashing for Large Scale Multitask Learning", ICML 2009). Vectors have unit
    length, and are the same in every process and on every machine.

    Args:
        texts: what is said, by the clip's name.
        width: length of a vector.
        shortest: characters of the shortest n-grams; a word's ends count as one each.
        longest: characters of the longest n-grams.

    Raises:
        ValueError: for a width or n-grams below 1, or a longest n-gram shorter than the shortest.
    """

    def __init__(
        self, texts: Mapping[str, str], width: int = 128, shortest: int = 3, longest: int = 5
    ) -> None:
        super().__init__(texts)
        _check_width("HashedText", width)
        if not 1 <= shortest <= longest:
            raise ValueError(
                "HashedText.shortest, longest: lengths of n-grams in characters, from 1 on and in "
                f"this order, got {shortest} and {longest}"
            )
        self.width = width
        self.lengths = range(shortest, longest + 1)

    def embed(self, tokens: Sequence[str]) -> Tensor:
        """Return unit vectors (L, width)."""
        return torch.from_numpy(
            np.stack([hashed(chain([token], self._n_grams(token)), self.width) for token in tokens])
        )

    def _n_grams(self, token: str) -> Iterator[str]:
        marked = f"<{token}>"
        for length in self.lengths:
            for begin in range(len(marked) - length + 1):
                # The tab tells an n-gram from a word that is spelt like it.
                yield "\t" + marked[begin : begin + length]


class HashedBag(EmbeddedText):
    """Text as one vector (width,) of unit length: which words it has, and which in a row.

    Hashed like ``HashedText``; for an ``MLP``.

    Args:
        texts: what is said, by the clip's name.
        width: length of the vector.
        longest: up to how many words in a row are counted.

    Raises:
        ValueError: for a width or longest below 1.
    """

    is_sequence = False

    def __init__(self, texts: Mapping[str, str], width: int = 1024, longest: int = 2) -> None:
        super().__init__(texts)
        _check_width("HashedBag", width)
        if longest < 1:
            raise ValueError(f"HashedBag.longest: must be at least 1 word, got {longest}")
        self.width = width
        self.longest = longest

    def embed(self, tokens: Sequence[str]) -> Tensor:
        """Return a unit vector (width,)."""
        rows = (
            " ".join(tokens[begin : begin + length])
            for length in range(1, self.longest + 1)
            for begin in range(len(tokens) - length + 1)
        )
        return torch.from_numpy(hashed(rows, self.width))


def hashed(parts: Iterable[str], width: int) -> NDArray[np.float32]:
    """Return the unit vector (width,) float32 of the parts' signed hashes."""
    vector = np.zeros(width, dtype=np.float32)
    for part in parts:
        digest = blake2b(part.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        vector[(number >> 1) % width] += 1 if number & 1 else -1
    # All parts may cancel out where the width is tiny.
    norm = max(float(np.linalg.norm(vector)), 1e-12)
    return vector / np.float32(norm)


def _check_width(owner: str, width: int) -> None:
    if width < 1:
        raise ValueError(f"{owner}.width: must be at least 1, got {width}")
