"""The commands as processes: bytes of pipes, and the student of a real training."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.cmkd.student.small_runs import clip_arguments, fit

pytestmark = pytest.mark.slow


def cmkd(*args, **options):
    """Run a command of cmkd in a process of its own."""
    command = [sys.executable, "-m", "cmkd", *map(os.fsdecode, args)]
    return subprocess.run(command, capture_output=True, check=False, **options)


def test_a_name_that_is_not_utf8_goes_through_a_pipe_unchanged(student_file, clips, tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xfe.mp4"
    try:
        shutil.copy(clips[0], name)
    except OSError:
        pytest.skip("this file system knows no such names")
    done = cmkd("infer", "--ckpt", student_file, "-", "--format", "csv", input=name + b"\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith(name + b",1,")
    assert done.stderr == b""


def test_a_reader_that_goes_away_ends_it_quietly(student_file, clips):
    # Not `-m cmkd`, which imports Lightning first.
    program = "import sys; from cmkd.infer.command import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "--ckpt", str(student_file), *clips]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_checkpoint_and_what_is_exported_of_it_search_one_index(tmp_path):
    arguments = clip_arguments(tmp_path, student="[video]")
    checkpoint = fit(arguments, tmp_path / "run")
    root = tmp_path / "clips"
    index = tmp_path / "gallery.npz"
    made = cmkd("infer", "--ckpt", checkpoint, root, "--embeddings", index, "--format", "none")
    assert made.returncode == 0, made.stderr
    exported = cmkd("export", checkpoint, "--out", tmp_path / "out", "--no_metrics")
    assert exported.returncode == 0, exported.stderr
    query = next(root.rglob("*g01*.mp4"))
    found = [
        cmkd("search", "--index", index, *student, query)
        for student in ([], ["--ckpt", tmp_path / "out" / "student.safetensors"])
    ]
    for process in found:
        assert process.returncode == 0, process.stderr
    first, second = (json.loads(process.stdout) for process in found)
    assert first == second
    assert len(first["nearest"]) == 5
