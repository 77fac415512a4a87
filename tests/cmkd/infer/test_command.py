"""The commands ``cmkd infer`` and ``cmkd search``, from arguments to output and exit code."""

import csv
import io
import json
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch

from cmkd import Student, load_student
from cmkd.infer.command import main as infer
from cmkd.infer.search_command import main as search
from cmkd.main import main
from tests.cmkd.infer.small_students import NAMES, clip_reading, feature_reading, save
from tests.datamodules.media_files import write_clip, write_sound


def exit_code(command, *args):
    """Run a command and return its exit code."""
    try:
        command([str(arg) for arg in args])
    except SystemExit as stopped:
        return stopped.code
    return 0


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def broken(tmp_path):
    """A file of each kind that does not decode, in a folder whose name is not English."""
    folder = tmp_path / "défekt [1]"
    folder.mkdir()
    (folder / "broken.mp4").write_bytes(b"no video at all")
    (folder / "empty.mp4").touch()
    whole = write_clip(folder / "half.mp4").read_bytes()
    (folder / "half.mp4").write_bytes(whole[: len(whole) // 3])
    return folder


@pytest.fixture(scope="module")
def gallery(student_file, clip_folder, tmp_path_factory):
    """An index of the clips."""
    path = tmp_path_factory.mktemp("gallery") / "gallery.npz"
    given = ["--ckpt", str(student_file), "--embeddings", str(path), "--format", "none"]
    infer([*given, str(clip_folder)])
    return path


def test_json_has_what_predict_says_a_line_a_clip(student, student_file, clips, capsys):
    assert exit_code(infer, "--ckpt", student_file, *clips, "--top", 2) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    answers = lines_of(printed.out)
    assert [answer["source"] for answer in answers] == clips
    for answer in answers:
        expected = student.predict(answer["source"]).top(2)
        assert [entry["class"] for entry in answer["top"]] == [name for name, _ in expected]
        shares = [entry["probability"] for entry in answer["top"]]
        assert shares == pytest.approx([share for _, share in expected], abs=1e-5)


def test_csv_has_a_line_a_rank_and_top_reaches_no_further_than_the_classes(
    student_file, clip_folder, clips, capsys
):
    assert exit_code(infer, clip_folder, "--ckpt", student_file, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["source"] for row in rows] == [clip for clip in clips for _ in NAMES]
    assert [row["rank"] for row in rows] == ["1", "2", "3"] * len(clips)
    assert sum(float(row["probability"]) for row in rows[:3]) == pytest.approx(1, abs=1e-5)


def test_the_table_holds_names_with_brackets_and_is_not_folded_in_a_file(
    student_file, clips, tmp_path, capsys
):
    name = tmp_path / ("[bold] " + "long " * 30 + ".mp4")
    name.symlink_to(clips[0])
    assert exit_code(infer, "--ckpt", student_file, name, "--format", "table") == 0
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if str(name) in line]
    assert any(known in line for known in NAMES)
    assert " %" in line


def test_what_cannot_be_read_is_reported_by_name_and_the_rest_done(
    student_file, clips, broken, capsys
):
    given = [broken, clips[0], "nowhere.mp4", clips[1], broken.parent / "nothing"]
    assert exit_code(infer, "--ckpt", student_file, *given, "--workers", 2) == 1
    printed = capsys.readouterr()
    assert [answer["source"] for answer in lines_of(printed.out)] == clips[:2]
    complaints = printed.err.splitlines()
    for complaint, name in zip(
        complaints, ["broken.mp4", "empty.mp4", "half.mp4", "nowhere.mp4", "nothing"], strict=False
    ):
        assert complaint.count(name) == 1
    assert complaints[-1] == "5 of 7 sources failed"


def test_sources_come_from_a_list_and_from_the_standard_input(
    student_file, clips, clip_folder, tmp_path, monkeypatch, capsys
):
    (tmp_path / "list.txt").write_text(f"{clips[0]}\n\n{clip_folder / 'sub'}\n")
    assert exit_code(infer, "--ckpt", student_file, "--list", tmp_path / "list.txt") == 0
    from_file = lines_of(capsys.readouterr().out)
    assert [answer["source"] for answer in from_file] == clips
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(clips[1:])))
    assert exit_code(infer, "--ckpt", student_file, clips[0], "-") == 0
    assert lines_of(capsys.readouterr().out) == from_file


def test_two_modalities_come_from_one_file_or_from_one_each(both_file, clips, tmp_path, capsys):
    sound = write_sound(tmp_path / "a, b.wav", 0.5 * np.sin(np.arange(12_800) / 9)[None])
    pair = f"video={clips[0]},audio={sound}"
    assert exit_code(infer, "--ckpt", both_file, pair, clips[0]) == 0
    first, second = lines_of(capsys.readouterr().out)
    both = load_student(both_file)
    expected = both.predict({"video": clips[0], "audio": str(sound)})
    assert first["source"] == f"{clips[0]}, {sound}"
    assert first["top"][0]["probability"] == pytest.approx(expected.top(1)[0][1], abs=1e-5)
    alone = both.predict(clips[0])
    assert second["top"][0]["probability"] == pytest.approx(alone.top(1)[0][1], abs=1e-5)
    assert not torch.allclose(expected.embedding, alone.embedding, atol=1e-4)


