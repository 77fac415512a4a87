"""What a checkpoint must fit, and the loading of a teacher from one."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from cmkd.progress import kept_networks

#: Key of our own entry in a Lightning checkpoint.
ENTRY = "cmkd"
#: The networks that ``teacher_checkpoint`` brings.
TEACHERS = ("teacher", "auxiliary")
_NAMED = 6


def difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Describe how two state dicts differ in names and shapes; empty where they agree."""
    shared = expected.keys() & found.keys()
    other_shape = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in sorted(shared)
        if expected[key].shape != found[key].shape
    ]
    parts = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": other_shape,
    }
    return "; ".join(
        f"{len(keys)} {what}: {', '.join(keys[:_NAMED])}{', ...' if len(keys) > _NAMED else ''}"
        for what, keys in parts.items()
        if keys
    )


def read_plain(file: IO[bytes], path: str, map_location: Any = "cpu") -> Any:
    """Read tensors and plain data; everything else is refused, as reading it could run code.

    Args:
        file: open for reading.
        path: its name, for messages.
        map_location: where the tensors go, as of ``torch.load``.

    Raises:
        ValueError: when the file holds anything else or is damaged.
    """
    try:
        return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own advice is to load it without the protection.
        raise ValueError(
            f"'{path}' cannot be read as a checkpoint: it is damaged, or holds more than tensors "
            "and plain data, which could run code and is not loaded. Checkpoints of cmkd hold "
            "nothing else: take the file that the run wrote"
        ) from error
    except Exception as error:
        raise ValueError(
            f"'{path}' cannot be read as a checkpoint ({error}); it is damaged or cut short: take "
            "another one of the run (last.ckpt, best.ckpt), or copy it again"
        ) from error


def read_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint without executing anything in it.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no checkpoint of this library.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint '{path}'")
    with Path(path).open("rb") as file:
        checkpoint = read_plain(file, path)
    check_origin(checkpoint, path)
    loaded: dict[str, Any] = checkpoint
    return loaded


def check_origin(checkpoint: Any, path: str) -> None:
    """Raise a ValueError for a checkpoint that another class wrote."""
    if not isinstance(checkpoint, dict) or ENTRY not in checkpoint:
        raise ValueError(
            f"{path} was not written by CrossModalDistillation; give a checkpoint of a cmkd run "
            "(runs/<name>/<time>/checkpoints/...)"
        )


def check_fit(checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    """Check that a module can load a checkpoint.

    Raises:
        ValueError: when another class wrote it or the architecture differs; the message names the
            first entries of each kind.
    """
    check_origin(checkpoint, "this checkpoint")
    problem = difference(module.state_dict(), checkpoint["state_dict"])
    if problem:
        student, auxiliary = (
            checkpoint[ENTRY]["modalities"].get(role, []) for role in ("student", "auxiliary")
        )
        raise ValueError(
            f"this checkpoint is of another model ({problem}). It was trained with "
            f"{student} as student and {auxiliary} as auxiliary modalities; use the "
            "config it was trained with (config.yaml in its run's folder)"
        )


def load_teacher(path: str, networks: nn.ModuleDict) -> dict[str, float]:
    """Load the teacher and the auxiliary model of an earlier run into ``networks``, strictly.

    A checkpoint of the teacher stage gives its best teacher so far, not its last one.

    Returns:
        Their validation metrics by role, as far as the run had them.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no checkpoint of this library or of another architecture; every
            missing, unexpected and misshapen entry is counted, the first ones named.
    """
    checkpoint = read_checkpoint(path)
    entry = checkpoint[ENTRY]
    kept = kept_networks(entry["progress"])
    for role in [role for role in TEACHERS if role in networks]:
        prefix = f"networks.{role}."
        last = {
            key.removeprefix(prefix): value
            for key, value in checkpoint["state_dict"].items()
            if key.startswith(prefix)
        }
        state = kept.get(role, last)
        problem = difference(networks[role].state_dict(), state)
        if problem:
            raise ValueError(
                f"model.teacher_checkpoint: the {role} in '{path}' is of another architecture "
                f"({problem}). It was trained with the modalities "
                f"{entry['modalities'].get(role, [])}; give the encoders, fusion, embedding_dim "
                "and classes it was trained with"
            )
        networks[role].load_state_dict(state)
    scores: dict[str, float] = dict(entry["progress"]["scores"])
    for stage in entry["progress"]["kept"].values():
        scores |= stage["scores"]
    return {role: score for role, score in scores.items() if role in TEACHERS}
