"""The JSON beside a student's weights: everything but the numbers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from cmkd.student.architecture import Architecture
from cmkd.student.class_paths import ClassSpec

FORMAT = "cmkd-student"
VERSION = 1
_FIELDS = (
    "format",
    "version",
    "fingerprint",
    "weights",
    "task",
    "class_names",
    "network",
    "preprocessing",
    "made_with",
    "origin",
)
_TASKS = ("classification", "regression")
#: What stands in the JSON for a tensor of the weights' file.
_TENSOR = "tensor"


@dataclass(frozen=True)
class Record:
    """What is known of a saved student.

    Attributes:
        network: how it is built.
        preprocessing: how its inputs are made.
        class_names: names of the classes, None where they are not known.
        task: ``classification`` or ``regression``.
        made_with: version by package.
        origin: where it comes from: run, checkpoint, epoch, ...
    """

    network: Architecture
    preprocessing: ClassSpec
    class_names: list[str] | None
    task: str
    made_with: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)


def write_record(path: Path, record: Record, weights: Path) -> str:
    """Write the JSON of a student whose weights are written already.

    Args:
        path: the JSON.
        record: what it is to say; tensors in it are named as the weights' file has them.
        weights: the weights' file, in the same folder.

    Returns:
        The student's fingerprint, a digest of JSON and weights.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "weights": {"file": weights.name, "sha256": digest_of_file(weights)},
        "task": record.task,
        "class_names": record.class_names,
        "network": record.network.written(),
        "preprocessing": _without_tensors(record.preprocessing.written(), "preprocessing"),
        "made_with": dict(record.made_with),
        "origin": dict(record.origin),
    }
    content["fingerprint"] = _fingerprint(content)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fingerprint: str = content["fingerprint"]
    return fingerprint


def read_json(path: Path) -> dict[str, Any]:
    """Read and check the JSON of a student; nothing is imported.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, of another kind, or was changed; names file and field.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}, which says what the weights beside it are of")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON ({error}); copy or export it again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}, format: is no '{FORMAT}'; give a file that cmkd export wrote")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path}, version: is {content.get('version')!r}, but this cmkd reads {VERSION}; "
            "install the cmkd it was made with (field made_with)"
        )
    if difference := sorted(set(content) ^ set(_FIELDS)):
        raise ValueError(f"{path}, {difference[0]}: is missing or unknown; export it again")
    _check_fields(path, content)
    return content


def _check_fields(path: Path, content: Mapping[str, Any]) -> None:
    weights = content["weights"]
    if not isinstance(weights, dict) or not all(
        isinstance(weights.get(key), str) for key in ("file", "sha256")
    ):
        raise ValueError(f"{path}, weights: has to have file and sha256; export it again")
    if Path(weights["file"]).name != weights["file"]:
        raise ValueError(f"{path}, weights.file: has to be a file beside it")
    if content["task"] not in _TASKS:
        raise ValueError(f"{path}, task: has to be one of {', '.join(_TASKS)}")
    names = content["class_names"]
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise ValueError(f"{path}, class_names: has to be a list of names, or null")
    for key in ("made_with", "origin"):
        if not isinstance(content[key], dict):
            raise ValueError(f"{path}, {key}: has to be a mapping")


def check_fingerprint(path: Path, content: Mapping[str, Any]) -> None:
    """Check that a student's JSON is as it was written.

    Raises:
        ValueError: when it was changed since.
    """
    if content["fingerprint"] != _fingerprint(content):
        raise ValueError(
            f"{path}, fingerprint: does not fit the other fields: the file was changed since it "
            "was exported; take an intact copy or export it again"
        )


def to_record(path: Path, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Record:
    """Return what a checked JSON says.

    Args:
        path: the JSON, for messages.
        content: what ``read_json`` gave.
        tensors: of the weights' file, by name.

    Raises:
        ValueError: for a malformed field; names file and field.
    """
    given = _with_tensors(content["preprocessing"], tensors, f"{path}, preprocessing")
    return Record(
        network=Architecture.read(content["network"], f"{path}, network"),
        preprocessing=ClassSpec.read(given, f"{path}, preprocessing"),
        class_names=content["class_names"],
        task=content["task"],
        made_with=content["made_with"],
        origin=content["origin"],
    )


def tensors_in(value: Any, name: str) -> dict[str, Tensor]:
    """Return the tensors in plain data, by their path in it."""
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, Mapping):
        parts = [tensors_in(item, f"{name}.{key}") for key, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [tensors_in(item, f"{name}.{number}") for number, item in enumerate(value)]
    else:
        parts = []
    return {key: tensor for part in parts for key, tensor in part.items()}


def digest_of_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(content: Mapping[str, Any]) -> str:
    known = {key: value for key, value in content.items() if key != "fingerprint"}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _without_tensors(value: Any, name: str) -> Any:
    if isinstance(value, Tensor):
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        return {key: _without_tensors(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(item, f"{name}.{n}") for n, item in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor], where: str) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {_TENSOR} and isinstance(value[_TENSOR], str):
            if value[_TENSOR] not in tensors:
                raise ValueError(f"{where}: the weights' file has no tensor {value[_TENSOR]}")
            return tensors[value[_TENSOR]]
        return {k: _with_tensors(item, tensors, f"{where}.{k}") for k, item in value.items()}
    if isinstance(value, list):
        return [_with_tensors(item, tensors, f"{where}[{n}]") for n, item in enumerate(value)]
    return value
