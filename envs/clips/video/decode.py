"""Video files to arrays and back, with PyAV."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from envs.clips.sampling import segment_indices
from envs.clips.source import ClipError
from envs.clips.video.canvas import Convert
from envs.clips.video.read import open_video
from envs.clips.video.video import Video


def decode_frames(
    path: str | Path,
    *,
    num_frames: int,
    size: int,
    keep: int | None = None,
    frames: int | None = None,
    template: str | None = None,
    square: bool = True,
) -> np.ndarray:
    """Evenly spread frames of a video, in the order in which they are shown.

    Each kept frame has its shorter side resized to `size` and is cropped at its centre; a frame that already is
    size x size is only converted to RGB.

    :param num_frames: the fewest frames that will do, T.
    :param size: side of the square frames, in pixels.
    :param keep: the most frames to return (T by default): the centres of that many equal segments, or every frame of a
        video that has fewer.
    :param frames: of a folder of pictures, as in `open_video`; `template` and `square` likewise.
    :return: (F, size, size, 3) uint8 with T <= F <= keep.
    :raises ClipError: when there is no whole video of at least T frames at `path`.
    """
    keep = num_frames if keep is None else keep
    return sample_frames(
        open_video(path, frames=frames, template=template, square=square),
        lambda count: segment_indices(count, min(count, keep)),
        fewest=num_frames,
        size=size,
        convert=partial(centre, size=size),
    )


def sample_frames(
    video: Video,
    choose: Callable[[int], Sequence[int] | np.ndarray],
    *,
    fewest: int,
    size: int,
    convert: Convert | None = None,
    whole: bool = False,
) -> np.ndarray:
    """The frames that `choose` names, given how many there are; it may be asked again where decoding finds others.

    :param size: of the shorter side, as in `Video.frames`; `convert` and `whole` likewise.
    :raises ClipError: when the video is not whole or has fewer frames than `fewest`.
    """
    while True:
        count = video.num_frames
        if count < fewest:
            raise ClipError(
                f"{video.path}: expected at least {fewest} frames, but {count} decode; "
                "use fewer frames a clip or take the video off the list"
            )
        try:
            images = video.frames(choose(count), size=size, convert=convert, whole=whole)
        except ClipError:
            if video.num_frames == count:
                raise
        else:
            if video.num_frames == count:
                return images
        # Decoding found another count than the file's list of packets: choose again.


def centre(image: np.ndarray, size: int) -> np.ndarray:
    """The size x size pixels in the middle of (H, W, 3)."""
    y, x = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[y : y + size, x : x + size]


def write_video(path: str | Path, frames: np.ndarray, fps: int = 8) -> None:
    """Write (T, H, W, 3) uint8 RGB as an MP4 file (H.264, crf 18, yuv420p) that appears under its name only when whole.

    :raises ValueError: when the frames are not such an array, or H or W is odd (yuv420p halves both).
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(f"expected uint8 frames of shape (T, H, W, 3), got {frames.dtype} of shape {frames.shape}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"expected an even height and width, got {height} x {width}; crop or pad by one pixel")
    path = Path(path)
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with av.open(str(aside.absolute()), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = 1  # the same bytes on every machine
            reformatter = VideoReformatter()
            for image in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(reformatter.reformat(frame, format="yuv420p", threads=1)))
            container.mux(stream.encode())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
