import struct
from pathlib import Path

import av
import numpy as np
import pytest

from envs.clips import ClipError
from envs.clips.video.decode import decode_frames, write_video


def ramp(num_frames: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Grey frames, each 10 levels lighter than the one before, so that a frame's mean tells its number."""
    return np.repeat((10 * np.arange(1, num_frames + 1, dtype=np.uint8)), height * width * 3).reshape(
        num_frames, height, width, 3
    )


def numbers(frames: np.ndarray) -> list[int]:
    return (np.round(frames.mean((1, 2, 3)) / 10) - 1).astype(int).tolist()


def write(path: Path, frames: np.ndarray, container: dict | None = None, **codec: str) -> Path:
    """Any container and coding, B-frames and a single key frame included."""
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream("libx264", rate=8, options={"preset": "medium", "crf": "18", **codec})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    return path


def test_what_was_written_is_read_back(tmp_path):
    x, y = np.meshgrid(np.linspace(0, 1, 32), np.linspace(0, 1, 32))
    frames = np.stack([np.stack([x, y, np.full_like(x, t / 8)], -1) for t in range(8)])
    frames = (frames * 200 + 20).astype(np.uint8)
    write_video(tmp_path / "clip.mp4", frames)
    read = decode_frames(tmp_path / "clip.mp4", num_frames=8, size=32)
    assert read.shape == (8, 32, 32, 3)
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - frames).mean() < 4  # the colour is stored at half the resolution
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, ramp(8))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, ramp(8))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="even height"):
        write_video(path, ramp(8, 31, 32))
    with pytest.raises(ValueError, match="uint8"):
        write_video(path, ramp(8).astype(float))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])  # the header of mkv tells no count
def test_frames_are_spread_evenly_in_the_order_shown(tmp_path, suffix):
    path = write(tmp_path / f"clip.{suffix}", ramp(20), bf="0" if suffix == "avi" else "3")
    assert numbers(decode_frames(path, num_frames=4, size=32)) == [2, 7, 12, 17]
    assert numbers(decode_frames(path, num_frames=4, size=32, keep=10)) == list(range(1, 20, 2))
    assert numbers(decode_frames(path, num_frames=4, size=32, keep=99)) == list(range(20))


@pytest.mark.parametrize("claimed", [7, 16, 1000])
def test_frames_are_counted_by_decoding_not_by_the_header(tmp_path, claimed):
    path = write(tmp_path / "clip.avi", ramp(20), bf="0")
    content = bytearray(path.read_bytes())
    place = content.index(b"strh") + 8 + 32  # dwLength of the stream's header
    assert struct.unpack_from("<I", content, place) == (20,)
    struct.pack_into("<I", content, place, claimed)
    path.write_bytes(content)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == claimed
    assert numbers(decode_frames(path, num_frames=4, size=32)) == [2, 7, 12, 17]


def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path):
    frames = np.zeros((2, 64, 128, 3), dtype=np.uint8)
    frames[:, :, 32:96] = 200  # the central square
    write_video(tmp_path / "wide.mp4", frames)
    write_video(tmp_path / "tall.mp4", frames.swapaxes(1, 2))
    for name in ("wide.mp4", "tall.mp4"):
        read = decode_frames(tmp_path / name, num_frames=2, size=32)
        assert read.shape == (2, 32, 32, 3)
        assert read[:, 2:-2, 2:-2].min() > 180
    assert decode_frames(tmp_path / "wide.mp4", num_frames=2, size=65).shape == (2, 65, 65, 3)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 500), (500, 8)])
def test_a_video_of_few_pixels_is_scaled_up(tmp_path, height, width):
    """Short of what fits."""
    path = tmp_path / "clip.webm"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libvpx-vp9", rate=8, options={"lossless": "1"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv444p"
        image = np.full((height, width, 3), 200, np.uint8)
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    read = decode_frames(path, num_frames=3, size=32)
    assert read.shape == (3, 32, 32, 3)
    assert 197 <= read.min() <= read.max() <= 203
    if height != width:
        with pytest.raises(
            ClipError, match=r"8 x 500 pixels would become 4000 x 250000|500 x 8 pixels would become 250000"
        ):
            decode_frames(path, num_frames=3, size=4000)


def test_a_turn_stored_in_the_header_is_made(tmp_path):
    frames = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    frames[:, :16, :16] = 200
    path = write(tmp_path / "clip.mp4", frames)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    struct.pack_into(">9i", content, matrix, 0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)  # clockwise
    path.write_bytes(content)
    corners = decode_frames(path, num_frames=2, size=32)[0, 4::24, 4::24, 0]
    np.testing.assert_array_equal(corners > 100, [[False, True], [False, False]])


def noise(num_frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (num_frames, 32, 32, 3), dtype=np.uint8)


def only_sound(path: Path) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())


def cut(path: Path, share: float, **container: str) -> None:
    write(path, noise(20), container)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def zeros_in_the_middle(path: Path) -> None:
    write(path, noise(20), {"movflags": "faststart"})
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 4000] = bytes(4000)
    path.write_bytes(content)


BROKEN = {
    "missing": (lambda path: None, "there is nothing"),
    "directory": (lambda path: path.mkdir(), "it is a directory"),
    "empty": (lambda path: path.touch(), "it is empty"),
    "text": (lambda path: path.write_text("not a video\n" * 100), "it is no video"),
    "sound": (only_sound, "has no picture"),
    "short": (lambda path: write_video(path, ramp(7)), "at least 8 frames, but 7 decode"),
    "cut with its index": (lambda path: cut(path, 0.9), "cut off"),
    "cut, index first": (lambda path: cut(path, 0.9, movflags="faststart"), "cut off"),
    "cut early, index first": (lambda path: cut(path, 0.6, movflags="faststart"), "cut off"),
    "overwritten": (zeros_in_the_middle, "damaged"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_whole_video_is_refused_in_one_sentence(tmp_path, case):
    make, message = BROKEN[case]
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(ClipError, match=message) as caught:
        decode_frames(path, num_frames=8, size=32)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: expected ")
    assert "; " in sentence  # what to do
    assert "\n" not in sentence


def test_the_negative_controls_are_whole(tmp_path):
    for container in ({}, {"movflags": "faststart"}):
        path = write(tmp_path / "clip.mp4", noise(20), container)
        assert decode_frames(path, num_frames=8, size=32).shape == (8, 32, 32, 3)
