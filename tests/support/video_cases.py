"""Videos of every kind, and files that are none."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def scene(t: int, height: int, width: int) -> np.ndarray:
    """A pan over fixed noise, a moving light, and a cut every 23 frames: every frame is another."""
    noise = np.random.default_rng(t // 23).integers(0, 120, (height + 60, width, 3), dtype=np.uint8)
    image = noise[t % 60 : t % 60 + height].copy()
    image[:, (2 * t) % width :: width] += np.uint8(100)
    return image


def write(
    path: Path,
    num_frames: int = 60,
    codec: str = "libx264",
    *,
    size: tuple[int, int] = (48, 64),
    pix_fmt: str = "yuv420p",
    times: list[int] | None = None,
    turned: int | None = None,
    container: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """:param times: when frames are shown, in milliseconds."""
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(
            codec, rate=25, options={key.replace("_", "-"): value for key, value in options.items()}
        )
        (stream.height, stream.width), stream.pix_fmt = size, pix_fmt
        stream.codec_context.time_base = Fraction(1, 25 if times is None else 1000)
        stream.codec_context.thread_count = 1
        if turned is not None:
            stream.set_display_rotation(turned)
        for t in range(num_frames):
            frame = av.VideoFrame.from_ndarray(scene(t, *size), format="rgb24")
            frame.pts, frame.time_base = (t if times is None else times[t]), stream.codec_context.time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def sound(path: Path, picture: bool) -> None:
    """Sound alone, or with a cover that is no video."""
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=8000)
        if picture:
            cover = file.add_stream("mjpeg", rate=1)
            cover.height, cover.width, cover.pix_fmt = 48, 64, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        if picture:
            file.mux(cover.encode(av.VideoFrame.from_ndarray(scene(0, 48, 64), format="rgb24")))
            file.mux(cover.encode())
        file.mux(stream.encode(frame))
        file.mux(stream.encode())


def circle(path: Path) -> None:
    path.symlink_to(path.with_name("other.mp4"))
    path.with_name("other.mp4").symlink_to(path)


def playlist(path: Path) -> None:
    other = write(path.with_name("other.mp4"))
    path.write_text(f"ffconcat version 1.0\nfile {other.name}\n")


BAD = {
    "missing": (lambda path: None, "there is nothing"),
    "directory": (lambda path: path.mkdir(), "it is a directory"),
    "empty": (lambda path: path.touch(), "it is empty"),
    "one zero": (lambda path: path.write_bytes(b"\0"), "it is no video"),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), "it is no video"),
    "text": (lambda path: path.write_text("not a video\n" * 100), "it is no video"),
    "playlist": (playlist, "it is no video"),
    "sound": (lambda path: sound(path, False), "only sound"),
    "sound with a cover": (lambda path: sound(path, True), "only sound"),
    "circle of links": (circle, "cannot be read"),
    "pipe": (os.mkfifo, "it is a pipe"),
}
