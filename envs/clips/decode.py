"""Video files to arrays and back, with PyAV."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from envs.clips.sampling import segment_indices
from envs.clips.source import ClipError


def decode_frames(path: str | Path, *, num_frames: int, size: int, keep: int | None = None) -> np.ndarray:
    """Evenly spread frames of a video, in the order in which they are shown.

    Frames are counted by decoding them, whatever the header says. Each kept frame has its shorter side resized to
    `size` and is cropped at its centre; a frame that already is size x size is only converted to RGB.

    :param num_frames: the fewest frames that will do, T.
    :param size: side of the square frames, in pixels.
    :param keep: the most frames to return (T by default): the centres of that many equal segments, or every frame of a
        video that has fewer.
    :return: (F, size, size, 3) uint8 with T <= F <= keep.
    :raises ClipError: when there is no whole video of at least T frames at `path`.
    """
    path = Path(path)
    keep = num_frames if keep is None else keep
    _check_file(path)
    try:
        images, count, assumed = _read(path, size=size, keep=keep)
        if count != assumed and count >= num_frames:  # the header was wrong: choose again, now knowing the count
            images, count, _ = _read(path, size=size, keep=keep, assumed=count)
    except av.FFmpegError as error:
        raise ClipError(
            f"{path}: expected a whole video, but it does not decode ({error.strerror}), so it is no video, damaged or "
            "cut off; replace it or take it off the list"
        ) from error
    if count < num_frames:
        raise ClipError(
            f"{path}: expected at least {num_frames} frames, but {count} decode; "
            "use fewer frames a clip or take the video off the list"
        )
    return np.stack(images)


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


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ClipError(f"{path}: expected a video file, but there is nothing; restore it or correct the list")
    if path.is_dir():
        raise ClipError(f"{path}: expected a video file, but it is a directory; name a file inside it")
    if path.stat().st_size == 0:
        raise ClipError(f"{path}: expected a video file, but it is empty; replace it or take it off the list")


def _read(path: Path, *, size: int, keep: int, assumed: int | None = None) -> tuple[list[np.ndarray], int, int]:
    """Decode a video once, keeping what is right if it has `assumed` frames (None: what its header says).

    :return: the kept frames, each (size, size, 3); the frames that decoded; the frames assumed.
    """
    with av.open(str(path.absolute())) as container:
        if not container.streams.video:
            raise ClipError(f"{path}: expected a video, but it has no picture, only sound or data; replace it")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # clips are decoded side by side instead
        assumed = stream.frames if assumed is None else assumed
        wanted = set(segment_indices(assumed, min(assumed, keep)).tolist()) if assumed > 0 else set()
        square = _Square(size)
        images: list[np.ndarray] = []
        count = 0
        for packet in container.demux(stream):
            frames = packet.decode()
            if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                raise ClipError(
                    f"{path}: expected a whole video, but it is damaged or cut off near frame {count}; "
                    "replace it or take it off the list"
                )
            for frame in frames:
                if count in wanted:
                    images.append(square(frame))
                count += 1
    return images, count, assumed


class _Square:
    """Turns frames into (size, size, 3) uint8 RGB; one scaler, without threads of its own, serves a whole video."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        scale = self.size / min(frame.width, frame.height)
        width, height = round(frame.width * scale), round(frame.height * scale)
        image = self.reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1).to_ndarray()
        y, x = (height - self.size) // 2, (width - self.size) // 2
        image = image[y : y + self.size, x : x + self.size]
        return np.rot90(image, frame.rotation // 90)  # telephones store the turn beside the picture
