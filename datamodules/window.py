"""What the ways of decoding a window have in common."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    VideoPacket = Packet[VideoStream]


class UnprovenError(Exception):
    """Nothing proves that a shorter way of decoding gives the right frames of this file."""


class InapplicableError(UnprovenError):
    """The same, and nothing of the file was read to find that out."""


@dataclass(frozen=True)
class Decoded:
    """Frames of a video by number.

    Attributes:
        frames: those asked for; the last one in place of any past the video's end.
        total: how many frames the video has; None where its end was not reached.
        latest: the latest time stamp seen.
    """

    frames: "dict[int, VideoFrame]"
    total: int | None
    latest: int
