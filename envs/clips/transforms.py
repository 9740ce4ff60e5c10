"""Where clips are cut and how: the crops of TSN (Wang et al., TPAMI 2018, section 4.1) on arrays of uint8 pixels.

Letters for shapes: T frames, H rows and W columns of pixels. A box is the same for all frames of a clip.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

Method = Literal["bilinear", "bicubic"]

SCALES = (1.0, 0.875, 0.75, 0.66)
"""Sides of TSN's crops as shares of the frame's shorter side."""

PLACES = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),  # the corners and the centre
    *((2, 0), (2, 4), (4, 2), (0, 2)),  # the middles of the sides
    *((1, 1), (1, 3), (3, 1), (3, 3)),  # half-way from the centre to the corners
)
"""TSN's 13 fixed places of a crop (down, across), in quarters of what the crop leaves over."""

SNAP = 3  # a crop that is this near to the size wanted takes that size, so that nothing is resized (TSN)

# Each plane is scaled by itself, to the last bit the same on every machine.
_ALGORITHM = {
    name: Interpolation[name.upper()] | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    for name in ("bilinear", "bicubic")
}


class Box(NamedTuple):
    """A part of a frame, in pixels: its first row and column, its height and width."""

    y: int
    x: int
    height: int
    width: int


def centre_box(height: int, width: int, size: int) -> Box:
    """The size x size pixels in the middle of a frame.

    :raises ValueError: when the frame is smaller.
    """
    _check_room(height, width, size)
    return Box((height - size) // 2, (width - size) // 2, size, size)


def evaluation_boxes(height: int, width: int, size: int, crops: int = 1) -> tuple[Box, ...]:
    """The crops that a frame is judged by: 1, the centre, or 3 along the longer side: first, middle, last.

    TSM (Lin et al., ICCV 2019, section 5.1) takes three crops of full height from left to right; of an upright frame,
    where these are one and the same, we take them from top to bottom.

    :raises ValueError: when the frame is smaller than size x size, or for another number of crops.
    """
    centre = centre_box(height, width, size)
    if crops == 1:
        return (centre,)
    if crops != 3:
        raise ValueError(f"expected 1 or 3 crops of a frame, got {crops}; choose one of them")
    if height > width:
        return centre._replace(y=0), centre, centre._replace(y=height - size)
    return centre._replace(x=0), centre, centre._replace(x=width - size)


def multi_scale_box(height: int, width: int, size: int, rng: np.random.Generator) -> Box:
    """TSN's random crop for training: sides of `SCALES`, not more than one scale apart, at one of 13 `PLACES`.

    The crop is to be resized to size x size. Departing from TSN's code, it never leaves the frame.

    :param size: a side within 2 pixels of it takes it exactly.
    :raises ValueError: when there is no pixel, or size < 1.
    """
    _check_room(height, width, 1)
    if size < 1:
        raise ValueError(f"expected a crop of at least 1 pixel, got {size}; ask for a positive size")
    shorter = min(height, width)
    sides = [max(1, int(shorter * scale)) for scale in SCALES]
    sides = [size if abs(side - size) < SNAP and size <= shorter else side for side in sides]
    pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    h, w = pairs[rng.integers(len(pairs))]
    down, across = PLACES[rng.integers(len(PLACES))]
    return Box(down * ((height - h) // 4), across * ((width - w) // 4), h, w)


def cut(clip: np.ndarray, box: Box) -> np.ndarray:
    """The part of (T, H, W, 3) inside the box, a view: (T, box.height, box.width, 3).

    :raises ValueError: when the box leaves the frame.
    """
    height, width = clip.shape[1:3]
    y, x, h, w = box
    if not (0 <= y < y + h <= height and 0 <= x < x + w <= width):
        raise ValueError(
            f"expected a box inside a frame of {height} x {width} pixels, got {box}; choose it for this clip"
        )
    return clip[:, y : y + h, x : x + w]


def resize(clip: np.ndarray, height: int, width: int, method: Method = "bilinear") -> np.ndarray:
    """(T, H, W, 3) uint8 to (T, height, width, 3) uint8, a new array; shrinking averages over what falls together.

    :raises ValueError: for an unknown method or no pixels.
    """
    if min(height, width) < 1:
        raise ValueError(f"expected frames of at least 1 pixel, got {height} x {width}; ask for positive sides")
    if method not in _ALGORITHM:
        raise ValueError(f"expected one of {', '.join(_ALGORITHM)} to resize by, got {method!r}; choose one of them")
    if clip.shape[1:3] == (height, width):
        return clip.copy()
    # Red, green and blue pass as the planes of YUV 4:4:4, which the scaler leaves apart; RGB it would mix and round.
    planes = np.ascontiguousarray(clip.transpose(0, 3, 1, 2))
    scaled = np.empty((len(clip), height, width, 3), dtype=np.uint8)
    scaler = VideoReformatter()
    for image, target in zip(planes, scaled):
        frame = av.VideoFrame.from_ndarray(image, format="yuv444p")
        frame = scaler.reformat(frame, width=width, height=height, interpolation=_ALGORITHM[method], threads=1)
        target[:] = frame.to_ndarray().transpose(1, 2, 0)
    return scaled


def crop_and_resize(clip: np.ndarray, box: Box, size: int, method: Method = "bilinear") -> np.ndarray:
    """What a box holds of (T, H, W, 3) uint8, as (T, size, size, 3) uint8, a new array."""
    return resize(cut(clip, box), size, size, method)


def flip(clip: np.ndarray) -> np.ndarray:
    """(..., H, W, 3) mirrored, left for right, a new array. `envs.clips.flips` tells what becomes of its label."""
    return np.ascontiguousarray(clip[..., ::-1, :])


def _check_room(height: int, width: int, size: int) -> None:
    if not 1 <= size <= min(height, width):
        raise ValueError(
            f"expected a crop of 1 to {min(height, width)} pixels from a frame of {height} x {width}, got {size}; "
            "crop less or scale the frames up first"
        )
