import errno

import av
import pytest
from video_cases import assert_one_sentence, write

from envs.clips import ClipError
from envs.clips.video.read import open_video
from envs.clips.video.refusals import check_file, one_sentence, status_of


@pytest.mark.parametrize("name", ["zeros.h264", "zeros.m4v", "zeros.mp4", "zeros.avi"])
def test_room_that_was_taken_and_never_filled_is_told_at_once(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(3 << 30)  # a hole takes no room
    with pytest.raises(ClipError, match="its first 65536 bytes are zeros") as caught:
        open_video(path)
    assert_one_sentence(caught.value, path)


@pytest.mark.parametrize(("name", "codec"), [("tail.h264", "libx264"), ("tail.avi", "mpeg4"), ("tail.ts", "libx264")])
def test_so_is_a_tail_that_was_never_filled(tmp_path, name, codec):
    path = write(tmp_path / name, 5, codec)
    assert open_video(path).num_frames == 5
    with path.open("ab") as file:
        file.truncate(3 << 30)
    with pytest.raises(ClipError, match="its last 65536 bytes are zeros"):
        open_video(path)


def test_a_container_with_a_list_may_be_padded(tmp_path):
    path = write(tmp_path / "clip.mp4", 5)
    with path.open("ab") as file:
        file.write((1 << 18).to_bytes(4, "big") + b"free" + bytes((1 << 18) - 8))
    assert open_video(path).num_frames == 5


def test_a_picture_may_be_padded(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"\xff\xd8\xff" + bytes(1 << 18))
    check_file(path, status_of(path), "picture")


def test_a_wait_that_was_too_long_is_told_in_words(tmp_path):
    with pytest.raises(ClipError, match="nothing came for too long"), one_sentence(tmp_path):
        raise av.error.ExitError(0, "Immediate exit requested")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (av.error.OSError(errno.EBUSY, "Device or resource busy"), "its data make no sense"),
        (av.error.PermissionError(errno.EPERM, "Operation not permitted"), "its data make no sense"),
        (av.error.PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (av.error.InvalidDataError(1094995529, "Invalid data found"), "Invalid data found"),
        (MemoryError(), "it does not fit into memory"),
    ],
)
def test_words_of_the_system_are_left_out_where_the_decoder_does_not_mean_them(tmp_path, error, reason):
    with pytest.raises(ClipError, match=rf"does not decode \({reason}\)"), one_sentence(tmp_path):
        raise error
