"""The tutorial's commands, run as they stand on the page, on small clips."""

import re
import shlex
import sys

import numpy as np
import pytest

from cmkd.main import main
from tests.datamodules.media_files import write_clip
from tests.test_documented_examples import README, block
from tests.test_experiments import EXPERIMENTS

#: Colour and pitch of a class's clips.
CLASSES = {
    "red": ((200, 60, 60), 300),
    "blue": ((60, 60, 200), 2_000),
}


def commands():
    """Return the command lines of the tutorial's block."""
    lines = block("sh", "## Tutorial").splitlines()
    return [shlex.split(line) for line in lines if not line.startswith("#")]


def write_clips(folder):
    """Write two classes of five training clips and two test clips, each of another brightness."""
    for name, (colour, pitch) in CLASSES.items():
        for part, count, more in (("train", 5, 0), ("test", 2, 4)):
            for number in range(count):
                shade = tuple(min(255, level + 8 * number + more) for level in colour)
                write_clip(
                    folder / part / name / f"{part}_{number}.mp4",
                    frames=50,
                    colour=lambda frame, shade=shade: tuple(max(0, c - frame) for c in shade),
                    tone=lambda t, pitch=pitch: 0.5 * np.sin(2 * np.pi * pitch * t),
                )


def exit_code():
    """Run the command of ``sys.argv``."""
    try:
        main()
    except SystemExit as stopped:
        return stopped.code or 0
    return 0


def test_the_tutorial_has_ten_commands_of_cmkd():
    assert [command[0] for command in commands()] == ["cmkd"] * 10


@pytest.mark.slow
def test_the_tutorial_leads_from_two_folders_of_clips_to_a_student(tmp_path, monkeypatch, capsys):
    write_clips(tmp_path / "clips")
    (tmp_path / "experiments").symlink_to(EXPERIMENTS)
    monkeypatch.chdir(tmp_path)
    printed = {}
    for number, command in enumerate(commands()):
        monkeypatch.setattr(sys, "argv", command)
        assert exit_code() == 0, (command, capsys.readouterr())
        printed[number] = capsys.readouterr().out
    assert "14 of 14 files are whole" in printed[0]
    for run in ("alone", "kd", "infonce"):
        assert (tmp_path / "runs" / run / "checkpoints" / "best.ckpt").is_file()
    assert "test/student_accuracy" in printed[4]
    assert (tmp_path / "runs" / "kd" / "report.html").is_file()
    assert (tmp_path / "student" / "student.safetensors").is_file()
    # Every clip is named, and both classes are found.
    clips = [path.name for path in (tmp_path / "clips").rglob("*.mp4")]
    assert all(name in printed[8] for name in clips)
    assert np.load(tmp_path / "clips.npz")["embedding"].shape == (len(clips), 64)
    assert printed[9].count("test_0.mp4") >= len(CLASSES)
    # The student in Python, as the README shows it, on a clip of its own.
    write_clip(tmp_path / "clip.mp4", frames=50)
    exec(block("python", "What comes out of a run", README), {})
    shown = capsys.readouterr().out
    assert all(re.search(rf"^{name}: [\d.]+%$", shown, re.MULTILINE) for name in CLASSES)
