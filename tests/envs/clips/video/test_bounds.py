import struct
import subprocess
import sys
from pathlib import Path

import av
import pytest
from video_cases import assert_one_sentence, gif, write

from envs.clips import ClipError
from envs.clips.video import bounds
from envs.clips.video import file as file_module
from envs.clips.video.decode import decode_frames
from envs.clips.video.read import open_video


def refused(path: Path, message: str) -> None:
    with pytest.raises(ClipError, match=message) as caught:
        open_video(path).frames([0, 1])
    assert_one_sentence(caught.value, path)


@pytest.mark.parametrize(("width", "height"), [(65535, 1), (1, 1), (7, 500), (500, 7)])
def test_a_video_on_which_nothing_can_be_seen_is_refused(tmp_path, width, height):
    refused(gif(tmp_path / "clip.gif", width, height, 3), f"at least 8 x 8 pixels, got {width} x {height}")


def test_pictures_that_are_too_large_are_refused_by_their_size(tmp_path):
    refused(gif(tmp_path / "clip.gif", 8000, 8000, 3), "at most 33554432 pixels, got 8000 x 8000")


def test_the_smallest_and_a_long_one_are_read(tmp_path):
    assert decode_frames(gif(tmp_path / "small.gif", 8, 8, 3), num_frames=3, size=8).shape == (3, 8, 8, 3)
    assert decode_frames(gif(tmp_path / "long.gif", 65535, 8, 2), num_frames=2, size=8).shape == (2, 8, 8, 3)
    with pytest.raises(ClipError, match="65535 x 8 pixels would become 1048560 x 128"):
        decode_frames(gif(tmp_path / "long.gif", 65535, 8, 2), num_frames=2, size=128)


def test_pixels_are_counted_against_the_size_of_the_file(tmp_path, monkeypatch):
    path = gif(tmp_path / "clip.gif", 100, 100, 50)
    assert open_video(path).num_frames == 50
    monkeypatch.setattr(bounds, "PIXELS", 100_000)
    monkeypatch.setattr(bounds, "PIXELS_PER_BYTE", 0)
    with pytest.raises(ClipError, match="100000 pixels in all of a file of its size, but it goes on after 11"):
        _ = open_video(path).num_frames
    monkeypatch.setattr(bounds, "PIXELS_PER_BYTE", 1000)
    assert open_video(path).num_frames == 50


def test_a_run_of_an_indexed_file_is_bounded_too(tmp_path, monkeypatch):
    video = open_video(write(tmp_path / "clip.mp4", 40))
    monkeypatch.setattr(bounds, "PIXELS", 0)
    monkeypatch.setattr(bounds, "PIXELS_PER_BYTE", 1)
    with pytest.raises(ClipError, match="pixels in all"):
        video.frames([39])


def test_frames_are_counted(tmp_path, monkeypatch):
    paths = write(tmp_path / "clip.mkv", 40), gif(tmp_path / "clip.gif", 16, 16, 40)
    monkeypatch.setattr(bounds, "MAX_FRAMES", 39)
    for path in paths:
        with pytest.raises(ClipError, match="at most 39 frames"):
            _ = open_video(path).num_frames


def test_the_list_of_an_mp4_is_bounded_before_it_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.mp4", 40)
    monkeypatch.setattr(file_module, "MAX_FRAMES", 39)
    with pytest.raises(ClipError, match="at most 39 frames, but it lists 40"):
        open_video(path)


def test_seconds_are_counted(tmp_path, monkeypatch):
    path = gif(tmp_path / "clip.gif", 64, 64, 50)
    monkeypatch.setattr(bounds, "MAX_SECONDS", -1)
    with pytest.raises(ClipError, match="read in -1 seconds, but it took longer, at packet 1 after 0 frames"):
        _ = open_video(path).num_frames
    monkeypatch.setattr(bounds, "MAX_SECONDS", 60)
    assert open_video(path).num_frames == 50


def test_a_header_cannot_ask_for_more_memory_than_the_bound(tmp_path):
    """A QuickTime header that claims to inflate to 2 GB."""

    def box(name: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return struct.pack(">I", 8 + len(body)) + name + body

    claimed = struct.pack(">I", (2 << 30) - 1)
    header = box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", claimed, b"\x78\x9c" + bytes(99))))
    path = tmp_path / "clip.mov"
    path.write_bytes(box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"mdat", bytes(100)) + header)
    refused(path, "Cannot allocate memory")


def test_the_bound_leaves_room_for_the_largest_picture():
    frame = av.VideoFrame(8192, 4096, "rgba")
    assert frame.planes[0].buffer_size <= bounds.MAX_ALLOCATION
    program = (
        "import av\n"
        "def ask():\n"
        "    try: av.VideoFrame(16000, 10000, 'rgba')\n"
        "    except (MemoryError, OSError): return 'refused'\n"
        "    return 'given'\n"
        "before = ask()\nimport envs.clips.video.container\nprint(before, ask())\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout == "given refused\n"
