from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from envs.clips import ClipError
from envs.clips.video.canvas import Canvas


def frame(value: int, height: int = 16, width: int = 32) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), value, np.uint8), format="rgb24")


def canvas(wanted: list[int], size: int | None = None) -> Canvas:
    return Canvas(Path("clip.mp4"), wanted, size, None)


def test_each_frame_has_its_place_and_others_none():
    taker = canvas([1, 4])
    for number in (4, 2, 1):
        taker(number, frame(number), Fraction(1))
    assert taker.images[:, 0, 0, 0].tolist() == [1, 4]


@pytest.mark.parametrize("given", [[], [1], [4]])
def test_no_frame_that_was_not_given_leaves_it(given):
    taker = canvas([1, 4])
    for number in given:
        taker(number, frame(number), Fraction(1))
    with pytest.raises(ClipError, match=f"expected frame {4 if given == [1] else 1}, but it does not decode"):
        _ = taker.images


@pytest.mark.parametrize(
    ("aspect", "size", "shape"),
    [
        (Fraction(1), None, (16, 32)),
        (Fraction(3, 2), None, (16, 48)),
        (Fraction(1, 4), None, (16, 8)),
        (Fraction(3, 2), 32, (32, 96)),
        (Fraction(1, 4), 32, (64, 32)),
    ],
)
def test_pixels_are_made_square(aspect, size, shape):
    taker = canvas([0], size)
    taker(0, frame(7), aspect)
    assert taker.images.shape == (1, *shape, 3)
