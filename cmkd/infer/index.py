"""Embeddings of clips in an ``.npz`` file, and the nearest of them."""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from cmkd.compare.store import replacing
from cmkd.fingerprint import fingerprint
from cmkd.student import Prediction, Student

_OUTPUTS = ("probability", "value")
_ARRAYS = ("source", "embedding", "student", "checkpoint")


@dataclass(frozen=True)
class EmbeddingIndex:
    """What a student says of some clips.

    Attributes:
        sources: names of the N clips.
        embedding: (N, D) float32.
        output: (N, C) float32 probabilities of a classification, (N,) values of a regression.
        class_names: of the classes, None where they are not known.
        student: the student's fingerprint, see ``student_fingerprint``.
        checkpoint: where the student was read from.
    """

    sources: Sequence[str]
    embedding: Tensor
    output: Tensor
    class_names: Sequence[str] | None
    student: str
    checkpoint: str

    @classmethod
    def of(
        cls, predictions: Sequence[Prediction], student: Student, checkpoint: str | Path
    ) -> "EmbeddingIndex":
        """Make an index of one prediction or more."""
        if student.task == "regression":
            output = torch.tensor([one.value for one in predictions])
        else:
            output = torch.stack([one.probabilities for one in predictions])
        return cls(
            [one.source for one in predictions],
            torch.stack([one.embedding for one in predictions]),
            output,
            student.class_names,
            student_fingerprint(student),
            str(Path(checkpoint).absolute()),
        )

    def save(self, path: Path) -> None:
        """Write the index, whole or not at all.

        The file has the arrays ``source`` (N,), ``embedding`` (N, D), ``probability`` (N, C) or
        ``value`` (N,), ``class_names`` (C,) where they are known, ``student`` and ``checkpoint``;
        ``numpy.load`` reads them without unpickling anything.

        Raises:
            OSError: when it cannot be written; what stood there stays.
        """
        output = _OUTPUTS[self.output.ndim == 1]
        arrays: dict[str, Any] = {
            "source": np.array(self.sources, dtype=np.str_),
            "embedding": self.embedding.numpy(),
            output: self.output.numpy(),
            "student": np.array(self.student),
            "checkpoint": np.array(self.checkpoint),
        }
        if self.class_names is not None:
            arrays["class_names"] = np.array(self.class_names, dtype=np.str_)
        with replacing(path) as new, new.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path) -> "EmbeddingIndex":
        """Read what ``save`` wrote; nothing is unpickled.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is damaged or of another kind; names file and array.
        """
        arrays = _read_arrays(path)
        output = next((name for name in _OUTPUTS if name in arrays), _OUTPUTS[0])
        if missing := [name for name in (*_ARRAYS, output) if name not in arrays]:
            raise ValueError(
                f"{path}: has no array '{missing[0]}'; give a file that cmkd infer --embeddings "
                "wrote"
            )
        sources, embedding = arrays["source"], arrays["embedding"]
        counts = {len(array) if array.ndim else 0 for array in (sources, embedding, arrays[output])}
        if embedding.ndim != 2 or counts != {len(embedding)} or 0 in embedding.shape:
            raise ValueError(
                f"{path}: the arrays source {sources.shape}, embedding {embedding.shape} and "
                f"{output} {arrays[output].shape} do not fit each other; write it again"
            )
        if embedding.dtype.kind != "f" or not np.isfinite(embedding).all():
            raise ValueError(f"{path}, embedding: has to be finite numbers; write it again")
        names = arrays.get("class_names")
        return cls(
            sources.astype(np.str_).tolist(),
            torch.from_numpy(embedding).float(),
            torch.from_numpy(arrays[output]),
            None if names is None else names.astype(np.str_).tolist(),
            str(arrays["student"]),
            str(arrays["checkpoint"]),
        )

    def nearest(
        self, embedding: Tensor, k: int, without: str | None = None
    ) -> list[tuple[str, float]]:
        """Return the k nearest clips with their cosine similarity, the nearest first.

        It takes time in proportion to the index, which is read once, and memory for one number a
        clip.

        Args:
            embedding: (D,) of the query.
            k: how many; fewer where the index has no more.
            without: a clip that is not to be found, the query itself; it is known by its path.

        Raises:
            ValueError: when k is below 1, or the embedding is of another width.
        """
        width = self.embedding.shape[1]
        if k < 1 or embedding.shape != (width,):
            raise ValueError(
                f"nearest needs k of at least 1 and an embedding of {width} numbers, got {k} and "
                f"{tuple(embedding.shape)}"
            )
        cosine = self._directions @ normalize(embedding.float(), dim=0)
        own = [] if without is None else self._places.get(_place(without), [])
        cosine[own] = -torch.inf
        values, rows = cosine.topk(min(k, len(cosine) - len(own)))
        return [
            (self.sources[row], value)
            for row, value in zip(rows.tolist(), values.tolist(), strict=True)
        ]

    @cached_property
    def _directions(self) -> Tensor:
        return normalize(self.embedding, dim=1)

    @cached_property
    def _places(self) -> Mapping[str, list[int]]:
        places: dict[str, list[int]] = {}
        for row, source in enumerate(self.sources):
            places.setdefault(_place(source), []).append(row)
        return places


def student_fingerprint(student: Student) -> str:
    """Return a digest that tells students apart whose embeddings are not of one space.

    The network with its weights counts, and how its inputs are made; where both were read from
    does not, so that a checkpoint and what was exported of it are one student.
    """
    kind = type(student.preprocessing)
    try:
        arguments = student.preprocessing.init_args()
    except NotImplementedError:  # It cannot be saved with a student; its class is all there is.
        arguments = {}
    made = json.dumps(_plain(arguments), sort_keys=True)
    return fingerprint(student.network, f"{kind.__module__}.{kind.__qualname__}", made)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        array = np.ascontiguousarray(value.detach().cpu().numpy())
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        return [str(array.dtype), list(array.shape), digest]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _place(source: str) -> str:
    return os.path.abspath(source)  # noqa: PTH100 - a name may stand for two files


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; cmkd infer --embeddings writes one")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: is no .npz file, or cut short; write it again")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); write it again") from error
