"""Which clips lack a modality."""

from collections import Counter

from lightning.pytorch.utilities import rank_zero_info

from datamodules.broken_clips import media_track
from datamodules.clips import ClipReader


def report_absent(reader: ClipReader, owner: str, split: str, indexed: bool) -> None:
    """Log how many clips lack what, where that is known without opening every file.

    Args:
        reader: of the clips.
        owner: the datamodule, for the message.
        split: the clips' split, for the message.
        indexed: whether a media index says which files have sound.
    """
    known = {
        name: one for name, one in reader.readers.items() if media_track(one) != "audio" or indexed
    }
    # One pass and no threads: no file is opened, and making a clip costs more than asking it.
    present = Counter(name for clip in reader.table for name, one in known.items() if one.has(clip))
    for name in known:
        absent = len(reader.table) - present[name]
        if absent:
            rank_zero_info(
                f"{owner}: {absent} of {len(reader.table)} {split} clips have no {name}; they are "
                "kept, with it masked"
            )
