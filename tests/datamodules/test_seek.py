import itertools

import av
import numpy as np
import pytest
import torch

import datamodules.decode as decode_module
from datamodules.decode import read_video
from datamodules.entry_points import ENTRY_TESTS
from datamodules.media import MediaError, open_media
from datamodules.window import UnprovenError
from tests.datamodules.media_files import hide_beginning, pack_bitstream, write_video
from tests.real_data import DATA, needs_real_data

FRAMES = 48
X264 = "keyint=12:min-keyint=12:scenecut=0"
B_FRAMES = {"x264-params": f"{X264}:bframes=3:b-pyramid=normal:ref=4"}
OPEN_GOP = {"x264-params": f"{X264}:bframes=4:b-pyramid=normal:open-gop=1"}
INTRA_REFRESH = {"x264-params": "keyint=12:intra-refresh=1:bframes=2"}
X265 = "keyint=12:min-keyint=12:scenecut=0:log-level=none:pools=none"
UNEVEN = list(itertools.accumulate(itertools.islice(itertools.cycle([10, 40, 33, 100]), FRAMES)))
# Enough bits that no frame is as small as a placeholder.
FINE = {"g": "12", "qmax": "4", "b": "4000000"}

# Of these a window is decoded from the key frame before it.
PROVEN = {
    "MP4 with B-frames": (".mp4", "libx264", B_FRAMES),
    "MOV with B-frames": (".mov", "libx264", B_FRAMES),
    "MKV with B-frames": (".mkv", "libx264", B_FRAMES),
    "MPEG-TS with B-frames": (".ts", "libx264", B_FRAMES),
    "MP4 with open GOPs": (".mp4", "libx264", OPEN_GOP),
    "MKV with open GOPs": (".mkv", "libx264", OPEN_GOP),
    "HEVC with open GOPs": (".mp4", "libx265", {"x265-params": f"{X265}:bframes=4"}),
    "HEVC with closed GOPs": (".mkv", "libx265", {"x265-params": f"{X265}:open-gop=0"}),
    "VP8 with hidden frames": (
        ".webm",
        "libvpx",
        {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "5"},
    ),
    "VP9": (".webm", "libvpx-vp9", {"g": "12", "lag-in-frames": "12", "cpu-used": "8"}),
    "MPEG-1 with B-frames": (".mpg", "mpeg1video", {"g": "12", "bf": "2"}),
    "MPEG-2 with B-frames": (".ts", "mpeg2video", {"g": "12", "bf": "2"}),
    "MPEG-4 in AVI": (".avi", "mpeg4", FINE),
    "MPEG-4 with B-frames in AVI": (".avi", "mpeg4", {**FINE, "bf": "2"}),
    "MPEG-4 with single B-frames in MP4": (".mp4", "mpeg4", {**FINE, "bf": "1"}),
    "FFV1": (".mkv", "ffv1", {}),
}
# Of these it is decoded from the beginning.
UNPROVEN = {
    "H.264 in AVI, which has no time stamps": (".avi", "libx264", B_FRAMES),
    "interlaced": (".mp4", "libx264", {"x264-params": f"{X264}:interlaced=1"}),
    "HuffYUV, whose packets nobody vouches for": (".avi", "huffyuv", {}),
}


def decode_all(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames))


def write(folder, suffix, codec, options, **kwargs):
    pix_fmt = "yuv422p" if codec == "huffyuv" else "yuv420p"
    return write_video(
        folder / f"a{suffix}", codec, FRAMES, options=options, pix_fmt=pix_fmt, **kwargs
    )


def check_windows(path):
    everything = decode_all(path)
    total = len(everything)
    for frames, stride in ((6, 1), (4, 3)):
        for start in [*range(0, total, 5), total - 2, total + 1]:
            places = [min(start + step * stride, total - 1) for step in range(frames)]
            window = read_video(path, start, frames, stride)
            assert torch.equal(window, everything[places]), (start, frames, stride)


@pytest.fixture
def _no_long_way(monkeypatch):
    def refuse(*args):
        raise AssertionError("decoded from the beginning")

    monkeypatch.setattr(decode_module, "_decode_from_beginning", refuse)


@pytest.mark.usefixtures("_no_long_way")
@pytest.mark.parametrize("kind", PROVEN)
def test_windows_are_slices_of_all_frames_and_need_no_decoding_from_the_beginning(tmp_path, kind):
    check_windows(write(tmp_path, *PROVEN[kind]))


@pytest.mark.parametrize("kind", UNPROVEN)
def test_windows_of_files_that_prove_nothing_are_slices_of_all_frames_too(tmp_path, kind):
    path = write(tmp_path, *UNPROVEN[kind])
    check_windows(path)
    for shortcut in decode_module._SHORTCUTS:
        with open_media(path) as container, pytest.raises(UnprovenError):
            shortcut(container, container.streams.video[0], range(20, 24))


