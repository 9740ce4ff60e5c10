"""The synthetic camera of window motions: a window whose path over the footage is drawn, and whose direction is the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from envs.clips.generated.directions import direction_of
from envs.clips.generated.footage import Reel

ROOM = 1.5  # the shorter side of the footage, in windows
CUT_OFF = 3  # sd: no jitter is larger


class Shot(NamedTuple):
    """What is drawn for a clip, whatever footage it then lies over.

    :param order: of the split's videos: the clip shows the first that can be used
    :param backwards: whether the footage is played backwards
    :param start: where in the video the clip begins, 0 to 1 of what is possible
    :param centre: (2,) x and y of the path's centre, 0 to 1 of what is possible
    :param offsets: (T, 2) x and y of the window from that centre, in pixels
    :param noise: sd of the pixel noise, as a share of the range of a pixel
    :param rng: of that noise
    """

    order: np.ndarray
    backwards: bool
    start: float
    centre: np.ndarray
    offsets: np.ndarray
    noise: float
    rng: np.random.Generator


@dataclass(frozen=True)
class Camera:
    """How windows move, and so how hard it is to tell which way.

    :param size: side of the window S, in pixels, an even number
    :param num_frames: T
    :param speed: the least and the most pixels a frame, drawn a clip; on diagonals 0.75 of it along either axis
    :param jitter: sd in pixels of each frame's place on either axis, cut off at 3 sd; places are whole pixels in the end
    :param noise: the most sd of pixel noise, as a share of the range of a pixel; a clip draws from 0 to this
    :param still: the footage stands still at one frame, and only the window moves
    :raises ValueError: for numbers that cannot be, or a path that is longer than the footage has room for
    """

    size: int
    num_frames: int
    speed: tuple[float, float]
    jitter: float
    noise: float
    still: bool

    def __post_init__(self) -> None:
        if self.size < 2 or self.size % 2:
            raise ValueError(f"expected a window of an even number of pixels, as H.264 has it, got {self.size}")
        if self.num_frames < 2:
            raise ValueError(f"expected at least 2 frames a clip, as one shows no motion, got {self.num_frames}")
        slowest, fastest = self.speed
        if not 0 < slowest <= fastest:
            raise ValueError(
                f"expected the least and the most speed in pixels a frame, both above 0, got {slowest:g} and {fastest:g}"
            )
        if not self.jitter >= 0 or not 0 <= self.noise <= 1:
            raise ValueError(
                f"expected a jitter of at least 0 pixels and noise from 0 to 1, got {self.jitter:g} and {self.noise:g}"
            )
        room = self.side - self.size
        if not 2 * self.reach <= room:
            raise ValueError(
                f"expected a path that fits: over footage of {self.side} pixels a window of {self.size} has room for "
                f"{room}, but {self.num_frames - 1} steps of up to {fastest:g} with a jitter of {self.jitter:g} take "
                f"{2 * self.reach:g}; lower the speed, the jitter or the number of frames, or take a larger window"
            )

    @property
    def side(self) -> int:
        """Pixels of the footage's shorter side."""
        return round(ROOM * self.size)

    @property
    def reach(self) -> float:
        """Pixels from the path's centre beyond which no window of any class goes, on either axis."""
        return self.speed[1] * (self.num_frames - 1) / 2 + CUT_OFF * self.jitter

    @property
    def fewest(self) -> int:
        """Frames of footage that a clip needs."""
        return 1 if self.still else self.num_frames

    def draw(self, label: int, videos: int, rng: np.random.Generator) -> Shot:
        """A shot of a class.

        :param videos: how many there are to choose from
        """
        order = rng.permutation(videos)
        backwards = rng.random() < 0.5
        start, x, y = rng.random(3)
        steps = np.arange(self.num_frames)[:, None] - (self.num_frames - 1) / 2
        jitter = np.clip(rng.standard_normal((self.num_frames, 2)), -CUT_OFF, CUT_OFF) * self.jitter
        offsets = rng.uniform(*self.speed) * direction_of(label) * steps + jitter
        return Shot(order, backwards, start, np.array((x, y)), offsets, self.noise * rng.random(), rng)

    def film(self, reel: Reel, shots: Sequence[Shot]) -> Iterator[np.ndarray]:
        """The clip of each shot over one video, (T, S, S, 3) uint8; every frame that any of them needs is decoded once.

        :raises ClipError: when the video cannot be used
        """
        reel.check_length(self.fewest)
        numbers = np.stack([self._numbers(shot, len(reel)) for shot in shots])
        needed, rows = np.unique(numbers, return_inverse=True)
        frames = reel.frames(needed)
        for shot, of_shot in zip(shots, rows.reshape(numbers.shape)):
            yield self._cut(frames, of_shot, shot)

    def corners(self, shot: Shot, height: int, width: int) -> np.ndarray:
        """(T, 2) x and y of the window's upper left pixel in footage of that size."""
        room = np.array((width, height)) - self.size
        centre = self.reach + shot.centre * (room - 2 * self.reach)  # the same box for every class
        return np.round(centre + shot.offsets).astype(int)

    def _numbers(self, shot: Shot, length: int) -> np.ndarray:
        """(T,) frames of footage."""
        first = int(shot.start * (length - self.fewest + 1))
        if self.still:
            return np.full(self.num_frames, first)
        numbers = first + np.arange(self.num_frames)
        return numbers[::-1] if shot.backwards else numbers

    def _cut(self, frames: np.ndarray, rows: np.ndarray, shot: Shot) -> np.ndarray:
        corners = self.corners(shot, *frames.shape[1:3])
        clip = np.stack([frames[row, y : y + self.size, x : x + self.size] for row, (x, y) in zip(rows, corners)])
        if not shot.noise:
            return clip
        noise = 255 * np.float32(shot.noise) * shot.rng.standard_normal(clip.shape, dtype=np.float32)
        return (np.clip(clip + noise, 0, 255) + 0.5).astype(np.uint8)
