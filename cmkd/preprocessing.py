"""From a source to a student's inputs: the contract between a datamodule and a student.

A datamodule gives its ``Preprocessing`` out (``datamodule.preprocessing()``); it is saved with the
student and makes, of any file, the windows that evaluation would make of it. Nothing here knows
Lightning.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

#: Where one modality of a sample comes from.
Value: TypeAlias = str | Path | Tensor | np.ndarray[Any, Any]
#: A sample: one file for all modalities, or a value by modality; one not named is absent.
Source: TypeAlias = str | Path | Mapping[str, Value]
#: Key of a datamodule's entry in a checkpoint.
STUDENT_STATE = "cmkd_student"
#: A modality's shape without the batch dimension; None for the steps of a sequence.
Shape: TypeAlias = tuple[int | None, ...]


class Preprocessing(ABC):
    """Makes a student's inputs of a source.

    A subclass that is a dataclass of plain data and tensors, or overrides ``init_args``, can be
    saved with a student: it is built again by its import path and those arguments.
    """

    @property
    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """Return the shape of each modality's tensor, by modality, without the batch dimension.

        A sequence has None for its steps, which come first.
        """

    @property
    def in_one_file(self) -> Collection[str]:
        """Return the modalities that can all be read from one file; none by default."""
        return ()

    @abstractmethod
    def windows(self, values: Mapping[str, Value]) -> dict[str, Tensor]:
        """Return the windows of one sample, whose predictions are averaged.

        Args:
            values: by modality, a path or a tensor; a modality that is not named is absent.

        Returns:
            By modality, (V, ...) as a batch holds them, V of all alike; an absent modality is left
            out.

        Raises:
            ValueError: for a value that cannot be read or does not fit; the message names it.
            OSError: for a file that cannot be opened.
        """

    def init_args(self) -> dict[str, Any]:
        """Return the constructor's arguments: plain data and tensors."""
        if not is_dataclass(self):
            raise NotImplementedError(f"{type(self).__name__} has to say its init_args")
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True)
class ReadyTensors(Preprocessing):
    """Takes tensors as a batch holds them, for data that has no files to read them from.

    Attributes:
        modalities: by modality, its tensor's shape without the batch dimension; null for the steps
            of a sequence.
    """

    modalities: Mapping[str, list[int | None]]

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Return the shape of each modality."""
        return {name: tuple(shape) for name, shape in self.modalities.items()}

    def windows(self, values: Mapping[str, Value]) -> dict[str, Tensor]:
        """Return the tensors; each is one window (...), or several (V, ...)."""
        return {name: ready(value, self.shapes[name], name) for name, value in values.items()}


def ready(value: Value, shape: Shape, modality: str) -> Tensor:
    """Return a value that is a tensor already as windows (V, ...) float32.

    Args:
        value: a tensor or array (...) or (V, ...), or the path of an ``.npy`` file of one.
        shape: what (...) has to be.
        modality: its name, for messages.

    Raises:
        ValueError: for another shape, numbers that are not finite, or a file that is none.
    """
    given = read_tensor(value, modality).float()
    tensor = given.unsqueeze(0) if given.ndim == len(shape) else given
    fits = tensor.ndim == len(shape) + 1 and all(
        size is None or size == found for size, found in zip(shape, tensor.shape[1:], strict=True)
    )
    if not fits or 0 in tensor.shape:
        expected = ", ".join("steps" if size is None else str(size) for size in shape)
        raise ValueError(
            f"modality '{modality}': expected a tensor ({expected}), or (windows, {expected}), got "
            f"{tuple(given.shape)}"
        )
    if not tensor.isfinite().all():
        raise ValueError(f"modality '{modality}': there is NaN or infinity in it; repair it")
    return tensor


def read_tensor(value: Value, modality: str) -> Tensor:
    """Return a tensor or array, or what an ``.npy`` file holds, as a tensor of its own dtype.

    Raises:
        ValueError: for a file that holds no array of numbers; nothing is unpickled.
        OSError: for a file that cannot be opened.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, str | Path):
        try:
            value = np.load(value, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(
                f"modality '{modality}': {value} is no .npy file of numbers ({error})"
            ) from error
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise ValueError(
            f"modality '{modality}': expected a tensor, an array of real numbers or the path of "
            f"an .npy file of one, got {type(value).__name__}"
        )
    return torch.from_numpy(np.ascontiguousarray(value))


def student_state(preprocessing: Preprocessing, class_names: Sequence[str]) -> dict[str, Any]:
    """Return what a checkpoint keeps for its student: plain data and tensors."""
    kind = type(preprocessing)
    return {
        STUDENT_STATE: {
            "preprocessing": {
                "class_path": f"{kind.__module__}.{kind.__qualname__}",
                "init_args": preprocessing.init_args(),
            },
            "class_names": list(class_names),
        }
    }


def _plain(value: Any) -> Any:
    """Return mappings and sequences as those of YAML and JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
