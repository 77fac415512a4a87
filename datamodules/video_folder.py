"""Which videos a folder holds."""

import os
from pathlib import Path

from datamodules.clip_lists import MEDIA_SUFFIXES


def list_videos(root: Path) -> dict[str, tuple[str, str]]:
    """Return folder and extension of the videos in a folder and those directly in it, by stem.

    Lists folders only: a stat a file would take minutes over a network.
    """
    found: dict[str, tuple[str, str]] = {}
    folders, depth = [str(root)], 0
    while folders and depth < 2:
        inner: list[str] = []
        for folder in folders:
            places: dict[str, tuple[str, str]] = {}  # one tuple for all files of a kind
            with os.scandir(folder) as entries:
                for entry in entries:
                    stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122, 200,000 of them
                    if suffix.lower() in MEDIA_SUFFIXES:
                        place = places.setdefault(suffix, (folder, suffix))
                        found[stem] = min(found.get(stem, place), place)
                    elif entry.is_dir():
                        inner.append(entry.path)
        folders, depth = inner, depth + 1
    return found
