"""Writing a student: weights in a ``.safetensors`` file, the rest in a JSON beside it."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from cmkd.student.architecture import Architecture
from cmkd.student.class_paths import ClassSpec
from cmkd.student.record import Record, tensors_in, write_record
from cmkd.student.student import Student

NETWORK = "network."
_PREPROCESSING = "preprocessing"
_PACKAGES = ("cmkd", "torch", "torchvision", "torchaudio", "av", "numpy")


def save_student(
    student: Student,
    architecture: Architecture,
    folder: str | Path,
    name: str = "student",
    origin: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``<name>.safetensors`` and ``<name>.json``, which ``load_student`` reads.

    Args:
        student: the student.
        architecture: what its network is built of.
        folder: where they go; it is made where it is not there.
        name: of both files, without suffix.
        origin: where the student comes from, plain data.

    Returns:
        The path of the weights.

    Raises:
        ValueError: when the preprocessing's arguments are no plain data and tensors.
        OSError: when the files cannot be written.
    """
    kind = type(student.preprocessing)
    path = f"{kind.__module__}.{kind.__qualname__}"
    given = {"class_path": path, "init_args": student.preprocessing.init_args()}
    preprocessing = ClassSpec.read(given, path)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{name}.safetensors"
    state = {f"{NETWORK}{key}": value for key, value in student.network.state_dict().items()}
    state |= tensors_in(preprocessing.written(), _PREPROCESSING)
    save_file({key: _own(value) for key, value in state.items()}, weights)
    record = Record(
        network=architecture,
        preprocessing=preprocessing,
        class_names=None if student.class_names is None else list(student.class_names),
        task=student.task,
        made_with=versions(),
        origin=origin or {},
    )
    write_record(weights.with_suffix(".json"), record, weights)
    return weights


def versions() -> dict[str, str]:
    """Return the versions of what a student depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _own(tensor: Tensor) -> Tensor:
    """Return a tensor with storage of its own, as the format wants it."""
    return tensor.detach().cpu().contiguous().clone()
