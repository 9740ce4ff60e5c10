"""What one video may take, so that no file can fill the memory or stop the work: pictures, frames, pixels, seconds.

Every bound is far above what clips for learning need, and each is named in the sentence that refuses.
"""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import av

from envs.clips.source import ClipError
from envs.clips.video.boxes import listed

MIN_SIDE = 8  # pixels
MAX_PIXELS = 1 << 25  # of a picture, stored or scaled: 8192 x 4096
MAX_FRAMES = 1 << 20  # of a video: 9 hours at 30 a second
DECODER_PIXELS = 2 * MAX_PIXELS  # that FFmpeg may try, so that it is not its words that refuse
MAX_LISTED = 1 << 23  # packets of an MP4, of pictures and sound, each time that an edit list plays them
MAX_PICTURE_BYTES = 1 << 28  # of a picture's file
MAX_SECONDS = 60  # of this thread's processor time, for one pass over a video
MAX_WAIT = 20  # seconds until a file is understood, and from one packet to the next
PIXELS, PIXELS_PER_BYTE = 1 << 33, 1 << 16  # decoded in one pass: so many, and so many more for each byte of the file
MAX_ALLOCATION = (
    1 << 29
)  # bytes in one piece, of all that FFmpeg asks for: what a header claims, what a chunk inflates to


def bound_allocations() -> None:
    """Set FFmpeg's own bound (2 GB) lower, for this process. PyAV has no name for it, but its library does."""
    with suppress(AttributeError, OSError):  # Windows, where a library's own libraries are not searched
        ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(MAX_ALLOCATION))


def check_list(path: Path, file: BinaryIO) -> None:
    """:raises ClipError: for an MP4 whose header lists more than any video has, sound included."""
    count = listed(file)
    if count > MAX_LISTED:
        raise ClipError(
            f"{path}: expected at most {MAX_LISTED} packets, but it lists {count}; cut it into shorter clips"
        )


def check_picture(path: Path, width: int, height: int) -> None:
    """:raises ClipError: for pictures that nothing can be seen on, or that are too large to be decoded."""
    if min(width, height) < MIN_SIDE:
        raise ClipError(
            f"{path}: expected pictures of at least {MIN_SIDE} x {MIN_SIDE} pixels, got {width} x {height}; "
            "take it off the list"
        )
    if width * height > MAX_PIXELS:
        raise ClipError(
            f"{path}: expected pictures of at most {MAX_PIXELS} pixels, got {width} x {height}; scale it down"
        )


def check_scaled(path: Path, stored: tuple[int, int], scaled: tuple[int, int]) -> None:
    """:raises ClipError: for pictures so long that scaling their shorter side makes them too large."""
    if scaled[0] * scaled[1] > MAX_PIXELS:
        raise ClipError(
            f"{path}: expected pictures that can be scaled, but {stored[0]} x {stored[1]} pixels would become "
            f"{scaled[0]} x {scaled[1]}, more than {MAX_PIXELS}; crop it, or ask for a smaller size"
        )


class Budget:
    """What one pass over a file has taken.

    :param size: of the file, in bytes
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.packets = self.frames = self.pixels = 0
        self.most_pixels = PIXELS + PIXELS_PER_BYTE * size
        self.end = time.thread_time() + MAX_SECONDS

    def packet(self) -> None:
        """One more was read. :raises ClipError: when they are too many, or take too long."""
        self.packets += 1
        if self.packets > MAX_FRAMES:
            raise ClipError(
                f"{self.path}: expected at most {MAX_FRAMES} frames, but it has more; cut it into shorter clips"
            )
        self.seconds()

    def seconds(self) -> None:
        """:raises ClipError: when this thread has worked on it for too long."""
        if time.thread_time() > self.end:
            raise ClipError(
                f"{self.path}: expected a video that is read in {MAX_SECONDS} seconds, but it took longer, at packet "
                f"{self.packets} after {self.frames} frames; cut it into shorter clips, or scale it down"
            )

    def frame(self, frame: av.VideoFrame) -> None:
        """One more was decoded. :raises ClipError: when they are too many, or together too large for such a file."""
        check_picture(self.path, frame.width, frame.height)
        self.frames += 1
        self.pixels += frame.width * frame.height
        if self.frames > MAX_FRAMES or self.pixels > self.most_pixels:
            raise ClipError(
                f"{self.path}: expected at most {MAX_FRAMES} frames, and {self.most_pixels} pixels in all of a file of "
                f"its size, but it goes on after {self.frames} of {frame.width} x {frame.height}; cut it into shorter "
                "clips, or scale it down"
            )
