"""Reading a student, from what ``cmkd export`` wrote or from a training checkpoint."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cmkd.networks.modality_network import ModalityNetwork
from cmkd.preprocessing import Preprocessing
from cmkd.student.record import check_fingerprint, digest_of_file, read_json, to_record
from cmkd.student.saving import NETWORK
from cmkd.student.student import Student, Task


def load_student(
    path: str | Path, device: str | torch.device = "cpu", trust: Collection[str] = ()
) -> Student:
    """Read a student.

    Files are read as tensors and plain data. They name classes by import path; only those of this
    library are imported, so that a file from elsewhere cannot choose what code runs.

    Args:
        path: a ``.safetensors`` file that ``cmkd export`` wrote, with its ``.json`` beside it, or
            their folder; or a checkpoint (``.ckpt``) of a training by the command line.
        device: where the network runs.
        trust: names of further packages whose classes may be imported, such as that of an encoder
            of your own. Importing a package runs its code.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a file that is damaged, was changed, is of another kind, or names a class
            that is not there or not trusted; names file and field.
    """
    path = Path(path)
    if path.suffix == ".ckpt":
        # Reading checkpoints needs Lightning; exported students do without it.
        from cmkd.student.checkpoint import student_of_checkpoint

        return student_of_checkpoint(path, device, trust)[0]
    if path.is_dir():
        path = path / "student.safetensors"
    if path.suffix not in (".safetensors", ".json"):
        raise ValueError(
            f"{path}: is no student; give a .safetensors file that cmkd export wrote, or a .ckpt "
            "of a training"
        )
    return _load_exported(path.with_suffix(".json"), device, trust)


def _load_exported(path: Path, device: str | torch.device, trust: Collection[str]) -> Student:
    content = read_json(path)
    weights = path.parent / content["weights"]["file"]
    tensors = _read_weights(weights)
    record = to_record(path, content, tensors)
    check_fingerprint(path, content)
    if digest_of_file(weights) != content["weights"]["sha256"]:
        raise ValueError(
            f"{weights}: is not what {path.name} was written with (weights.sha256); take an intact "
            "copy of both or export them again"
        )
    network = record.network.build(f"{path}, network", trust)
    load_weights(network, tensors, NETWORK, str(weights))
    preprocessing = record.preprocessing.build(
        Preprocessing,  # type: ignore[type-abstract] # of which the class is a subclass
        f"{path}, preprocessing",
        trust,
    )
    try:
        return Student(
            network, preprocessing, record.class_names, cast("Task", record.task), device
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}, the weights that its .json names")
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path}: is no whole .safetensors file ({error}); copy or export it again"
        ) from error


def load_weights(
    network: ModalityNetwork, tensors: Mapping[str, Tensor], prefix: str, where: str
) -> None:
    """Load a network's weights, strictly.

    Args:
        network: of the right architecture.
        tensors: by name; those with the prefix are its.
        prefix: of their names.
        where: the file, for messages.

    Raises:
        ValueError: when they are not exactly the network's; names the first of each kind.
    """
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        problem = str(error).partition("\n")[2].strip() or str(error)
        raise ValueError(f"{where}: the weights are not the network's: {problem}") from error
