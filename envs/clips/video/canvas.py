"""What becomes of a decoded frame: RGB, scaled, upright, in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from envs.clips.source import ClipError
from envs.clips.video.bounds import check_picture, check_scaled

Convert = Callable[[np.ndarray], np.ndarray]

QUARTERS = {90: 1, 180: 2, -180: 2, -90: 3}  # degrees to turns to the left; a matrix that says anything else is ignored


class Canvas:
    """Takes frames in; one scaler, without threads of its own, serves a whole video.

    No frame that was not given leaves it: `images` refuses.

    :param wanted: numbers of the frames, sorted; others are taken no notice of.
    :param size: the shorter side in pixels, the other in proportion (None: as stored).
    :param convert: what is done to each frame before it is kept, (H, W, 3) uint8 to an array of one shape.
    """

    def __init__(self, path: Path, wanted: list[int], size: int | None, convert: Convert | None) -> None:
        self.path, self.size, self.convert = path, size, convert
        self.rows = {number: row for row, number in enumerate(wanted)}
        self.reformatter = VideoReformatter()
        self.kept: np.ndarray | None = None  # (I, ...)
        self.filled = np.zeros(len(wanted), dtype=bool)

    def __call__(self, number: int, frame: av.VideoFrame, aspect: float) -> None:
        """:param aspect: of a pixel, its width over its height."""
        if number not in self.rows:
            return
        image = self._image(frame, aspect)
        if self.kept is None:
            self.kept = np.empty((len(self.rows), *image.shape), image.dtype)
        if image.shape != self.kept.shape[1:]:
            raise ClipError(
                f"{self.path}: expected frames of one size, but frame {number} is {image.shape[1]} x {image.shape[0]} "
                f"and another {self.kept.shape[2]} x {self.kept.shape[1]}; take it off the list or encode it again"
            )
        self.kept[self.rows[number]] = image
        self.filled[self.rows[number]] = True

    @property
    def full(self) -> bool:
        return bool(self.filled.all())

    @property
    def images(self) -> np.ndarray:
        """(I, ...), every one of them given. :raises ClipError: when one is not."""
        if self.kept is None or not self.full:
            missing = [number for number, row in self.rows.items() if not self.filled[row]]
            raise ClipError(
                f"{self.path}: expected frame {missing[0]}, but it does not decode; "
                "replace the video or take it off the list"
            )
        return self.kept

    def _image(self, frame: av.VideoFrame, aspect: float) -> np.ndarray:
        check_picture(self.path, frame.width, frame.height)
        width, height = frame.width * aspect, frame.height
        scale = 1.0 if self.size is None else self.size / min(width, height)
        scaled = round(width * scale), round(height * scale)
        check_scaled(self.path, (frame.width, frame.height), scaled)
        # As FFmpeg's own programs do where only the colour is converted.
        how = Interpolation.BICUBIC if scaled == (frame.width, frame.height) else Interpolation.BILINEAR
        rgb = self.reformatter.reformat(
            frame, width=scaled[0], height=scaled[1], format="rgb24", interpolation=how, threads=1
        )
        image = np.rot90(rgb.to_ndarray(), QUARTERS.get(frame.rotation, 0))  # telephones store the turn beside it
        return image if self.convert is None else self.convert(image)
