"""Videos of every kind, and files that are none."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from envs.clips import ClipError


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


def truth(path: Path) -> np.ndarray:
    """Every frame of a full sequential decode, on its own code."""
    images = []
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in file.decode(stream):
            images.append(np.rot90(frame.to_ndarray(format="rgb24", interpolation="BICUBIC"), frame.rotation // 90))
    return np.stack(images)


def remuxed(source: Path, target: Path, change) -> Path:
    """The packets in another container after `change(number, packet)`."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.size:
                change(number, packet)
                packet.stream = stream
                new.mux(packet)
    return target


def cut_at(source: Path, target: Path, key: int, container: dict[str, str]) -> Path:
    """The packets from a key picture on, in another container."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=container) as new:
        stream, keys, start = new.add_stream_from_template(old.streams.video[0]), -1, None
        for packet in old.demux(old.streams.video[0]):
            keys += packet.is_keyframe
            if packet.size and keys >= key:
                start = packet.dts if start is None else start
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
                new.mux(packet)
    return target


def jpeg(t: int, height: int = 48, width: int = 64) -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    context.height, context.width, context.pix_fmt, context.time_base = height, width, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(scene(t, height, width), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode()])


def assert_one_sentence(error: ClipError, path: Path) -> None:
    sentence = str(error)
    assert sentence.startswith(f"{path}")
    assert ": expected " in sentence
    assert "; " in sentence  # what to do
    assert "\n" not in sentence


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


def gif(path: Path, width: int, height: int, num_frames: int) -> Path:
    """A large picture of which each frame changes one pixel: 23 bytes each."""
    head = b"GIF89a" + struct.pack("<2H", width, height) + b"\x80\0\0" + bytes([0, 0, 0, 255, 255, 255])
    frame = b"\x21\xf9\x04\x04\x04\0\0\0\x2c" + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    path.write_bytes(head + frame * num_frames + b";")
    return path
