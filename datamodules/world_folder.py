"""The quickstart world on disk: clips and list files in the layout of UCF101.

``<root>/world.json`` is written first and says which world the folder is for, ``<root>/lists/``
has the list files, ``<root>/clips/<class>/`` the clips. Every file is written under another name
and renamed when it is whole, so a folder is complete when all its files are there, and an
interrupted rendering goes on where it stopped. Two processes may render the same folder.
"""

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from datamodules.encoding import encode_mp4
from datamodules.rendering import (
    CLASS_NAMES,
    FRAME_RATE,
    SAMPLE_RATE,
    VERSION,
    World,
    render_clip,
)

#: A clip's label, group and number.
ClipKey = tuple[int, int, int]


def clip_folder(root: Path) -> Path:
    """Return the folder with a folder of clips a class."""
    return root / "clips"


def list_folder(root: Path) -> Path:
    """Return the folder with the class index and the train and test lists."""
    return root / "lists"


def render_world(root: Path, world: World) -> int:
    """Render the clips that are not there yet, with a progress bar if there are any.

    Args:
        root: folder of this world, made if it is not there.
        world: the parameters.

    Returns:
        How many clips were rendered.

    Raises:
        ValueError: when the folder is another world's, or holds clips of unknown origin.
        OSError: when it cannot be written.
    """
    _check_folder(root, world)
    keys = list(_keys(world))
    missing = [key for key in keys if not _clip_path(root, key).exists()]
    texts = {root / "world.json": _description(world), **_lists(root, world)}
    with _explain(root):
        for path, text in texts.items():
            if not path.exists():
                _write(path, text.encode())
        if missing:
            _render(root, world, missing)
    return len(missing)


def _render(root: Path, world: World, keys: list[ClipKey]) -> None:
    from rich.progress import track  # where it is shown: `--help` has no use for it

    for label in {label for label, _, _ in keys}:
        (clip_folder(root) / CLASS_NAMES[label]).mkdir(parents=True, exist_ok=True)
    # Threads suffice: drawing and encoding are NumPy's and FFmpeg's work, outside the GIL. Not all
    # of it, so that many more would wait for each other.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        rendered = pool.map(partial(_render_one, root, world), keys)
        try:
            for _ in track(rendered, f"Rendering clips into {root}", total=len(keys)):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C and errors do not wait for the rest
            raise


def _render_one(root: Path, world: World, key: ClipKey) -> None:
    clip = render_clip(world, *key)
    content = encode_mp4(clip.frames, FRAME_RATE, clip.samples, SAMPLE_RATE)
    _write(_clip_path(root, key), content)


def _keys(world: World) -> Iterator[ClipKey]:
    for label in range(len(CLASS_NAMES)):
        for group in range(1, world.groups + 1):
            for number in range(1, world.clips_per_group + 1):
                yield label, group, number


def _listed(key: ClipKey) -> str:
    """Return a clip's path as list files give it."""
    label, group, number = key
    name = CLASS_NAMES[label]
    return f"{name}/v_{name}_g{group:02d}_c{number:02d}.mp4"


def _clip_path(root: Path, key: ClipKey) -> Path:
    return clip_folder(root) / _listed(key)


def _lists(root: Path, world: World) -> dict[Path, str]:
    """Return the list files' content in UCF101's syntax; its test groups are the first, too."""
    index = [f"{number} {name}" for number, name in enumerate(CLASS_NAMES, start=1)]
    train = [f"{_listed(key)} {key[0] + 1}" for key in _keys(world) if key[1] > world.test_groups]
    test = [_listed(key) for key in _keys(world) if key[1] <= world.test_groups]
    files = {"classInd.txt": index, "trainlist01.txt": train, "testlist01.txt": test}
    folder = list_folder(root)
    return {folder / name: "\n".join(lines) + "\n" for name, lines in files.items()}


def _parameters(world: World) -> dict[str, float]:
    return {"version": VERSION, **asdict(world)}


def _description(world: World) -> str:
    return json.dumps(_parameters(world), indent=2) + "\n"


def _check_folder(root: Path, world: World) -> None:
    """Check that whatever is in the folder is of this world."""
    remedy = "give another folder as root, or delete this one"
    path = root / "world.json"
    if not path.exists():
        if clip_folder(root).exists() or list_folder(root).exists():
            raise ValueError(f"{root} holds clips or lists but no world.json: {remedy}")
        return
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error
    wanted = _parameters(world)
    if found != wanted:
        names = sorted({*found, *wanted}) if isinstance(found, dict) else []
        differences = ", ".join(
            f"{name} is {found.get(name)} there and {wanted.get(name)} here"
            for name in names
            if found.get(name) != wanted.get(name)
        )
        raise ValueError(f"{root} holds another world ({differences}): {remedy}")


def _write(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, for another process may be writing the same file; and no media suffix.
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def _explain(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write the quickstart world into {root} ({error.strerror}); make room or "
            "give a folder that can be written as root",
        ) from error
