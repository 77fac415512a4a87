"""Decoding only the packets that a window of frames needs, with the frames' numbers proven.

Packets before the window are read but not decoded. That takes a hundredth of the time and, unlike a
seek by time stamp, tells which frame each packet holds: a frame's number is the rank of its time
stamp among all packets. Whatever makes that uncertain raises ``UnprovenError``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datamodules.entry_points import ENTRY_TESTS, SKIPPABLE, has_time_stamps, is_hidden
from datamodules.mpeg4 import is_header_known, is_one_coded_frame
from datamodules.window import Decoded, InapplicableError, UnprovenError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from datamodules.window import VideoPacket

#: A frame is shown at most this many places from where it is coded (H.264's and HEVC's limit).
REORDER = 16

#: A packet's decoding time stamp and its place in the file.
_Place = tuple[int | None, int | None]


def decode_by_index(
    container: "InputContainer", stream: "VideoStream", numbers: Sequence[int]
) -> Decoded:
    """Decode frames as ``decode_by_reading`` does, with an MP4's index in place of much reading.

    Raises:
        UnprovenError: when the result is not known to equal that of decoding from the beginning,
            or when there is no index or nothing to spare.
    """
    _require_order(container, stream)
    if "mp4" not in container.format.name:
        raise InapplicableError
    before: dict[_Place, int] = {}
    shown, target = 0, 0
    for entry in stream.index_entries:
        if shown + REORDER > numbers[0]:
            break
        if entry.is_keyframe:
            before[entry.timestamp, entry.pos] = shown
            target = entry.timestamp
        shown += not entry.is_discard
    if len(before) < 2:
        raise InapplicableError
    # Where this lands is the demuxer's affair (a key frame or two earlier, with B-frames): the
    # first packet tells.
    container.seek(target, stream=stream)
    return _decode_window(container, stream, numbers, before)


def decode_by_reading(
    container: "InputContainer", stream: "VideoStream", numbers: Sequence[int]
) -> Decoded:
    """Decode frames from the last entry point before them; read what precedes it.

    Args:
        container: a file of which nothing was read yet.
        stream: its video track.
        numbers: of the frames, ascending.

    Raises:
        UnprovenError: when the result is not known to equal that of decoding from the beginning.
    """
    _require_order(container, stream)
    return _decode_window(container, stream, numbers, None)


def _require_order(container: "InputContainer", stream: "VideoStream") -> None:
    """Raise an error where time stamps do not tell the order of the frames."""
    codec = stream.codec_context.codec.canonical_name
    if codec not in ENTRY_TESTS or not has_time_stamps(container.format.name, codec):
        raise InapplicableError
    if codec == "mpeg4" and stream.codec_context.has_b_frames:
        raise InapplicableError


@dataclass
class _Group:
    """An entry point and the packets that follow it, in the order of decoding.

    Attributes:
        before: how many packets of shown frames precede it.
        start: the entry point's time stamp.
        packets: the packets.
        times: time stamps of those whose frames are shown.
    """

    before: int
    start: int
    packets: "list[VideoPacket]" = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    @property
    def number(self) -> int:
        """The entry point's number: frames coded after it may be shown before it."""
        number = self.before + sum(time < self.start for time in self.times)
        if number and not self.before:
            raise UnprovenError  # decoders leave out some of what precedes the first key frame
        return number


