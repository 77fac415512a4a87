"""The settings that were chosen on validation data, and the file they are written down in."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from cmkd.compare.plan import Place
from cmkd.compare.search import Setting
from cmkd.compare.store import write_whole


@dataclass(frozen=True)
class Choice:
    """What was chosen for one place.

    Attributes:
        setting: the overrides.
        val: their mean validation score over the seeds.
        trials: among how many.
    """

    setting: Setting
    val: float
    trials: int


class Choices:
    """The choices of a comparison, by place.

    Args:
        by_place: them.
        source: where they come from, for messages.
    """

    def __init__(self, by_place: Mapping[Place, Choice], source: str = "--tune") -> None:
        self.by_place = by_place
        self.source = source

    def setting(self, place: Place) -> Setting:
        """Return what was chosen for a place.

        Raises:
            ValueError: when nothing was.
        """
        if place not in self.by_place:
            raise ValueError(f"{self.source} holds no choice for {place.name}; run with --tune")
        return self.by_place[place].setting

    def write(self, path: Path, command: str) -> None:
        """Write them down, a line a place.

        Args:
            path: the file.
            command: the command line that made them.
        """
        lines = [f"# Chosen on validation parts cut from training, by: {command}"]
        for place, choice in self.by_place.items():
            entry = {
                "group": place.group,
                "method": place.method,
                "fold": place.fold,
                "val": round(choice.val, 6),
                "trials": choice.trials,
                "setting": dict(choice.setting),
            }
            lines.append(f"- {json.dumps(entry, ensure_ascii=False)}")
        write_whole(path, "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Choices":
        """Read what ``write`` wrote.

        Raises:
            ValueError: for a file that holds something else.
        """
        try:
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))
            by_place = {
                Place(entry["group"], entry["method"], str(entry["fold"])): Choice(
                    dict(entry["setting"]), float(entry["val"]), int(entry["trials"])
                )
                for entry in entries
            }
        except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
            raise ValueError(f"--tuned: {path} is no file that --tune wrote ({error})") from error
        return cls(by_place, str(path))


def best(settings: Sequence[Setting], scores: Sequence[float], mode: str) -> Choice:
    """Return the setting with the best score, the first of equals; one that is NaN is none.

    Raises:
        ValueError: when no score is a number.
    """
    sign = 1 if mode == "max" else -1
    numbered = [i for i, score in enumerate(scores) if not math.isnan(score)]
    if not numbered:
        raise ValueError("no trial gave a validation score that is a number")
    first = max(numbered, key=lambda i: (sign * scores[i], -i))
    return Choice(settings[first], scores[first], len(settings))