@pytest.mark.usefixtures("_no_long_way")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_frame_rate_and_a_late_start_change_no_number(tmp_path, suffix):
    late = [time + 1_700 for time in UNEVEN]
    check_windows(write(tmp_path, suffix, "libx264", B_FRAMES, times=late))


@pytest.mark.usefixtures("_no_long_way")
@pytest.mark.parametrize("seconds", [0.2, 0.48, 1.0])
@pytest.mark.parametrize("options", [B_FRAMES, OPEN_GOP], ids=["closed", "open"])
def test_frames_hidden_by_an_edit_list_have_no_number(tmp_path, options, seconds):
    whole = write(tmp_path, ".mp4", "libx264", options)
    cut = hide_beginning(whole, tmp_path / "cut.mp4", seconds)
    assert len(decode_all(cut)) < FRAMES
    check_windows(cut)


@pytest.mark.usefixtures("_no_long_way")
@pytest.mark.parametrize("b_frames", ["1", "2"])
def test_windows_of_a_packed_bitstream_are_slices_of_all_frames(tmp_path, b_frames):
    plain = write(tmp_path, ".avi", "mpeg4", {**FINE, "bf": b_frames})
    packed = pack_bitstream(plain, tmp_path / "packed.avi")
    assert torch.equal(decode_all(packed), decode_all(plain))
    check_windows(packed)


@pytest.mark.parametrize(
    "kind", ["MP4 with B-frames", "MP4 with open GOPs", "HEVC with open GOPs", "MPEG-4 in AVI"]
)
def test_nothing_before_the_key_frame_is_decoded(tmp_path, kind):
    path = write(tmp_path, *PROVEN[kind])
    intact = read_video(path, 30, 4)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    entry = max(place for place in keys if place <= 24)
    data = bytearray(path.read_bytes())
    for packet in packets[1:entry]:
        if packet.size > 60 and not packet.is_keyframe:  # heads tell what a packet is
            begin = packet.pos + 40
            data[begin : packet.pos + packet.size] = bytes(packet.size - 40)
    path.write_bytes(data)
    assert torch.equal(read_video(path, 30, 4), intact)


def test_key_frames_that_only_begin_a_refresh_are_no_entry_points(tmp_path):
    path = write(tmp_path, ".mp4", "libx264", INTRA_REFRESH)
    with av.open(str(path)) as container:
        extradata = container.streams.video[0].codec_context.extradata
        keys = [packet for packet in container.demux(video=0) if packet.is_keyframe]
        entries = [ENTRY_TESTS["h264"](packet, extradata) for packet in keys]
    assert entries[0]
    assert not all(entries)
    check_windows(path)


def test_an_mp4_is_not_read_up_to_the_window(tmp_path):
    path = write(tmp_path, ".mp4", "libx264", B_FRAMES)
    intact = read_video(path, 40, 4)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for packet in packets[:12]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    assert torch.equal(read_video(path, 40, 4), intact)


def test_a_packet_without_a_frame_is_noticed(tmp_path):
    # A placeholder outside a packed bitstream is a frame that is not shown at all.
    plain = write(tmp_path, ".avi", "mpeg4", FINE)
    path = tmp_path / "dropped.avi"
    with av.open(str(plain)) as whole, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if packet.size:
                data = b"\0\0\1\xb6" + bytes([0b01010000, 0b01001111])
                copy = av.Packet(data) if number == 5 else av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                target.mux(copy)
    assert len(decode_all(path)) == FRAMES - 1
    check_windows(path)


@pytest.mark.parametrize(("start", "frames", "stride"), [(-1, 4, 1), (0, 0, 1), (0, 4, 0)])
def test_an_impossible_window_is_refused(tmp_path, start, frames, stride):
    with pytest.raises(ValueError, match="start, frames, stride"):
        read_video(tmp_path / "a.mp4", start, frames, stride)


def test_a_damaged_packet_within_the_window_is_named(tmp_path):
    path = write(tmp_path, ".mp4", "libx264", B_FRAMES)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for packet in packets[24:36]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"cannot decode .*a.mp4: .*intact copy"):
        read_video(path, 26, 4)
    assert len(read_video(path, 2, 4)) == 4


@needs_real_data
@pytest.mark.parametrize("part", range(4))
def test_windows_of_every_real_clip_are_slices_of_all_its_frames(part):
    paths = sorted(DATA.glob("ucf101_clips/*/*.avi")) + sorted(DATA.glob("grid/*.mpg"))
    rng = np.random.default_rng(part)
    for path in paths[part::4]:
        with av.open(str(path), metadata_errors="ignore") as container:
            everything = list(container.decode(video=0))
        for start in rng.integers(len(everything), size=2):
            window = read_video(path, int(start), 16)
            for place in (0, 7, 15):
                frame = everything[min(start + place, len(everything) - 1)]
                expected = torch.from_numpy(frame.to_ndarray(format="rgb24"))
                assert torch.equal(window[place], expected), (path, start, place)