class _Groups:
    """The groups that a window needs, as the packets come in.

    Args:
        first: number of the window's first frame.
    """

    def __init__(self, first: int) -> None:
        self.groups: list[_Group] = []
        self.first = first
        self.shown = 0  # packets of shown frames so far, those before the first packet included
        self.latest: float = -math.inf
        self.floor: float = -math.inf  # start of the group before the latest

    def add(self, packet: "VideoPacket", is_entry: bool, is_shown: bool) -> None:
        """Take the next packet."""
        time = packet.pts
        if time is None:
            raise UnprovenError
        if is_entry:
            self._begin(time)
        if not self.groups or time <= self.floor:
            raise UnprovenError
        self.groups[-1].packets.append(packet)
        if is_shown:
            self.groups[-1].times.append(time)
            self.shown += 1
        self.latest = max(self.latest, time)

    def _begin(self, time: int) -> None:
        """Begin a group: nothing before it is shown after its start."""
        if time <= self.latest:
            raise UnprovenError
        if self.groups:
            self.floor = self.groups[-1].start
            if self.groups[-1].number <= self.first:
                del self.groups[:-1]  # a window of a long file needs no more memory than of a short
        self.groups.append(_Group(self.shown, time))

    def needed(self) -> list[_Group]:
        """Return the groups from the last one that begins no later than the window."""
        usable = [place for place, group in enumerate(self.groups) if group.number <= self.first]
        if not usable:
            raise UnprovenError
        return self.groups[usable[-1] :]


def _decode_window(
    container: "InputContainer",
    stream: "VideoStream",
    numbers: Sequence[int],
    before: Mapping[_Place, int] | None,
) -> Decoded:
    groups = _Groups(numbers[0])
    ended = _read(container, stream, groups, numbers[-1], before)
    needed = groups.needed()
    entry = needed[0]
    times = sorted(time for group in needed for time in group.times if time >= entry.start)
    if not times or len(set(times)) < len(times):
        raise UnprovenError
    last = entry.number + len(times) - 1
    time_of = {number: times[min(number, last) - entry.number] for number in numbers}
    packets = [packet for group in needed for packet in group.packets]
    frames = _decode(stream, packets, set(time_of.values()))
    return Decoded(
        {number: frames[time] for number, time in time_of.items()},
        last + 1 if ended else None,
        times[-1],
    )


def _read(
    container: "InputContainer",
    stream: "VideoStream",
    groups: _Groups,
    last: int,
    before: Mapping[_Place, int] | None,
) -> bool:
    """Read packets until they hold all frames up to the last.

    Args:
        container: the file, at its beginning or at one of the places.
        stream: its video track.
        groups: takes the packets.
        last: the frame's number.
        before: how many packets of shown frames precede the packet at a place; None at the
            beginning.

    Returns:
        Whether the file ended.
    """
    codec = stream.codec_context.codec.canonical_name
    extradata = stream.codec_context.extradata or b""
    is_entry = ENTRY_TESTS[codec]
    for packet in container.demux(stream):
        if not packet.size:
            return True
        if before and not groups.groups:
            place = packet.dts, packet.pos
            if place not in before:
                raise UnprovenError
            groups.shown = before[place]
        if codec == "mpeg4":
            is_known = groups.groups or (before is None and is_header_known(packet, extradata))
            if not is_known or not is_one_coded_frame(packet):
                raise UnprovenError
        groups.add(
            packet,
            is_entry=packet.is_keyframe and is_entry(packet, extradata),
            is_shown=not is_hidden(packet, codec),
        )
        if groups.shown > last + REORDER:
            return False
    return True


def _decode(
    stream: "VideoStream", packets: "list[VideoPacket]", times: set[int]
) -> "dict[int, VideoFrame]":
    """Decode the frames with these time stamps, and of the others as few as possible."""
    context = stream.codec_context
    skippable = context.codec.canonical_name in SKIPPABLE
    end = 1 + max(place for place, packet in enumerate(packets) if packet.pts in times)
    frames: dict[int, VideoFrame] = {}
    for packet in [*packets[:end], None]:
        if skippable and packet is not None:
            context.skip_frame = "DEFAULT" if packet.pts in times else "NONREF"
        for frame in context.decode(packet):
            if frame.interlaced_frame:  # H.264 may code its two fields as two packets
                raise UnprovenError
            if frame.pts in times:
                frames[frame.pts] = frame
    if frames.keys() != times:
        raise UnprovenError
    return frames
