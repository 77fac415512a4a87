"""Clips of one's own: a folder a class, other modalities in folders beside."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from datamodules.class_folders import ClassFolders, class_of, list_class_folders
from datamodules.clip_cut import split_by_group
from datamodules.clip_datamodule import ClipDataModule, Part
from datamodules.clip_table import Clip, ClipTable, Source
from datamodules.readers import AudioReader, Reader, VideoReader
from datamodules.stored import StoredFeatures, StoredReader

_OF_ROOT = {"video": ("video", "audio", "image"), "audio": ("audio",)}


class ClipFolders(ClipDataModule):
    r"""Clips that lie in a folder a class, the folder's name being the label.

    ``<root>/<class>/<clip>.mp4`` is divided here, by ``test_fraction``;
    ``<root>/train/<class>/<clip>.mp4`` and ``<root>/test/...`` are divided already. Either way the
    validation part is cut from the training clips by ``val_fraction``.

    A video file is seen (``video``, ``image``) and heard (``audio``), a sound file is heard. What
    belongs to the same clips in other files lies in ``folders``, each with the same paths in it but
    for the extension: ``<folder>/<class>/<clip>.wav``. A clip without such a file is kept, with
    the modality absent.

    Args:
        root: folder with a folder of clips a class, or with ``train`` and ``test`` of these.
        student_modalities: what the student sees: ``video``, ``audio``, ``image``, or a name in
            ``folders``.
        auxiliary_modalities: what only the teacher sees, in training.
        folders: folder by modality, of video files (another camera, depth), sound files (a
            microphone) or ``.npy`` features, (D,) or (L, D) a clip. ``audio`` here is heard instead
            of the clips' own sound.
        group: regular expression whose first group finds in a file's name, without extension, what
            must not straddle a split: the recording, the person. ``(.+)_\d+`` for
            ``recording_3.mp4``. None: every clip is its own group, which lets scenes of one
            recording train and test.
        test_fraction: share of the clips that tests, by whole groups, where root has no ``test``.
        split_seed: which groups these are; another one is another fold.
        **kwargs: of ``ClipDataModule``.

    Raises:
        FileNotFoundError: when root is not there or holds no clips.
        ValueError: for folders, names or numbers that do not fit; names what is wrong.
    """

    def __init__(
        self,
        root: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        folders: dict[str, str] | None = None,
        group: str | None = None,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        self._own = list_class_folders(Path(root), f"{owner}.root")
        if self._own.kind not in _OF_ROOT:
            raise ValueError(
                f"{owner}.root: {root} holds {self._own.kind}, not clips; give them in folders"
            )
        self._folders = {name: Path(folder) for name, folder in (folders or {}).items()}
        for name in {*_OF_ROOT[self._own.kind], "image"} & self._folders.keys() - {"audio"}:
            raise ValueError(
                f"{owner}.folders.{name}: '{name}' is read from root's clips; choose another name"
            )
        self._others: dict[str, ClassFolders] = {}
        super().__init__(root, student_modalities, auxiliary_modalities, **kwargs)
        if not 0 < test_fraction < 1:
            raise ValueError(
                f"{owner}.test_fraction: must lie between 0 and 1, got {test_fraction}"
            )
        self._group = _compiled(group, f"{owner}.group")
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.class_names = self._own.class_names(self._own.parts[0])
        self._label = {name: number for number, name in enumerate(self.class_names)}
        unknown = sorted(set(self._own.class_names(self._own.parts[-1])) - set(self.class_names))
        if unknown:
            raise ValueError(
                f"{owner}.root: {', '.join(unknown)} has test clips, but none in {root}/train"
            )

    @property
    def offered_modalities(self) -> Sequence[str]:  # type: ignore[override]
        """The modalities of root's files and those of ``folders``."""
        return list(dict.fromkeys([*_OF_ROOT[self._own.kind], *self._folders]))

    def listed(self, part: Part) -> Iterator[Clip]:
        """Return the clips of a part.

        Raises:
            FileNotFoundError: for a folder that is not there, of a modality that the part has.
            ValueError: for a name without a group, a test part that cannot be cut, or a folder
                without a file of any clip.
        """
        others = {
            name: self._other(name) for name in self.modalities(part) if name in self._folders
        }
        for clip in self._part(part):
            sources = {name: one for name, one in clip.sources.items() if name not in self._folders}
            for name, folders in others.items():
                if clip.name in folders.files:
                    sources[name] = Source(folders.files[clip.name])
            yield replace(clip, sources=sources)

    def readers(self) -> Mapping[str, Reader]:
        """Return the readers of the offered modalities, the one that gives the time first."""
        readers = {k: one for k, one in super().readers().items() if k in _OF_ROOT[self._own.kind]}
        for name, folder in self._folders.items():
            # A test needs no folder of what the student does not see.
            if folder.is_dir():
                readers[name] = self._reader(name, self._other(name))
        return readers

    def describe(self) -> list[str]:
        """Return the counts, with what of the other folders fits no clip."""
        groups = f"{len(self._all)} clips in {len(set(self._all.groups))} groups"
        lines = [*super().describe(), f"{', '.join(self.class_names)}: {groups}"]
        for name in self._folders:
            files = self._other(name).files
            there = self._own.files.keys() & files.keys()
            strange = sorted(files.keys() - there)
            lines.append(
                f"{name}: {len(there)} of {len(self._own.files)} clips have it"
                + (f"; {len(strange)} files are of no clip: {strange[0]}, ..." if strange else "")
            )
        return lines

    def _part(self, part: Part) -> Iterable[Clip]:
        if len(self._own.parts) > 1:
            return (clip for clip in self._all if clip.name.startswith(f"{part}/"))
        try:
            train, test = split_by_group(
                self._all.groups, self._all.labels, self.test_fraction, self.split_seed
            )
        except ValueError as error:
            raise ValueError(
                f"{type(self).__name__}.test_fraction: no test part can be cut by whole groups "
                f"({error}); or divide the clips yourself into train and test folders"
            ) from error
        return self._all.take(test if part == "test" else train)

    @cached_property
    def _all(self) -> ClipTable:
        return ClipTable(self._clip(name, path) for name, path in self._own.files.items())

    def _clip(self, name: str, path: Path) -> Clip:
        sources = dict.fromkeys(_OF_ROOT[self._own.kind], Source(path))
        return Clip(name, self._label[class_of(name)], self._group_of(name, path), sources)

    def _group_of(self, name: str, path: Path) -> str:
        if self._group is None:
            return name
        found = self._group.search(path.stem)
        if found is None or not found[1]:
            raise ValueError(
                f"{type(self).__name__}.group: '{self._group.pattern}' finds nothing in "
                f"'{path.stem}' ({path}); correct the expression or the name"
            )
        return found[1]

    def _other(self, name: str) -> ClassFolders:
        """Return what lies in the folder of another modality."""
        if name not in self._others:
            argument = f"{type(self).__name__}.folders.{name}"
            listed = list_class_folders(self._folders[name], argument, self._own.parts)
            if not self._own.files.keys() & listed.files.keys():
                raise ValueError(
                    f"{argument}: no file under {listed.root} has the name of a clip; there is "
                    f"{next(iter(listed.files))}, and under {self.root} "
                    f"{next(iter(self._own.files))}, both without extension"
                )
            self._others[name] = listed
        return self._others[name]

    def _reader(self, modality: str, folders: ClassFolders) -> Reader:
        if folders.kind == "features":
            return StoredReader(partial(_read_features, folders))
        is_heard = folders.kind == "audio" or modality == "audio"
        return (AudioReader if is_heard else VideoReader)(self.form, modality, self.probe)


def _read_features(folders: ClassFolders) -> StoredFeatures:
    return StoredFeatures.of_folder(folders.root, folders.files.items())


def _compiled(pattern: str | None, argument: str) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{argument}: '{pattern}' is no regular expression ({error})") from error
    if compiled.groups < 1:
        raise ValueError(f"{argument}: '{pattern}' has no group; put the name it finds in (...)")
    return compiled
