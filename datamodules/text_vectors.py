"""Reads what is said in a clip, as vectors of a file: of words, or of whole clips."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor

from datamodules.clip_table import Clip
from datamodules.stored import StoredFeatures
from datamodules.text import EmbeddedText, TextReader, words
from datamodules.views import View

Vector = NDArray[np.float32]

#: GloVe's words are those of the Penn Treebank: "don't" is "do" and "n't", "I'm" is "i" and "'m".
_CONTRACTION = re.compile(r"(\w+?)(n't|'\w+)")


class WordVectors(EmbeddedText):
    """Text as a vector a word, (L, D), out of a file of word vectors such as GloVe's.

    (Pennington, Socher & Manning, "GloVe: Global Vectors for Word Representation", EMNLP 2014.)
    The file is text, a line ``word v1 ... vD`` each; a first line ``<count> <D>`` (word2vec's) is
    fine. Only the words that the texts hold are kept. A contraction that the file lacks is the mean
    of its parts; any other word that it lacks is zeros, and how many there are is logged. The file
    is opened when the first text is asked for, so a test that does not see the text needs no file.

    Args:
        texts: what is said, by the clip's name.
        file: the vectors, UTF-8, words in lower case.

    Raises:
        FileNotFoundError: later, when there is no such file.
        ValueError: later, for a line of another width or without numbers, naming it, or a file
            without any of the words.
    """

    def __init__(self, texts: Mapping[str, str], file: str) -> None:
        super().__init__(texts)
        self.vector_file = Path(file)

    @property
    def width(self) -> int:  # type: ignore[override]
        """Return the file's D."""
        return len(self._unknown)

    def has(self, clip: Clip) -> bool:
        """Return whether it is known what is said in the clip."""
        # Asked before training: the file is then read here, not again in every loader's worker.
        return super().has(clip) and len(self._vectors) > 0

    def embed(self, tokens: Sequence[str]) -> Tensor:
        """Return vectors (L, D)."""
        return torch.from_numpy(
            np.stack([self._vectors.get(token, self._unknown) for token in tokens])
        )

    @cached_property
    def _unknown(self) -> Vector:
        return np.zeros_like(next(iter(self._vectors.values())))

    @cached_property
    def _vectors(self) -> dict[str, Vector]:
        wanted = {token for text in self.texts.values() for token in words(text)}
        parts = {
            token: match.groups() for token in wanted if (match := _CONTRACTION.fullmatch(token))
        }
        found = dict(read_word_vectors(self.vector_file, wanted.union(*parts.values())))
        for token, (stem, ending) in parts.items():
            if token not in found and stem in found and ending in found:
                found[token] = (found[stem] + found[ending]) * np.float32(0.5)
        missing = sorted(wanted - found.keys())
        if len(missing) == len(wanted):
            raise ValueError(
                f"{self.vector_file} has none of the {len(wanted)} different words of the texts; "
                "give vectors of their language, words in lower case"
            )
        if missing:
            rank_zero_info(
                f"WordVectors: {len(missing)} of {len(wanted)} different words are not in "
                f"{self.vector_file} and are zeros, for example {', '.join(missing[:5])}"
            )
        return found


class StoredText(TextReader):
    """Vectors that a text model gave, out of an ``.npz`` file: an array a clip, by its name.

    Arrays are (L, D) sequences, or all of them (D,) vectors. Nothing is unpickled. The file is
    opened when the first array is asked for.

    Args:
        texts: not read, the arrays take their place; clips without an array have no text.
        file: the ``.npz`` file.

    Raises:
        FileNotFoundError: later, when there is no such file.
        ValueError: later, for a file that is no ``.npz`` archive, or arrays that are no finite
            numbers of one width.
    """

    def __init__(self, texts: Mapping[str, str], file: str) -> None:
        super().__init__(texts)
        self.file: Path = Path(file)

    @property
    def is_sequence(self) -> bool:  # type: ignore[override]
        """Return whether the arrays are sequences."""
        return self._stored.is_sequence

    @property
    def width(self) -> int:  # type: ignore[override]
        """Return the arrays' D."""
        return self._stored.width

    def has(self, clip: Clip) -> bool:
        """Return whether there is an array of the clip's name."""
        return self._stored.get(clip.name) is not None

    def read(self, clip: Clip, view: View) -> Tensor | None:  # noqa: ARG002
        """Return the clip's array, None where there is none."""
        return self._stored.get(clip.name)

    @cached_property
    def _stored(self) -> StoredFeatures:
        if not self.file.is_file():
            raise FileNotFoundError(
                f"StoredText.file: there is no {self.file}; write it with numpy.savez, an array a "
                "clip"
            )
        if not zipfile.is_zipfile(self.file):
            raise ValueError(
                f"{self.file}: not an .npz archive, or cut short; write it with numpy.savez"
            )
        name = ""
        arrays: dict[str, NDArray[np.float32]] = {}
        with np.load(self.file, allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    arrays[name] = archive[name].astype(np.float32)
                except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                    raise ValueError(
                        f"{self.file}: the array of {name} cannot be read ({error}); store numbers "
                        "with numpy.savez, nothing is unpickled here"
                    ) from error
        return StoredFeatures(arrays, self.file)


def read_word_vectors(path: Path, wanted: set[str]) -> Iterator[tuple[str, Vector]]:
    """Yield the wanted words of a file with their vectors (D,), each once.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a wanted word's line without numbers or of another width; names the line.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"WordVectors.file: there is no {path}; give a text file of lines 'word v1 ... vD'"
        )
    waiting, width = set(wanted), 0
    # Words may hold what Unicode takes for line ends: only line feeds end a line here.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            word, _, rest = line.strip().partition(" ")
            is_header = number == 1 and word.isdecimal() and rest.isdecimal()
            if is_header or word not in waiting:
                continue
            try:
                vector = np.array(rest.split(), dtype=np.float32)
            except ValueError:
                vector = np.zeros(0, dtype=np.float32)
            width = width or len(vector)
            if not len(vector) or len(vector) != width or not np.isfinite(vector).all():
                raise ValueError(
                    f"{path}, line {number}: expected '{word}' and {width or 'its'} numbers, found "
                    f"'{line.strip()[:60]}'; correct the line or take it out"
                )
            waiting.remove(word)
            yield word, vector
