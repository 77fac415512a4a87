"""What the tests of infer and search share; nothing in it is trained."""

import pytest

from cmkd import load_student
from tests.cmkd.infer.small_students import clip_reading, save, write_clips


@pytest.fixture(scope="session")
def student_file(tmp_path_factory):
    """The weights of a student that sees video."""
    return save(tmp_path_factory.mktemp("student"), clip_reading("video"))


@pytest.fixture(scope="session")
def student(student_file):
    return load_student(student_file)


@pytest.fixture(scope="session")
def both_file(tmp_path_factory):
    """The weights of a student that sees video and hears sound."""
    return save(tmp_path_factory.mktemp("both"), clip_reading("video", "audio"))


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """Three clips; also what is no clip: notes, a hidden file, sound."""
    folder = tmp_path_factory.mktemp("clips with spaces")
    write_clips(folder)
    (folder / "notes.txt").write_text("no clip")
    (folder / "._a red.mp4").write_bytes(b"left by another system")
    (folder / "sub" / "sound.wav").write_bytes(b"")
    return folder


@pytest.fixture
def clips(clip_folder):
    """The clips in the order in which the folder is searched."""
    return [str(clip_folder / name) for name in ("a red.mp4", "sub/grün.mp4", "sub/more/b,=.mp4")]
