import av
import pytest

from datamodules.media import MediaError, probe
from tests.datamodules.media_files import hide_beginning, write_clip


def truncate(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_the_header_gives_frames_rate_duration_and_audio(tmp_path):
    info = probe(write_clip(tmp_path / "a.mp4", frames=20, frame_rate=20))
    assert (info.frames, info.frame_rate, info.start, info.has_audio) == (20, 20.0, 0.0, True)
    assert info.duration == pytest.approx(1.0)
    assert info.time_of(5) == pytest.approx(0.25)
    assert not probe(write_clip(tmp_path / "b.avi", tone=None)).has_audio


def test_frames_hidden_by_an_edit_list_are_not_counted(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", frames=30, tone=None)
    cut = hide_beginning(whole, tmp_path / "cut.mp4", seconds=0.4)
    with av.open(str(cut)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    assert probe(cut).frames == shown == 20


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_an_empty_file_is_named(tmp_path, suffix):
    path = tmp_path / f"v_Archery_g01_c01{suffix}"
    path.touch()
    with pytest.raises(MediaError, match=rf"{path.name}: it is empty \(0 bytes\).*intact copy"):
        probe(path)


def test_a_truncated_avi_is_named_with_what_is_left_of_it(tmp_path):
    path = truncate(write_clip(tmp_path / "a.avi", frames=75), 0.8)
    with pytest.raises(MediaError, match=r"a.avi: it ends after \d+ of \d+ frames \(truncated\)"):
        probe(path)


def test_a_truncated_mp4_is_named(tmp_path):
    with pytest.raises(MediaError, match=r"a.mp4: .*intact copy"):
        probe(truncate(write_clip(tmp_path / "a.mp4"), 0.5))


def test_a_file_of_noise_and_one_that_is_not_there_are_named(tmp_path):
    noise = tmp_path / "noise.avi"
    noise.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(MediaError, match=r"noise.avi: Invalid data"):
        probe(noise)
    with pytest.raises(MediaError, match=r"nothing.avi: No such file"):
        probe(tmp_path / "nothing.avi")


def test_a_damaged_file_leaves_the_error_stream_quiet(tmp_path, capfd):
    path = truncate(write_clip(tmp_path / "a.mp4"), 0.5)
    capfd.readouterr()  # the encoder is not so quiet
    with pytest.raises(MediaError):
        probe(path)
    assert capfd.readouterr().err == ""
