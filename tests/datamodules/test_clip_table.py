import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from datamodules.clip_table import Clip, ClipTable, Source


def clips():
    weird = Path(os.fsdecode("/data/ü \n ".encode() + bytes([255])))
    return [
        Clip("a", 3, "g1", {"video": Source(Path("/data/a.mp4")), "text": Source(weird, 1.5, 2.5)}),
        Clip("b", 0, "g1", {}),
        Clip("ü", 1, "", {"video": Source(Path("/data/b.mp4"), 0.25)}),
    ]


def test_a_table_gives_back_the_clips_that_went_in():
    table = ClipTable(iter(clips()))
    assert list(table) == clips()
    assert table[-1] == clips()[-1]
    assert table[0:2] == clips()[:2]
    assert list(table.groups) == ["g1", "g1", ""]
    assert list(pickle.loads(pickle.dumps(table)).take(np.array([2, 0]))) == [
        clips()[2],
        clips()[0],
    ]
    with pytest.raises(IndexError):
        table[3]


def test_the_file_of_several_modalities_is_held_once():
    same = dict.fromkeys(("video", "audio"), Source(Path("/a.mp4")))
    table = ClipTable([Clip("a", 0, "g", same), Clip("b", 0, "g", same)]).take(np.array([1]))
    assert table._sources["video"] is table._sources["audio"]
    assert table[0] == Clip("b", 0, "g", same)


def test_labels_keep_their_kind():
    assert isinstance(ClipTable(clips())[0].label, int)
    assert ClipTable([Clip("a", 0.5, "g", {})])[0].label == 0.5


def test_two_clips_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two clips have the same name, b"):
        ClipTable([*clips(), clips()[1]])


def test_a_hundred_thousand_clips_take_less_than_80_megabytes():
    def rows():
        for number in range(100_000):
            source = Source(Path(f"/a/folder/of/clips/Class/v_Class_g{number:06d}.mp4"))
            yield Clip(f"v_Class_g{number:06d}", number % 51, f"{number // 4}", {"video": source})

    tracemalloc.start()
    table = ClipTable(rows())
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == 100_000
    assert held < 20e6
    assert peak < 80e6
