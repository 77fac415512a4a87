import errno
import re
from pathlib import Path

import pytest

from datamodules import world_folder
from datamodules.clip_lists import read_class_index, read_clip_list
from datamodules.rendering import CLASS_NAMES, World
from datamodules.world_folder import clip_folder, list_folder, render_world

WORLD = World(groups=2, test_groups=1, clips_per_group=1)
CLIPS = 2 * len(CLASS_NAMES)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    """A finished folder that tests only read."""
    root = tmp_path_factory.mktemp("rendered")
    assert render_world(root, WORLD) == CLIPS
    return root


@pytest.fixture
def copied(rendered, tmp_path) -> Path:
    """A finished folder that a test may change."""
    for name, content in contents(rendered).items():
        path = tmp_path / "world" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "world"


def fail_after(count: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let encoding fail from the clip after ``count`` on."""
    encode, left = world_folder.encode_mp4, [None] * count

    def failing(*args: object) -> bytes:
        if not left:
            raise error
        left.pop()
        return encode(*args)

    monkeypatch.setattr(world_folder, "encode_mp4", failing)


def test_the_lists_read_as_ucf101s_do_and_name_every_clip_once(rendered):
    index = read_class_index(list_folder(rendered) / "classInd.txt")
    assert list(index) == CLASS_NAMES
    train = read_clip_list(list_folder(rendered) / "trainlist01.txt", index, labelled=True)
    test = read_clip_list(list_folder(rendered) / "testlist01.txt", index, labelled=False)
    listed = {f"{clip.class_name}/{clip.file_name}" for clip in train + test}
    clips = clip_folder(rendered)
    assert listed == {str(path.relative_to(clips)) for path in clips.rglob("*.mp4")}
    assert len(train) + len(test) == CLIPS
    assert {clip.group for clip in train}.isdisjoint({clip.group for clip in test})


def test_the_lists_are_written_in_the_official_syntax(rendered):
    line = "BouncingBell/v_BouncingBell_g{}_c01.mp4"
    lists = list_folder(rendered)
    assert (lists / "classInd.txt").read_text().startswith("1 BouncingBell\n2 BouncingDrum\n")
    assert (lists / "trainlist01.txt").read_text().splitlines()[0] == f"{line.format('02')} 1"
    assert (lists / "testlist01.txt").read_text().splitlines()[0] == line.format("01")


def test_rendering_anew_gives_the_same_files(rendered, tmp_path):
    render_world(tmp_path, WORLD)
    assert contents(tmp_path) == contents(rendered)


def test_a_finished_folder_is_left_as_it_is(rendered):
    before = {path: path.stat().st_mtime_ns for path in rendered.rglob("*")}
    assert render_world(rendered, WORLD) == 0
    assert {path: path.stat().st_mtime_ns for path in rendered.rglob("*")} == before


def test_deleted_files_come_back_and_others_stay(copied, rendered):
    clips = sorted(clip_folder(copied).rglob("*.mp4"))
    for path in clips[:3]:
        path.unlink()
    (list_folder(copied) / "testlist01.txt").unlink()
    kept = {path: path.stat().st_mtime_ns for path in clips[3:]}
    assert render_world(copied, WORLD) == 3
    assert contents(copied) == contents(rendered)
    assert {path: path.stat().st_mtime_ns for path in clips[3:]} == kept


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("killed")])
def test_an_interrupted_rendering_goes_on_where_it_stopped(error, rendered, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_after(5, error, patch)
        with pytest.raises(type(error)):
            render_world(tmp_path, WORLD)
    done = len(list(clip_folder(tmp_path).rglob("*.mp4")))
    assert done == 5
    assert render_world(tmp_path, WORLD) == CLIPS - done
    assert contents(tmp_path) == contents(rendered)


def test_what_a_killed_process_left_half_written_is_not_taken_for_a_clip(copied, rendered):
    clip = next(clip_folder(copied).rglob("*.mp4"))
    left = clip.with_name(f".{clip.name}.0123abcd")
    left.write_bytes(clip.read_bytes()[:100])
    clip.unlink()
    assert render_world(copied, WORLD) == 1
    left.unlink()
    assert contents(copied) == contents(rendered)


def test_an_unfinished_folder_of_another_world_is_refused_too(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_after(2, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            render_world(tmp_path, WORLD)
    with pytest.raises(ValueError, match="holds another world"):
        render_world(tmp_path, World(groups=2, test_groups=1, clips_per_group=1, seed=3))


def test_a_folder_of_another_world_is_neither_used_nor_overwritten(copied):
    before = contents(copied)
    other = World(groups=2, test_groups=1, clips_per_group=1, imprint=0.5)
    with pytest.raises(ValueError, match=re.escape(str(copied))) as caught:
        render_world(copied, other)
    assert "imprint is" in str(caught.value)
    assert "0.5 here" in str(caught.value)
    assert "another folder" in str(caught.value)
    assert contents(copied) == before


def test_a_folder_of_an_older_version_is_refused(copied, monkeypatch):
    monkeypatch.setattr(world_folder, "VERSION", world_folder.VERSION + 1)
    with pytest.raises(ValueError, match="version"):
        render_world(copied, WORLD)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_description_is_named(copied, text):
    (copied / "world.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(copied))):
        render_world(copied, WORLD)


def test_clips_of_unknown_origin_are_not_mixed_with_rendered_ones(tmp_path):
    mine = tmp_path / "clips" / "mine.mp4"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"no world\.json"):
        render_world(tmp_path, WORLD)
    assert contents(tmp_path) == {"clips/mine.mp4": b"mine"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    root = tmp_path / "file" / "world"
    with pytest.raises(NotADirectoryError, match=re.escape(str(root))) as caught:
        render_world(root, WORLD)
    assert "as root" in str(caught.value)


def test_a_full_disk_is_named_and_leaves_no_half_files(tmp_path, rendered, monkeypatch):
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "SwingingDrum" in path.name:
            write(path, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match=r"No space left on device.*make room"):
            render_world(tmp_path, WORLD)
    whole = contents(rendered)
    assert all(whole[name] == content for name, content in contents(tmp_path).items())
    render_world(tmp_path, WORLD)
    assert contents(tmp_path) == whole


def test_a_finished_folder_that_cannot_be_written_is_read(rendered, monkeypatch):
    def refuse(path: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert render_world(rendered, WORLD) == 0


def test_the_progress_bar_shows_only_when_there_is_something_to_render(copied, capsys):
    next(clip_folder(copied).rglob("*.mp4")).unlink()
    render_world(copied, WORLD)
    assert "Rendering clips" in capsys.readouterr().out
    render_world(copied, WORLD)
    assert capsys.readouterr().out == ""
