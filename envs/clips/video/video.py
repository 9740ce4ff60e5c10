"""Frames by number: what a file and a folder of pictures have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from envs.clips.video.canvas import Canvas, Convert
from envs.clips.video.refusals import one_sentence

Keep = Callable[[int, av.VideoFrame, float], None]
"""Takes a frame's number, the frame, and the width of its pixels over their height."""


class Video(ABC):
    """`num_frames` frames.

    A frame's number is its place in what decoding the whole file from the start gives, and its pixels are those that
    this gives: the definition of right here.
    """

    path: Path

    @property
    @abstractmethod
    def num_frames(self) -> int:
        """Frames that really are there, whatever a header says.

        :raises ClipError: where they have to be decoded to be counted, and do not decode.
        """

    def frames(
        self,
        indices: Sequence[int] | np.ndarray,
        *,
        size: int | None = None,
        convert: Convert | None = None,
        whole: bool = False,
    ) -> np.ndarray:
        """Frames by number, in any order and as often as they are named.

        :param indices: (I,) integers in 0..num_frames-1, at least one.
        :param size: the shorter side in pixels, the other in proportion (None: as stored).
        :param convert: what is done to each frame before it is kept, (H, W, 3) uint8 to an array of one shape, such as
            a crop.
        :param whole: decode all others too, to be sure that they can be.
        :return: (I, H, W, 3) uint8 RGB, turned upright where the file says how; or (I, ...) of what `convert` gives.
        :raises ClipError: when they do not decode. :raises IndexError: when there is no such frame.
        """
        wanted, place = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        if not len(wanted):
            raise ValueError(f"{self.path}: expected at least one frame to read, got none")
        if wanted[0] < 0 or wanted[-1] >= self.num_frames:
            raise IndexError(
                f"{self.path}: expected frames 0 to {self.num_frames - 1}, got {wanted[0]} to {wanted[-1]}; "
                "choose them by num_frames"
            )
        canvas = Canvas(self.path, wanted.tolist(), size, convert)
        with one_sentence(self.path):
            self._decode(range(self.num_frames) if whole else wanted.tolist(), canvas)
        return canvas.images[place]

    @abstractmethod
    def _decode(self, wanted: Sequence[int], keep: Keep) -> None:
        """Give every wanted frame (sorted numbers) to `keep`, at least once, the last time right."""
