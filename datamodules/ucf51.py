"""UCF51: the 51 classes of UCF101 whose clips have sound.

The classes are those of the audio features that CCL's authors give out (Y. Chen, Y. Xian,
A. S. Koepke, Y. Shan, Z. Akata, "Distilling Audio-Visual Knowledge by Compositional Contrastive
Learning", CVPR 2021), which are the folders of UCF101's second part, recorded with sound.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.clip_lists import ListedClip
from datamodules.clip_table import Source
from datamodules.flow import FlowFolder, FlowReader
from datamodules.readers import Reader
from datamodules.stored import StoredFeatures, StoredReader
from datamodules.ucf101 import UCF101

UCF51_CLASSES = [
    "ApplyEyeMakeup",
    "ApplyLipstick",
    "Archery",
    "BabyCrawling",
    "BalanceBeam",
    "BandMarching",
    "BasketballDunk",
    "BlowDryHair",
    "BlowingCandles",
    "BodyWeightSquats",
    "Bowling",
    "BoxingPunchingBag",
    "BoxingSpeedBag",
    "BrushingTeeth",
    "CliffDiving",
    "CricketBowling",
    "CricketShot",
    "CuttingInKitchen",
    "FieldHockeyPenalty",
    "FloorGymnastics",
    "FrisbeeCatch",
    "FrontCrawl",
    "Haircut",
    "HammerThrow",
    "Hammering",
    "HandstandPushups",
    "HandstandWalking",
    "HeadMassage",
    "IceDancing",
    "Knitting",
    "LongJump",
    "MoppingFloor",
    "ParallelBars",
    "PlayingCello",
    "PlayingDaf",
    "PlayingDhol",
    "PlayingFlute",
    "PlayingSitar",
    "Rafting",
    "ShavingBeard",
    "Shotput",
    "SkyDiving",
    "SoccerPenalty",
    "StillRings",
    "SumoWrestling",
    "Surfing",
    "TableTennisShot",
    "Typing",
    "UnevenBars",
    "WallPushups",
    "WritingOnBoard",
]

#: Clips of these classes in the official lists, (training, test) by split. Eight training clips of
#: split 1 have no audio features, hence the 4,893 that papers count.
OFFICIAL_CLIPS = {1: (4_901, 1_944), 2: (4_930, 1_915), 3: (4_945, 1_900)}


class UCF51(UCF101):
    """The 51 classes of UCF101 with sound, on its official lists.

    Args:
        root: folder with a folder of clips a class.
        list_folder: folder with classInd.txt, trainlistNN.txt and testlistNN.txt.
        student_modalities: what the student sees: ``video``, ``audio`` (the waveform), ``image``
            (a random frame, in evaluation the window's middle one), ``flow``, ``audio_features``.
        auxiliary_modalities: what only the teacher sees, in training.
        classes: class names; ``all`` 51 by default. ``present``: those of the 51 with a training
            clip on disk.
        flow_folder: folder of stored flow images, see ``FlowFolder``.
        audio_features: stored audio features: a folder ``<class>/v_<class>_gNN_cNN.npy`` (CCL's
            ``audiocnn14embed512_features``), or an ``.npz`` file with the arrays
            ``audio_features_array`` and ``clip``.
        audio_features_array: the features' name in the ``.npz`` file.
        **kwargs: of ``UCF101`` and ``ClipDataModule``.

    Raises:
        FileNotFoundError: when a folder or list file is not there.
        ValueError: for a modality whose files are not given; what ``UCF101`` raises.
    """

    offered_modalities = ("video", "flow", "image", "audio", "audio_features")

    def __init__(
        self,
        root: str,
        list_folder: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        classes: list[str] | str = "all",
        flow_folder: str | None = None,
        audio_features: str | None = None,
        audio_features_array: str = "audio_cnn14",
        **kwargs: Any,
    ) -> None:
        given = {"flow": flow_folder, "audio_features": audio_features}
        asked = [*student_modalities, *auxiliary_modalities]
        for modality, argument in (("flow", "flow_folder"), ("audio_features", "audio_features")):
            if modality in asked and given[modality] is None:
                raise ValueError(
                    f"{type(self).__name__}.{argument}: the modality '{modality}' is asked for; "
                    "say where it is stored"
                )
        self._flow_folder = Path(flow_folder) if flow_folder else None
        self._features = Path(audio_features) if audio_features else None
        self._features_array = audio_features_array
        super().__init__(
            root, list_folder, student_modalities, auxiliary_modalities, classes=classes, **kwargs
        )

    @property
    def candidate_classes(self) -> list[str]:
        """The 51 classes, as far as the class index has them."""
        return [name for name in self._class_index if name in UCF51_CLASSES]

    def sources(
        self, clip: ListedClip, path: Path, modalities: Collection[str]
    ) -> dict[str, Source]:
        """Return where each of the modalities lies, given the clip's video file."""
        sources = super().sources(clip, path, modalities)
        if "flow" in modalities and (flow := self._flow.find(Path(clip.file_name).stem)):
            sources["flow"] = flow
        return sources

    def readers(self) -> Mapping[str, Reader]:
        """Return the readers of the offered modalities, the one that gives the time first."""
        readers = {
            **super().readers(),
            "flow": FlowReader(self.form),
            "audio_features": StoredReader(self._read_features),
        }
        return {name: readers[name] for name in self.offered_modalities}

    def describe(self) -> list[str]:
        """Return the counts, those that differ from the official ones clip by clip."""
        lines = super().describe()
        if self.split not in OFFICIAL_CLIPS or set(self.class_names) != set(UCF51_CLASSES):
            return lines
        for part, official in zip(("train", "test"), OFFICIAL_CLIPS[self.split], strict=True):
            listed = self.read_list(f"{part}list")
            if len(listed) != official:
                lines.append(
                    f"{part}list{self.split:02d}.txt names {len(listed)} clips of the 51 classes, "
                    f"the official one {official}: is it complete?"
                )
            missing = [clip for clip, path in self.find(listed).items() if path is None]
            lines.append(
                f"official {part} clips on disk: {len(listed) - len(missing)} of {official}"
            )
            lines += [f"missing: {clip.class_name}/{clip.file_name}" for clip in missing]
        return lines

    @cached_property
    def _flow(self) -> FlowFolder:
        assert self._flow_folder is not None  # noqa: S101 - checked in the constructor
        return FlowFolder(self._flow_folder)

    def _read_features(self) -> StoredFeatures:
        path = self._features
        assert path is not None  # noqa: S101 - checked in the constructor
        if not path.is_dir():
            return StoredFeatures.of_npz(
                path, self._features_array, "clip", lambda name: f"v_{name.removeprefix('v_')}"
            )
        listed = [*self.read_list("trainlist"), *self.read_list("testlist")]
        stems = [(Path(clip.file_name).stem, clip.class_name) for clip in listed]
        return StoredFeatures.of_folder(
            path, ((stem, path / name / f"{stem}.npy") for stem, name in stems)
        )
