import os
import struct
import zlib

import numpy as np
import pytest
from video_cases import assert_one_sentence, jpeg, truth

from envs.clips import ClipError
from envs.clips.video.pictures import plain_png
from envs.clips.video.read import open_video


@pytest.mark.parametrize(("template", "first"), [("{:05d}.jpg", 1), ("img_{:05d}.jpg", 1), ("{:06d}.jpg", 0)])
def test_a_folder_of_pictures_is_a_video(tmp_path, template, first):
    for t in range(9):
        (tmp_path / template.format(t + first)).write_bytes(jpeg(t))
    expected = np.stack([truth(tmp_path / template.format(t + first))[0] for t in (4, 0, 8)])
    for video in (
        open_video(tmp_path, frames=9, template=template),
        open_video(tmp_path, template=template),
        open_video(tmp_path),
        open_video(tmp_path, frames=9),
    ):
        assert video.num_frames == 9
        np.testing.assert_array_equal(video.frames([4, 0, 8]), expected)
        assert video.frames([2], size=24).shape == (1, 24, 32, 3)
    assert open_video(tmp_path, frames=4, template=template).num_frames == 4


def test_what_is_wrong_with_a_folder_is_one_sentence(tmp_path):
    for t in (1, 2, 4, 5, 6, 7):
        (tmp_path / f"{t:05d}.jpg").write_bytes(jpeg(t))
    (tmp_path / "00004.jpg").write_text("not a picture\n" * 99)
    (tmp_path / "00005.jpg").write_bytes(jpeg(5)[:500])
    (tmp_path / "00006.jpg").write_bytes(b"")
    (tmp_path / "00007.jpg").unlink()
    (tmp_path / "00007.jpg").mkdir()
    video = open_video(tmp_path, frames=7, template="{:05d}.jpg")
    assert video.frames([1, 0]).shape == (2, 48, 64, 3)
    reasons = {2: "there is nothing", 3: "it is none", 4: "cut off", 5: "it is empty", 6: "it is a directory"}
    for number, reason in reasons.items():
        with pytest.raises(ClipError, match=reason) as caught:
            video.frames([0, number])
        assert_one_sentence(caught.value, tmp_path / f"{number + 1:05d}.jpg")
    np.testing.assert_array_equal(video.frames([0])[0], truth(tmp_path / "00001.jpg")[0])  # after the damage, too
    with pytest.raises(ClipError, match="expected 9 pictures, but there are 6"):
        open_video(tmp_path, frames=9)
    with pytest.raises(ClipError, match="there is none"):
        open_video(tmp_path, template="img_{:05d}.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(ClipError, match="it is a file"):
        open_video(tmp_path / "file", frames=3)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*extra: bytes) -> bytes:
    rows = b"".join(bytes([0, *([5 * y] * 192)]) for y in range(48))
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 64, 48, 8, 2, 0, 0, 0))
    return b"".join([head, *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def test_a_png_is_itself_whatever_came_before(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png())
    for image in open_video(tmp_path).frames([0, 1, 2]):
        assert image[:, 0, 0].tolist() == [5 * y for y in range(48)]


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_what_a_chunk_inflates_to_is_never_seen(tmp_path, name):
    bomb = chunk(name, b"Comment\0\0" + zlib.compress(bytes(1 << 20)))
    assert plain_png(png(bomb, chunk(b"tEXt", b"a\0b"), bomb)) == png(chunk(b"tEXt", b"a\0b"))
    (tmp_path / "0.png").write_bytes(png())
    (tmp_path / "1.png").write_bytes(png(bomb))
    images = open_video(tmp_path).frames([0, 1])
    np.testing.assert_array_equal(images[0], images[1])
    assert images[0, :, 0, 0].tolist() == [5 * y for y in range(48)]


def test_a_png_cut_anywhere_is_left_as_it_is(tmp_path):
    whole = png(chunk(b"tEXt", b"a\0b"))
    assert all(plain_png(whole[:end]) == whole[:end] for end in range(len(whole) + 1))


def test_what_would_fill_the_memory_or_never_end_is_refused(tmp_path):
    (tmp_path / "0.png").write_bytes(png())
    os.mkfifo(tmp_path / "1.png")
    for number in (2, 3):
        with (tmp_path / f"{number}.png").open("wb") as file:
            file.write(png() if number == 2 else b"")
            file.truncate(3 << 30)
    for number, message in {
        1: "a pipe or a device",
        2: "at most 268435456 bytes, got 3221225472",
        3: "are zeros",
    }.items():
        with pytest.raises(ClipError, match=message) as caught:
            open_video(tmp_path).frames([0, number])
        assert_one_sentence(caught.value, tmp_path / f"{number}.png")
