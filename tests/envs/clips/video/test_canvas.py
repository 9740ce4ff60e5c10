from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from video_cases import write

from envs.clips import ClipError
from envs.clips.video.canvas import Canvas
from envs.clips.video.read import open_video


def frame(value: int, height: int = 16, width: int = 32) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), value, np.uint8), format="rgb24")


def canvas(wanted: list[int], size: int | None = None) -> Canvas:
    return Canvas(Path("clip.mp4"), wanted, size, None)


def test_each_frame_has_its_place_and_others_none():
    taker = canvas([1, 4])
    for number in (4, 2, 1):
        taker(number, frame(number), 1.0)
    assert taker.images[:, 0, 0, 0].tolist() == [1, 4]


@pytest.mark.parametrize("given", [[], [1], [4]])
def test_no_frame_that_was_not_given_leaves_it(given):
    taker = canvas([1, 4])
    for number in given:
        taker(number, frame(number), 1.0)
    with pytest.raises(ClipError, match=f"expected frame {4 if given == [1] else 1}, but it does not decode"):
        _ = taker.images


@pytest.mark.parametrize(
    ("aspect", "size", "shape"),
    [
        (1.0, None, (16, 32)),
        (1.5, None, (16, 48)),
        (0.25, None, (16, 8)),
        (1.5, 32, (32, 96)),
        (0.25, 32, (64, 32)),
    ],
)
def test_pixels_are_made_square(aspect, size, shape):
    taker = canvas([0], size)
    taker(0, frame(7), aspect)
    assert taker.images.shape == (1, *shape, 3)


def by_ffmpeg(frame: av.VideoFrame, siting: str) -> np.ndarray:
    """What FFmpeg's programs make of a frame: its filter, with the flags that they give it."""
    graph = Graph()
    size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/25"
    nodes = [
        graph.add("buffer", f"{size}:colorspace={frame.colorspace}:range={frame.color_range}"),
        graph.add("scale", f"flags=bicubic{siting}"),
        graph.add("format", "pix_fmts=rgb24"),
        graph.add("buffersink"),
    ]
    for one, next_one in pairwise(nodes):
        one.link_to(next_one)
    graph.configure()
    graph.push(frame)
    return graph.pull().to_ndarray()


LEFT = ":in_chroma_loc=left"  # as these codecs say themselves, which the filter takes no notice of
COLOURS = {
    "8 bits": ("clip.mp4", {}, ""),
    "10 bits": ("clip.mp4", {"pix_fmt": "yuv420p10le"}, LEFT),
    "12 bits": (
        "clip.mp4",
        {"codec": "libx265", "pix_fmt": "yuv420p12le", "x265_params": "log-level=none:pools=1"},
        LEFT,
    ),
    "4:2:2": ("clip.mp4", {"pix_fmt": "yuv422p10le"}, LEFT),
    "4:4:4": ("clip.mp4", {"pix_fmt": "yuv444p"}, ""),
    "odd height, MPEG-2": ("clip.mkv", {"codec": "mpeg2video", "size": (47, 64)}, LEFT),
    "odd sides, VP9": ("clip.webm", {"codec": "libvpx-vp9", "size": (47, 63), "cpu_used": "8"}, ""),
}


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_are_those_of_ffmpeg_with_the_siting_that_the_stream_declares(tmp_path, kind):
    name, options, siting = COLOURS[kind]
    path = write(tmp_path / name, 4, **options)
    with av.open(str(path)) as file:
        expected = np.stack([by_ffmpeg(frame, siting) for frame in file.decode(video=0)])
    np.testing.assert_array_equal(open_video(path).frames(range(4)), expected)


def test_control_another_siting_gives_other_colours(tmp_path):
    path = write(tmp_path / "clip.mp4", 1, pix_fmt="yuv420p10le")
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
    left, unsaid = by_ffmpeg(frame, LEFT), by_ffmpeg(frame, "")
    assert np.abs(left.astype(int) - unsaid).max() > 5
    np.testing.assert_array_equal(unsaid, by_ffmpeg(frame, ":in_chroma_loc=center"))
