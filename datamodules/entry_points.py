"""Key frames from which decoding gives the same frames as decoding from the beginning.

A container's key frame flag alone does not prove that: H.264 files made with periodic intra
refresh set it where the picture is only about to be rebuilt. What the codec's bit stream says does.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datamodules.window import VideoPacket

#: Whether a key frame's packet, given the codec's extra data, is a point to start from.
EntryTest = Callable[["VideoPacket", bytes], bool]

#: Where the configuration records of H.264 and HEVC keep the size of a unit's length.
_LENGTH_SIZE_AT = {"h264": 4, "hevc": 21}

_H264_SLICE, _H264_IDR, _H264_SEI = 1, 5, 6
_RECOVERY_POINT = 6
#: Units of HEVC's random access pictures: BLA, IDR and CRA.
_HEVC_RANDOM_ACCESS = range(16, 22)


def _any_key_frame(packet: "VideoPacket", extradata: bytes) -> bool:  # noqa: ARG001
    return True


def _h264_entry(packet: "VideoPacket", extradata: bytes) -> bool:
    """Accept IDR pictures, and recovery points that are exact from their own picture on."""
    exact = False
    for unit in _units(bytes(packet), "h264", extradata):
        kind = unit[0] & 0x1F
        if kind == _H264_IDR:
            return True
        if kind == _H264_SLICE:
            return exact
        exact = exact or (kind == _H264_SEI and _is_exact_recovery(unit[1:]))
    return False


def _hevc_entry(packet: "VideoPacket", extradata: bytes) -> bool:
    kinds = (unit[0] >> 1 & 0x3F for unit in _units(bytes(packet), "hevc", extradata))
    return next((kind for kind in kinds if kind < 32), -1) in _HEVC_RANDOM_ACCESS


#: The codecs of which every packet is known to give one frame, and their entry points. Pictures
#: that follow such a key frame in the order of display use nothing from before it.
ENTRY_TESTS: dict[str, EntryTest] = {
    "h264": _h264_entry,
    "hevc": _hevc_entry,
    **dict.fromkeys(
        ("av1", "ffv1", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "prores", "vp8", "vp9"),
        _any_key_frame,
    ),
}


#: The codecs of which a frame that nothing refers to can be left out and changes no other. (HEVC's
#: flag for it speaks of one temporal layer only.)
SKIPPABLE = frozenset({"h264", "mpeg1video", "mpeg2video"})


#: Formats that keep the time at which a frame is shown. AVI does not: what FFmpeg makes up for it
#: is right where no frame is coded before one that is shown earlier.
_TIMED_FORMATS = frozenset({"flv", "matroska", "mov", "mpeg", "mpegts"})
_NEVER_REORDERED = frozenset({"ffv1", "mjpeg", "mpeg4"})  # MPEG-4's B-frames are looked for


def has_time_stamps(format_name: str, codec: str) -> bool:
    """Return whether the packets' time stamps are those of the frames.

    Args:
        format_name: FFmpeg's name of the container format, or its names with commas between.
        codec: FFmpeg's name of the codec.
    """
    if not _TIMED_FORMATS.isdisjoint(format_name.split(",")):
        return True
    return format_name == "avi" and codec in _NEVER_REORDERED


def is_hidden(packet: "VideoPacket", codec: str) -> bool:
    """Return whether a frame is not shown: an edit list hides it, or others only use it."""
    return packet.is_discard or (codec == "vp8" and not bytes(packet)[0] & 0x10)


def _units(data: bytes, codec: str, extradata: bytes) -> Iterator[bytes]:
    """Split a packet into the codec's units, by length in MP4 and MKV, else by start codes."""
    if not extradata.startswith(b"\1"):
        yield from (unit for unit in data.split(b"\0\0\1")[1:] if unit)
        return
    width = (extradata[_LENGTH_SIZE_AT[codec]] & 3) + 1
    place = 0
    while place + width < len(data):
        end = place + width + int.from_bytes(data[place : place + width], "big")
        if unit := data[place + width : end]:
            yield unit
        place = end


def _is_exact_recovery(messages: bytes) -> bool:
    """Whether an SEI unit holds a recovery point with a count of 0 frames and an exact match."""
    place = 0
    while place + 2 < len(messages):
        numbers = []
        for _ in ("type", "size"):  # each is a run of 255s and a last byte, to be added up
            number = 0
            while place < len(messages) - 1 and messages[place] == 255:
                number, place = number + 255, place + 1
            numbers.append(number + messages[place])
            place += 1
        kind, size = numbers
        # The count as an Exp-Golomb code, 0 being one set bit, then the bit of the exact match.
        if kind == _RECOVERY_POINT and place < len(messages):
            return messages[place] & 0xC0 == 0xC0
        place += size
    return False
