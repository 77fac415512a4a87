"""ActivityNet: labelled segments of untrimmed web videos.

F. Caba Heilbron, V. Escorcia, B. Ghanem, J. C. Niebles, "ActivityNet: A Large-Scale Video Benchmark
for Human Activity Understanding", CVPR 2015.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from datamodules.activitynet_annotations import SUBSETS, Video, read_annotations
from datamodules.clip_datamodule import Part
from datamodules.clip_table import Clip, Source
from datamodules.media import MediaError, MediaInfo, probe_once
from datamodules.missing import Cut, DownloadedClips, some
from datamodules.readers import frame_range

_SUBSET_OF: dict[Part, str] = {"train": "training", "test": "validation"}
#: Videos and segments of the official v1.3 file, as reported by its owners.
_OFFICIAL = {"training": (10_024, 15_410), "validation": (4_926, 7_654)}


@dataclass
class Segments:
    """What came of the segments of one part's videos.

    Attributes:
        used: number of samples.
        clipped: names of those that were cut to their video's length.
        skipped: name and reason of those left out.
    """

    used: int = 0
    clipped: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


class ActivityNet(DownloadedClips):
    """Annotated segments of ActivityNet, one sample each.

    Videos lie at ``<root>/v_<id>.<extension>`` or in folders directly under root. The subset
    ``training`` trains, a part of it cut off by whole videos validates, ``validation`` tests;
    ``testing`` has no labels and is not used. Labels are the numbers of the class names in
    alphabetical order, those of the whole file whatever videos are missing.

    Overlapping segments are samples of their own. A segment that goes beyond its video is clipped
    to it. One of no length (the official file has some, for example of ``ZZVrH3Hv1fM``), or that
    begins after its video's end, is left out; ``skipped_<part>.txt`` beside the other lists names
    it, and a warning counts them. A video's length is what the annotations say and, where ``cmkd
    prepare`` has made an index, what its file says, if that is less.

    Reported numbers, for comparison: v1.3 has 10,024 training videos with 15,410 segments and
    4,926 validation videos with 7,654; CCL's benchmark (Chen et al., CVPR 2021) used 15,232 and
    7,555 segments, as the videos go. ``describe`` tells the difference.

    Args:
        root: folder of the videos.
        annotations: ``activity_net.v1-3.min.json``.
        student_modalities: what the student sees: ``video``, ``audio`` or ``image``.
        auxiliary_modalities: what only the teacher sees, in training.
        **kwargs: of ``DownloadedClips``.

    Raises:
        FileNotFoundError: when root or the annotation file is not there; later, when too many
            videos are missing.
        ValueError: for numbers or modalities that do not fit, or a malformed annotation file.
    """

    file_prefix = "v_"

    def __init__(
        self,
        root: str,
        annotations: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(root, student_modalities, auxiliary_modalities, **kwargs)
        self.annotations = Path(annotations)
        self.segments: dict[Part, Segments] = {}
        self._videos = read_annotations(self.annotations)
        labelled = [video for video in self._videos if video.subset != "testing"]
        self.check_ids(video.id for video in labelled if video.segments)
        self.class_names = sorted(
            {segment.label for video in labelled for segment in video.segments}
        )
        self._label = {name: number for number, name in enumerate(self.class_names)}

    def annotated(self, part: Part) -> Iterator[tuple[str, Cut]]:
        """Return the videos that have segments."""
        tally = Segments()
        for video in self._videos:
            if video.subset == _SUBSET_OF[part] and video.segments:
                yield video.id, partial(self._cut, video, tally)
        self.segments[part] = tally
        path = self.write_list(f"skipped_{part}.txt", _lines(tally))
        if tally.skipped:
            rank_zero_warn(
                f"ActivityNet: {len(tally.skipped)} segments of the {part} part are left out: "
                f"{some(_lines(tally))}" + (f"; all are in {path}" if path else "")
            )

    def describe(self) -> list[str]:
        """Return what the data holds, next to what it officially holds."""
        lines = super().describe()
        for part, tally in self.segments.items():
            lines.append(
                f"{part}: {tally.used} segments, {len(tally.clipped)} of them clipped to their "
                f"video; {len(tally.skipped)} more left out"
                + (f": {some(_lines(tally))}" if tally.skipped else "")
            )
        for subset in SUBSETS:
            videos = [video for video in self._videos if video.subset == subset]
            count = sum(len(video.segments) for video in videos)
            line = f"{self.annotations.name}, {subset}: {len(videos)} videos, {count} segments"
            if subset not in _OFFICIAL:
                lines.append(f"{line}; not used")
                continue
            bare = sum(not video.segments for video in videos)
            official = _OFFICIAL[subset]
            if official == (len(videos), count):
                line += ", as reported of v1.3"
            else:
                line += f" (reported of v1.3: {official[0]} and {official[1]})"
            lines.append(line + (f"; {bare} videos without segments" if bare else ""))
        return lines

    def _cut(self, video: Video, tally: Segments, path: Path) -> Iterable[Clip]:
        """Return the clips of a video, and count what came of its segments."""
        info = self._indexed(path)
        length = video.duration if info is None else min(video.duration, info.duration)
        for number, segment in enumerate(video.segments):
            name = f"{video.id}_{number:03d}"
            begin, end = max(0.0, segment.begin), min(segment.end, length)
            source = Source(path, begin, end)
            if segment.end <= segment.begin:
                tally.skipped[name] = f"has no length ({segment.begin:g} to {segment.end:g} s)"
            elif end <= begin or (info and not _has_frames(source, info)):
                tally.skipped[name] = (
                    f"({segment.begin:g} to {segment.end:g} s) lies outside its video of "
                    f"{length:.2f} s"
                )
            else:
                if (begin, end) != (segment.begin, segment.end):
                    tally.clipped.append(name)
                tally.used += 1
                yield Clip(
                    name=name,
                    label=self._label[segment.label],
                    group=video.id,
                    sources=dict.fromkeys(self.offered_modalities, source),
                )

    def _indexed(self, path: Path) -> MediaInfo | None:
        """Return what an index knows of a file; without one, files are not opened for this."""
        if self.probe is probe_once:
            return None
        try:
            return self.probe(path)
        except MediaError:
            return None  # what to do about broken files is said where they are read


def _has_frames(source: Source, info: MediaInfo) -> bool:
    """Return whether a segment holds a frame of its file; one in the last half frame has none."""
    first, end = frame_range(source, info)
    return first < end or not info.frames


def _lines(tally: Segments) -> list[str]:
    return [f"{name} {reason}" for name, reason in tally.skipped.items()]
