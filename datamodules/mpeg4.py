"""MPEG-4 part 2 in AVI (DivX, XviD): frames by the order of their coding.

With B-frames such files have no usable time stamps, and often two frames in one packet followed by
an empty one ("packed bitstream"). But the decoder shows one frame for each packet it is given, one
packet later. So a frame's number follows from its packet's place, as long as every packet brings a
coded frame, which is checked here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datamodules.window import Decoded, InapplicableError, UnprovenError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from datamodules.window import VideoPacket

#: Frames of up to this many bytes may be placeholders of a packed bitstream, as FFmpeg has it.
PLACEHOLDER_BYTES = 19

_FRAME_START = re.compile(rb"\x00\x00\x01\xb6(.)", re.DOTALL)
_GROUP_OF_FRAMES = b"\xb3"  # holds the time alone
_PACKED = re.compile(rb"DivX\d+(?:Build|b)\d+p")  # what makes FFmpeg unpack
_INTRA, _BIDIRECTIONAL = 0, 2


@dataclass(frozen=True)
class _Call:
    """What the decoder does when it is given a packet."""

    packet: "VideoPacket"
    kind: int  # of the frame it decodes: that of this packet or one held back from the last
    direct: bool  # nothing was held back

    @property
    def is_b(self) -> bool:
        return self.kind == _BIDIRECTIONAL

    @property
    def is_entry(self) -> bool:
        return self.packet.is_keyframe and self.direct and self.kind == _INTRA


def is_one_coded_frame(packet: "VideoPacket") -> bool:
    """Return whether a packet surely holds one coded frame that is not a B-frame."""
    frames = _frames(packet)
    if len(frames) != 1:
        return False
    kind, size = frames[0]
    return size > PLACEHOLDER_BYTES and kind != _BIDIRECTIONAL


def is_header_known(first: "VideoPacket", extradata: bytes) -> bool:
    """Return whether a decoder that has not seen the file's first packet knows what it says.

    The names of encoders in there decide on how their bugs are worked around.
    """
    header = _FRAME_START.split(bytes(first), maxsplit=1)[0]
    units = header.split(b"\0\0\1")
    return all(unit in extradata for unit in units if not unit.startswith(_GROUP_OF_FRAMES))


def decode_by_coding_order(
    container: "InputContainer", stream: "VideoStream", numbers: Sequence[int]
) -> Decoded:
    """Decode frames of an MPEG-4 video with B-frames from the last key frame before them.

    B-frames before the first frame asked for are not decoded.

    Args:
        container: a file of which nothing was read yet.
        stream: its video track.
        numbers: of the frames, ascending.

    Raises:
        UnprovenError: when the result is not known to equal that of decoding from the beginning.
    """
    context = stream.codec_context
    if context.codec.canonical_name != "mpeg4" or not context.has_b_frames:
        raise InapplicableError
    begin, calls, ended = _read_calls(container, stream, numbers[0], numbers[-1])
    if not calls:
        raise UnprovenError
    total = begin + len(calls) if ended else None
    last = begin + len(calls) - (1 if ended else 2)
    wanted = {min(number, last) for number in numbers}
    frames = _decode(stream, calls, begin, wanted, ended)
    latest = max(call.packet.pts or 0 for call in calls)
    return Decoded({number: frames[min(number, last)] for number in numbers}, total, latest)


def _read_calls(
    container: "InputContainer", stream: "VideoStream", first: int, last: int
) -> tuple[int, list[_Call], bool]:
    """Read the packets for the frames ``first`` to ``last``, without decoding.

    Returns:
        The number of the first call, the calls, and whether they go to the end of the file.
    """
    begin, calls = 0, list[_Call]()
    held: int | None = None  # kind of the frame that the decoder holds back
    entry: int | None = None  # the latest entry point, while frames shown before it may follow
    extradata = stream.codec_context.extradata or b""
    packed = may_enter = False
    for number, packet in enumerate(container.demux(stream)):
        if not packet.size:  # the end; what is held back is never shown
            return begin, calls, True
        if number == 0:
            packed = _PACKED.search(extradata + bytes(packet)) is not None
            may_enter = is_header_known(packet, extradata)
        call, held = _next_call(packet, held, packed)
        if (number == 0 and not call.is_entry) or (number == 1 and call.is_b):
            raise UnprovenError
        if entry is not None and not call.is_b:
            if number - 1 <= first:  # the entry point is shown now
                begin, calls = entry, calls[entry - begin :]
            entry = None
        if call.is_entry and may_enter:
            entry = number
        calls.append(call)
        if number > last:
            break
    return begin, calls, False


def _next_call(packet: "VideoPacket", held: int | None, packed: bool) -> tuple[_Call, int | None]:
    """Return what the decoder does with a packet and which kind of frame it holds back then."""
    frames = _frames(packet)
    if packet.is_discard:  # an edit list hides it
        raise UnprovenError
    if held is not None:
        if len(frames) != 1:
            raise UnprovenError
        kind, size = frames[0]
        return _Call(packet, held, direct=False), kind if size > PLACEHOLDER_BYTES else None
    if len(frames) not in ((1, 2) if packed else (1,)):
        raise UnprovenError
    if min(size for _, size in frames) <= PLACEHOLDER_BYTES:
        raise UnprovenError
    kinds = [kind for kind, _ in frames]
    return _Call(packet, kinds[0], direct=True), kinds[1] if len(kinds) == 2 else None


def _decode(
    stream: "VideoStream", calls: list[_Call], begin: int, wanted: set[int], ended: bool
) -> "dict[int, VideoFrame]":
    """Make the calls and take the frames wanted; the call of number n shows frame n - 1."""
    context = stream.codec_context
    # Among skipped frames, holding back goes wrong and placeholders are taken for frames, which
    # spoils the clock. B-frames need the time between the two anchors before them: so these are
    # the ones to begin with.
    anchors = [
        number
        for number, call in enumerate(calls[: min(wanted) + 1 - begin], start=begin)
        if call.direct and not call.is_b
    ]
    exact_from = anchors[-2] if len(anchors) > 1 else begin
    frames: dict[int, VideoFrame] = {}
    count = 0  # of anchors: each is shown when the next comes
    for number, call in enumerate(calls, start=begin):
        context.skip_frame = "NONREF" if number < exact_from else "DEFAULT"
        shown = context.decode(call.packet)
        count += not call.is_b
        is_shown = count > 1 and not (call.is_b and number < exact_from)
        if len(shown) != is_shown:
            raise UnprovenError
        if number - 1 in wanted:
            if not shown:
                raise UnprovenError
            frames[number - 1] = shown[0]
    if ended:
        shown = context.decode(None)
        if len(shown) != 1:
            raise UnprovenError
        frames[begin + len(calls) - 1] = shown[0]
    return frames


def _frames(packet: "VideoPacket") -> list[tuple[int, int]]:
    """Return kind (0 I, 1 P, 2 B, 3 S: global motion) and size in bytes of a packet's frames."""
    found = list(_FRAME_START.finditer(bytes(packet)))
    starts = [match.start() for match in found]
    ends = [*starts[1:], packet.size]
    return [
        (match[1][0] >> 6, end - start)
        for match, start, end in zip(found, starts, ends, strict=False)
    ]
