"""The annotation file of ActivityNet: videos, their subsets, and their labelled segments."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

SUBSETS = ("training", "validation", "testing")


@dataclass(frozen=True, slots=True)
class Segment:
    """A labelled part of a video, as annotated.

    Attributes:
        begin: its first moment, in seconds.
        end: its last moment, in seconds.
        label: its class.
    """

    begin: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Video:
    """One entry of the database.

    Attributes:
        id: YouTube's.
        subset: training, validation or testing.
        duration: in seconds.
        segments: in the order of the file; may overlap.
    """

    id: str
    subset: str
    duration: float
    segments: tuple[Segment, ...]


def read_annotations(path: Path) -> list[Video]:
    """Read an annotation file of version 1.2 or 1.3: ``{"database": {id: {...}}, ...}``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not of that form; names the file, the video and the field.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no annotation file {path}; give the official activity_net.v1-3.min.json"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: this is not JSON ({error.msg}); fetch the file again"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise ValueError(f"{path}: it has no 'database' of videos; give ActivityNet's own file")
    return [_video(identity, entry, f"{path}: {identity}") for identity, entry in database.items()]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON's reader would keep the last of two videos with the same id, in silence.
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{twice}' stands there twice; remove one")
    return found


def _video(identity: str, entry: Any, where: str) -> Video:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object with subset, duration and annotations")
    subset, annotations = entry.get("subset"), entry.get("annotations")
    if subset not in SUBSETS:
        raise ValueError(f"{where}: the subset {subset!r} is none of {', '.join(SUBSETS)}")
    if not isinstance(annotations, list):
        raise ValueError(f"{where}: 'annotations' is {annotations!r}, expected a list")
    duration = entry.get("duration")
    if not _is_number(duration) or duration <= 0:
        raise ValueError(f"{where}: the duration {duration!r} is no number above 0")
    segments = tuple(
        _segment(annotation, f"{where}, annotation {number}")
        for number, annotation in enumerate(annotations)
    )
    return Video(identity, subset, float(duration), segments)


def _segment(annotation: Any, where: str) -> Segment:
    times = annotation.get("segment") if isinstance(annotation, dict) else None
    if not isinstance(times, list) or len(times) != 2 or not all(map(_is_number, times)):
        raise ValueError(f"{where}: the segment {times!r} is no pair of numbers")
    label = annotation.get("label")
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"{where}: the label {label!r} is no class name")
    return Segment(float(times[0]), float(times[1]), label)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
