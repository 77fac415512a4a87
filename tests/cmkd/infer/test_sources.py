"""Which sources the names of a command line stand for."""

import io
import os
import sys
from types import SimpleNamespace

import pytest

from cmkd import load_student
from cmkd.infer.sources import (
    AUDIO_SUFFIXES,
    FEATURE_SUFFIXES,
    VIDEO_SUFFIXES,
    find_sources,
    read_list,
    suffixes_of,
)
from cmkd.student import Failure
from datamodules.class_folders import SUFFIXES
from tests.cmkd.infer.small_students import clip_reading, feature_reading


def test_suffixes_are_those_of_the_datasets():
    assert {
        "video": VIDEO_SUFFIXES, "audio": AUDIO_SUFFIXES, "features": FEATURE_SUFFIXES
    } == SUFFIXES  # fmt: skip


@pytest.mark.parametrize(
    ("preprocessing", "taken", "left"),
    [
        (clip_reading("video"), ".mp4", ".wav"),
        (clip_reading("video", "audio"), ".mp4", ".wav"),
        (clip_reading("audio"), ".wav", ".npy"),
        (clip_reading("audio"), ".mp4", ".npy"),
        (feature_reading(), ".npy", ".txt"),
        (SimpleNamespace(kinds={"flow": "flow"}), None, ".jpg"),
    ],
)
def test_a_folder_is_searched_for_what_the_student_reads(preprocessing, taken, left):
    suffixes = suffixes_of(preprocessing)
    assert taken is None or taken in suffixes
    assert left not in suffixes


def test_a_folder_gives_its_clips_and_those_below_in_order(student, clip_folder, clips):
    assert list(find_sources([str(clip_folder)], student)) == clips


def test_a_relative_folder_keeps_its_name(student, clip_folder, monkeypatch):
    monkeypatch.chdir(clip_folder)
    assert next(find_sources(["sub"], student)) == "sub/grün.mp4"


def test_a_folder_without_clips_is_reported_and_the_rest_found(student, clips, tmp_path):
    failure, clip = find_sources([str(tmp_path), clips[0]], student)
    assert isinstance(failure, Failure)
    assert failure.source == str(tmp_path)
    assert ".mp4" in failure.reason
    assert clip == clips[0]


def test_each_modality_may_have_a_file_whose_name_has_commas_and_equality_signs(both_file):
    both = load_student(both_file)
    (source,) = find_sources(["video=a,b=c.mp4,audio=d,e.wav"], both)
    assert source == {"video": "a,b=c.mp4", "audio": "d,e.wav"}


def test_a_file_of_such_a_name_is_a_file(student, tmp_path):
    path = tmp_path / "x" / "video=a.mp4"
    path.parent.mkdir()
    path.touch()
    assert list(find_sources([str(path)], student)) == [str(path)]


@pytest.mark.parametrize(
    ("name", "reason"), [("video=a.mp4,video=b.mp4", "video twice"), ("video=", "no file")]
)
def test_a_modality_without_one_file_is_reported(student, name, reason):
    (failure,) = find_sources([name], student)
    assert isinstance(failure, Failure)
    assert reason in failure.reason


def test_a_modality_that_the_student_does_not_see_makes_it_a_files_name(student):
    assert list(find_sources(["flow=a.mp4"], student)) == ["flow=a.mp4"]


def test_a_list_has_a_name_a_line_whatever_wrote_it(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffa b.mp4\r\n\r\n \ngrün.mp4 \n\u2028.mp4\n".encode() + b"\xff.mp4")
    names = read_list(str(path))
    assert names[:3] == ["a b.mp4", "grün.mp4 ", "\u2028.mp4"]
    assert os.fsencode(names[3]) == b"\xff.mp4"


def test_a_list_may_stand_on_the_standard_input(monkeypatch):
    given = io.TextIOWrapper(io.BytesIO("ü.mp4\n".encode() + b"\xff.mp4\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", given)
    first, second = read_list("-")
    assert first == "ü.mp4"
    assert os.fsencode(second) == b"\xff.mp4"
