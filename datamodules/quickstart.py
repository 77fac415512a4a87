"""The quickstart: a small audio-visual world, rendered on first use and read like UCF101."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.base import CrossModalDataModule, SampleDataset, Split
from datamodules.clip_preprocessing import ClipPreprocessing
from datamodules.rendering import CLASS_NAMES, FRAME_RATE, SAMPLE_RATE, SIZE, World
from datamodules.ucf101 import UCF101
from datamodules.world_folder import clip_folder, list_folder, render_world

#: About the mean and standard deviation of the rendered pixels.
_MEAN = (0.3, 0.3, 0.3)
_STD = (0.15, 0.15, 0.15)


class Quickstart(CrossModalDataModule):
    """Small rendered clips of moving, sounding objects, in real MP4 files.

    Nothing is downloaded: ``prepare_data`` renders the clips that are not there yet (H.264 and
    AAC, two seconds each, in the layout of UCF101 with its list files), and ``UCF101`` reads them.
    A class is a pair of a motion, which is seen, and a sound, of which the picture holds no more
    than a faint imprint; ``datamodules.rendering`` says what the world is like. The default size
    is UCF101's own: 25 groups a class of which the first 7 are for testing.

    Args:
        root: folder of the rendered clips, made on first use.
        student_modalities: what the student sees: ``video`` or ``audio``.
        auxiliary_modalities: what only the teacher sees, in training.
        groups: scenes a class.
        test_groups: how many of them are for testing.
        clips_per_group: clips of a class at a scene.
        imprint: how strongly the object's light follows the loudness, from 0 to 2.
        ambiguous: share of clips that hold a second sound.
        silent: share of clips without an audio track.
        world_seed: seed of the rendering.
        val_fraction: share of the training groups that validates.
        frames: frames of a window, of the 20 a clip has.
        size: side of the square crop, of the 48 pixels a frame has.
        **kwargs: of ``CrossModalDataModule``.

    Raises:
        ValueError: for modalities or numbers that do not fit.
    """

    offered_modalities = ("video", "audio")

    def __init__(
        self,
        root: str = "data/quickstart",
        student_modalities: Sequence[str] = ("video",),
        auxiliary_modalities: Sequence[str] = ("audio",),
        groups: int = 25,
        test_groups: int = 7,
        clips_per_group: int = 3,
        imprint: float = 1.0,
        ambiguous: float = 0.4,
        silent: float = 0.03,
        world_seed: int = 0,
        val_fraction: float = 0.15,
        frames: int = 16,
        size: int = 40,
        **kwargs: Any,
    ) -> None:
        super().__init__(list(student_modalities), list(auxiliary_modalities), **kwargs)
        self.root = Path(root)
        self.world = World(
            seed=world_seed,
            groups=groups,
            test_groups=test_groups,
            clips_per_group=clips_per_group,
            imprint=imprint,
            ambiguous=ambiguous,
            silent=silent,
        )
        self.val_fraction = val_fraction
        self.frames = frames
        self.size = size
        self.class_names = list(CLASS_NAMES)

    def prepare_data(self) -> None:
        """Render the clips that are not there yet.

        Raises:
            ValueError: when root holds another world; it is neither used nor overwritten.
            OSError: when root cannot be written.
        """
        render_world(self.root, self.world)

    def build_dataset(self, split: Split, modalities: list[str]) -> SampleDataset:
        """Return the dataset of one split as UCF101 reads it.

        Raises:
            FileNotFoundError: when the clips are not rendered yet.
        """
        return self._clips.build_dataset(split, modalities)

    def preprocessing(self) -> ClipPreprocessing:
        """Return what reads a clip as evaluation reads the test clips."""
        return self._clips.preprocessing()

    @cached_property
    def _clips(self) -> UCF101:
        if not clip_folder(self.root).is_dir():
            raise FileNotFoundError(
                f"root: no clips are rendered in {self.root}; call prepare_data() first, as the "
                "Trainer does"
            )
        return UCF101(
            root=str(clip_folder(self.root)),
            list_folder=str(list_folder(self.root)),
            student_modalities=self.student_modalities,
            auxiliary_modalities=self.auxiliary_modalities,
            val_fraction=self.val_fraction,
            frames=self.frames,
            resize=(SIZE, SIZE),
            size=self.size,
            mean=_MEAN,
            std=_STD,
            sample_rate=SAMPLE_RATE,
            audio_seconds=self.frames / FRAME_RATE,
            auxiliary_at_test=self.auxiliary_at_test,
            seed=self.seed,
        )
