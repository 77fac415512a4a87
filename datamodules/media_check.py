"""Does a media file hold what its header says, and does it decode?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datamodules.decode import read_audio, read_video
from datamodules.media import MediaError, MediaInfo, media_error, open_media, probe

#: What is decoded: the first and the last frame and the first sound, or everything.
Decode = Literal["ends", "all"]

_CHECK_RATE = 8_000


@dataclass(frozen=True)
class MediaCheck:
    """What was found out about a file.

    Attributes:
        info: what its header says; None where it does not open.
        video_error: why its frames cannot be read; empty where they can, or where there is no
            video.
        audio_error: the same of its sound.
    """

    info: MediaInfo | None
    video_error: str
    audio_error: str


def check_media(path: Path, decode: Decode = "ends") -> MediaCheck:
    """Probe a file and decode some or all of it.

    A file that ends early, or whose index is damaged, fails at the last frame already. ``all``
    finds damage in the middle too, as far as the codec notices, at the price of decoding it all.

    Args:
        path: the file.
        decode: what to decode.
    """
    try:
        info = probe(path)
    except (MediaError, OSError) as error:
        reason = reason_of(path, error)
        return MediaCheck(None, reason, reason)
    video_error = audio_error = ""
    try:
        if info.frames:
            read_video(path, 0, 1)
            read_video(path, info.frames - 1, 1)
            if decode == "all":
                _decode_all(path, "video")
    except (MediaError, OSError) as error:
        video_error = reason_of(path, error)
    try:
        if info.has_audio:
            read_audio(path, info.start, 1, _CHECK_RATE)
            if decode == "all":
                _decode_all(path, "audio")
    except (MediaError, OSError) as error:
        audio_error = reason_of(path, error)
    return MediaCheck(info, video_error, audio_error)


def reason_of(path: Path, error: Exception) -> str:
    """Return an error's reason without the file and the remedy, which a list says once for all."""
    before, after = str(media_error(path, "\0")).split("\0")
    return str(error).removeprefix(before).removesuffix(after)


def _decode_all(path: Path, kind: Literal["video", "audio"]) -> None:
    with open_media(path) as container:
        if kind == "audio":
            for _ in container.decode(container.streams.audio[0]):
                pass
            return
        corrupt = sum(frame.is_corrupt for frame in container.decode(container.streams.video[0]))
        if corrupt:
            raise media_error(path, f"{corrupt} of its frames are damaged")