def test_a_regression_gives_a_value(tmp_path, capsys):
    student_file = save(tmp_path / "student", feature_reading(), task="regression")
    np.save(tmp_path / "face.npy", np.array([5.0, 7.0, 3.0, 9.0]))
    given = ["--ckpt", student_file, tmp_path / "face.npy", "--embeddings", tmp_path / "a.npz"]
    assert exit_code(infer, *given, "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    expected = load_student(student_file).predict(tmp_path / "face.npy").value
    assert float(row["value"]) == pytest.approx(expected, abs=1e-5)
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["value"].tolist() == pytest.approx([expected], abs=1e-5)


def test_embeddings_are_those_of_predict_and_failures_are_not_among_them(
    student, student_file, clips, broken, tmp_path, capsys
):
    path = tmp_path / "clips.npz"
    given = ["--ckpt", student_file, clips[0], broken, clips[1], "--embeddings", path]
    assert exit_code(infer, *given, "--format", "none") == 1
    assert capsys.readouterr().out == ""
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["source"].tolist() == clips[:2]
        assert arrays["class_names"].tolist() == NAMES
        for row, clip in enumerate(clips[:2]):
            expected = student.predict(clip)
            assert np.allclose(arrays["embedding"][row], expected.embedding, atol=1e-5)
            assert np.allclose(arrays["probability"][row], expected.probabilities, atol=1e-6)


def test_search_lists_the_nearest_clips_and_a_query_not_itself(
    student, gallery, clips, tmp_path, capsys
):
    elsewhere = tmp_path / "query.mp4"
    elsewhere.symlink_to(clips[1])
    assert exit_code(search, "--index", gallery, elsewhere, clips[1]) == 0
    copy, own = lines_of(capsys.readouterr().out)
    assert copy["nearest"][0]["clip"] == clips[1]
    assert copy["nearest"][0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert len(copy["nearest"]) == 3
    assert own["nearest"] == copy["nearest"][1:]
    asked, other = student.predict(clips[1]).embedding, student.predict(clips[0]).embedding
    expected = float(torch.cosine_similarity(asked, other, dim=0))
    found = {entry["clip"]: entry["cosine"] for entry in own["nearest"]}
    assert found[clips[0]] == pytest.approx(expected, abs=1e-5)


def test_search_refuses_another_student_and_one_that_is_gone(
    student_file, gallery, clips, tmp_path, capsys
):
    other = save(tmp_path / "other", clip_reading("video"), seed=1)
    assert exit_code(search, "--index", gallery, "--ckpt", other, clips[0]) == 2
    assert "cannot be compared" in capsys.readouterr().err
    with np.load(gallery) as archive:
        arrays = dict(archive)
    gone = tmp_path / "moved.npz"
    np.savez(gone, **arrays | {"checkpoint": np.array(str(tmp_path / "gone.safetensors"))})
    assert exit_code(search, "--index", gone, clips[0]) == 2
    assert "--ckpt" in capsys.readouterr().err
    assert exit_code(search, "--index", gone, "--ckpt", student_file, clips[0]) == 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], "no source"),
        (["a.mp4", "--embeddings", "a.npy"], ".npz"),
        (["a.mp4", "--embeddings", "nowhere/a.npz"], "nowhere"),
        (["a.mp4", "--device", "abacus"], "--device abacus"),
        (["a.mp4", "--top", "0"], "--top"),
        (["a.mp4", "--workers", "0"], "--workers"),
        (["a.mp4", "--batch_size", "many"], "--batch_size"),
        (["a.mp4", "--format", "xml"], "--format"),
        (["--list", "nowhere.txt"], "nowhere.txt"),
        (["a.mp4", "--ckpt", "nowhere.ckpt"], "nowhere.ckpt"),
        (["a.mp4", "--ckpt", "clip.mp4"], "clip.mp4"),
    ],
)
def test_mistakes_in_the_arguments_are_named_and_exit_with_2(
    student_file, tmp_path, monkeypatch, capsys, given, named
):
    monkeypatch.chdir(tmp_path)
    assert exit_code(infer, "--ckpt", student_file, *given) == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert printed.out == ""


def test_both_are_commands_of_cmkd(monkeypatch, capsys):
    for command in ("infer", "search"):
        monkeypatch.setattr(sys, "argv", ["cmkd", command, "--help"])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 0
        assert f"usage: cmkd {command}" in capsys.readouterr().out


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts, although Lightning ignores it once a training was interrupted."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_what_is_done_written(student_file, clips, tmp_path, monkeypatch, capsys):
    printed = tmp_path / "printed.json"
    read, ended = Student.preprocess, threading.Event()

    def interrupted(self, source):
        if source == clips[2]:
            begun = time.monotonic()
            while len(printed.read_text().splitlines()) < 2 and time.monotonic() < begun + 60:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            ended.wait(60)
        return read(self, source)

    monkeypatch.setattr(Student, "preprocess", interrupted)
    given = ["--ckpt", student_file, *clips, *clips, "--embeddings", tmp_path / "clips.npz"]
    with printed.open("w") as out, monkeypatch.context() as redirected:
        redirected.setattr(sys, "stdout", out)
        code = exit_code(infer, *given, "--workers", 1, "--batch_size", 1)
        ended.set()
    assert code == 130
    assert [answer["source"] for answer in lines_of(printed.read_text())] == clips[:2]
    with np.load(tmp_path / "clips.npz") as arrays:
        assert arrays["source"].tolist() == clips[:2]
    assert "2 of 6" in capsys.readouterr().err
