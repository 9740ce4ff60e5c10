"""Decoding beside decord, OpenCV and a decoder of every frame; and damaged files, which must neither crash nor hang.

decord and OpenCV are development tools: where they are not installed, they are named as missing and left out.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import av
import numpy as np
from tqdm import tqdm

from envs.clips import ClipError
from envs.clips.sampling import segment_indices
from envs.clips.video.read import open_video
from experiments.bench.measure import Ratio, interleave, summarise

FPS = 30
SEGMENTS = 8
PATIENCE = 10.0  # seconds for a damaged file before it counts as a hang
MEMORY = 6 << 30  # bytes that a worker on damaged files may address


# Speed


def data_ratios(repeats: int) -> list[Ratio]:
    """Eight centred segments of 320 x 240 H.264, RGB at full size, one thread, opening the file included."""
    others = {"decord": _module("decord"), "OpenCV": _opencv()}
    for name, module in others.items():
        if module is None:
            print(f"{name}: not installed, not compared")
    with tempfile.TemporaryDirectory() as folder:
        short, long, keyed = (str(Path(folder) / name) for name in ("3s.mp4", "60s.mp4", "60s-keyed.mp4"))
        write_texture(short, 3 * FPS)
        write_texture(long, 60 * FPS)
        write_texture(keyed, 60 * FPS, g=str(FPS))
        ratios = []
        for title, path in (("3 s", short), ("60 s", long)):
            if others["decord"] is not None:
                ratios.append(_against(f"{title}: this / decord", path, _with_decord, repeats, 1.0, below=True))
            if others["OpenCV"] is not None and path is long:
                ratios.append(_against(f"{title}: this / OpenCV", path, _with_opencv, repeats, 1.0, below=True))
        name = "60 s, a key frame a second: every frame / this"
        ratios.append(_against(name, keyed, every_frame, max(repeats // 2, 3), 5.0, below=False))
    return ratios


def _against(
    name: str, path: str, other: Callable[[str], np.ndarray], repeats: int, limit: float, *, below: bool
) -> Ratio:
    def ours() -> None:
        segments(path)

    def theirs() -> None:
        other(path)

    if not np.allclose(segments(path), other(path), atol=24):  # converters to RGB round differently
        raise RuntimeError(f"{name}: expected the same frames from both, got others; the times would say nothing")
    subject, yardstick = interleave(ours, theirs, repeats, name)
    return summarise(name, *((subject, yardstick) if below else (yardstick, subject)), limit, below=below)


def segments(path: str) -> np.ndarray:
    """What is measured: (8, H, W, 3)."""
    video = open_video(path)
    return video.frames(segment_indices(video.num_frames, SEGMENTS))


def every_frame(path: str) -> np.ndarray:
    """The same by decoding everything, the wanted frames alone converted, their number known from the header."""
    images = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        wanted = set(segment_indices(stream.frames, SEGMENTS).tolist())
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                images.append(frame.to_ndarray(format="rgb24"))
    return np.stack(images)


def _with_decord(path: str) -> np.ndarray:
    decord = importlib.import_module("decord")
    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    return reader.get_batch(segment_indices(len(reader), SEGMENTS).tolist()).asnumpy()


def _with_opencv(path: str) -> np.ndarray:
    cv2 = importlib.import_module("cv2")
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    images = []
    for number in segment_indices(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), SEGMENTS).tolist():
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        images.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(images)


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _opencv() -> ModuleType | None:
    os.environ.setdefault("OPENCV_FFMPEG_THREADS", "1")
    module = _module("cv2")
    if module is not None:
        module.setNumThreads(1)
    return module


def write_texture(
    path: str,
    num_frames: int,
    codec: str = "libx264",
    height: int = 240,
    width: int = 320,
    start: int = 0,
    **options: str,
) -> None:
    """A textured scene that pans, with a square of another texture moving over it; x264's defaults.

    :param start: how far the movements have come at the first frame, in frames
    """
    scene = _scene()
    with av.open(path, "w") as file:
        stream = file.add_stream(codec, rate=FPS, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for t in range(start, start + num_frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(_view(scene, t, height, width), format="rgb24")))
        file.mux(stream.encode())


@cache
def _scene(side: int = 1024) -> np.ndarray:
    """(side, side, 3) uint8: noise at five scales, as natural pictures have it, from a fixed seed."""
    rng = np.random.default_rng(0)
    layers = [
        np.kron(rng.normal(size=(side // scale, side // scale, 3)), np.ones((scale, scale, 1))) * scale**0.7
        for scale in (1, 2, 4, 8, 16)
    ]
    faded = (layer * 0.5 ** (len(layers) - i - 1) for i, layer in enumerate(layers))
    scene = sum(faded, start=np.zeros((side, side, 3)))
    return np.clip(128 + 45 * scene / scene.std(), 0, 255).astype(np.uint8)


def _view(scene: np.ndarray, t: int, height: int, width: int) -> np.ndarray:
    y, x = int(200 + 150 * np.sin(t / 37)), int(200 + 150 * np.cos(t / 53))
    image = scene[y : y + height, x : x + width].copy()
    side = height // 5
    y, x = int((height - side) * (0.5 + 0.3 * np.sin(t / 11))), int((width - side) * (0.5 + 0.3 * np.cos(t / 17)))
    image[y : y + side, x : x + side] = scene[700 : 700 + side, 700 + t % 50 : 700 + t % 50 + side]
    return image


# Damage


class Fuzz(NamedTuple):
    """Damaged files by what became of them; a crash, a hang or an error that is no ClipError has its seed beside it."""

    decoded: int
    refused: int
    crashes: list[str]
    hangs: list[str]
    errors: list[str]

    @property
    def met(self) -> bool:
        return not (self.crashes or self.hangs or self.errors)


FORMS: dict[str, dict[str, str]] = {  # file name: options of write_texture
    "h264.mp4": {"codec": "libx264", "g": "12"},
    "h264.mkv": {"codec": "libx264", "g": "12"},
    "h264.avi": {"codec": "libx264", "g": "12", "bf": "0"},
    "h264.ts": {"codec": "libx264", "g": "12"},
    "hevc.mp4": {"codec": "libx265", "x265-params": "log-level=none:keyint=12"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "12", "cpu-used": "5"},
    "vp8.webm": {"codec": "libvpx", "g": "12", "cpu-used": "5"},
    "mpeg4.mp4": {"codec": "mpeg4", "g": "12", "bf": "2"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "12"},
    "mpeg2.mpg": {"codec": "mpeg2video", "g": "12"},
    "mjpeg.avi": {"codec": "mjpeg"},
    "mjpeg.jpg": {"codec": "mjpeg"},
}


def attempt(path: Path) -> str:
    """ "decoded", "refused" or "error ..."."""
    try:
        if path.suffix == ".jpg":
            open_video(path.parent, frames=1, template=path.name).frames([0])
        video = open_video(path)
        video.frames(segment_indices(video.num_frames, min(video.num_frames, SEGMENTS)), size=32)
    except ClipError:
        return "refused"
    except BaseException as error:
        return f"error {error!r}"
    return "decoded"


def fuzz(
    count: int = 2000,
    seed: int = 0,
    *,
    workers: int = 1,
    patience: float = PATIENCE,
    attempt: Callable[[Path], str] = attempt,
) -> Fuzz:
    """Decode damaged files in processes of their own, each of which may address `MEMORY` bytes.

    :param count: files
    :param seed: of what is damaged and how
    :param patience: seconds for a file before it counts as a hang
    :param attempt: what is done with a file, a function that another process can import
    """
    outcome = Fuzz(0, 0, [], [], [])
    decoded = refused = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = list(_sound_files(folder))
        pool = [_Worker(attempt, patience) for _ in range(workers)]
        bar = tqdm(total=count, desc="damaged files", disable=None, leave=False)
        for first in range(0, count, workers):
            jobs = []
            for worker, number in zip(pool, range(first, min(first + workers, count))):
                jobs.append((worker, number, _damaged_copy(folder, sound, seed, number)))
                worker.start(jobs[-1][2])
            for worker, number, path in jobs:
                result = worker.wait()
                path.unlink()
                case = f"seed {seed}, file {number} ({path.name}): {result}"
                decoded += result == "decoded"
                refused += result == "refused"
                if result.startswith("crash"):
                    outcome.crashes.append(case)
                elif result == "hang":
                    outcome.hangs.append(case)
                elif result.startswith("error"):
                    outcome.errors.append(case)
                bar.update()
        bar.close()
        for worker in pool:
            worker.stop()
    return outcome._replace(decoded=decoded, refused=refused)


def report_fuzz(count: int) -> list[Ratio]:
    """``fuzz`` in a table's row: the damaged files that ended otherwise than they may, of which there must be none."""
    found = fuzz(count)
    failures = [*found.crashes, *found.hangs, *found.errors]
    print("\n".join([f"{found.decoded} damaged files decoded, {found.refused} refused", *failures]))
    name = f"{count} damaged files: crashes, hangs and errors other than ClipError"
    return [Ratio(name, len(failures), len(failures), len(failures), "none", found.met)]


def _sound_files(folder: Path) -> Iterator[Path]:
    for name, options in FORMS.items():
        path = folder / name
        frames = 1 if path.suffix == ".jpg" else 40
        write_texture(str(path), frames, height=48, width=64, start=0, **options)
        yield path


def _damaged_copy(folder: Path, sound: list[Path], seed: int, number: int) -> Path:
    """A sound file after one to four kinds of damage."""
    rng = np.random.default_rng((seed, number))
    source = sound[rng.integers(len(sound))]
    content = bytearray(source.read_bytes())
    for _ in range(rng.integers(1, 5)):
        damage = DAMAGES[rng.integers(len(DAMAGES))]
        content = damage(content, rng, sound)
    path = folder / f"{number:06d}{source.suffix}"
    path.write_bytes(content)
    return path


def _place(content: bytearray, rng: np.random.Generator) -> int:
    """Half of the places lie in the first kilobyte, where most of what steers a reader stands; or in the last."""
    near = min(1024, len(content))
    place = (rng.integers(len(content) + 1), rng.integers(near + 1), len(content) - rng.integers(near + 1))
    return int(place[rng.integers(3)])


def _flip(content: bytearray, rng: np.random.Generator, sound: list[Path]) -> bytearray:
    for _ in range(rng.integers(1, 20)):
        if content:
            place = min(_place(content, rng), len(content) - 1)
            content[place] ^= 1 << rng.integers(8)
    return content


def _cut(content: bytearray, rng: np.random.Generator, sound: list[Path]) -> bytearray:
    return content[: _place(content, rng)]


def _swap(content: bytearray, rng: np.random.Generator, sound: list[Path]) -> bytearray:
    size = int(rng.integers(1, 200))
    a, b = _place(content, rng), _place(content, rng)
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]
    return content


def _splice(content: bytearray, rng: np.random.Generator, sound: list[Path]) -> bytearray:
    """A piece of another file put in, or over what was there."""
    other = sound[rng.integers(len(sound))].read_bytes()
    start, size, place = int(rng.integers(len(other))), int(rng.integers(1, 2000)), _place(content, rng)
    piece = other[start : start + size]
    return content[:place] + piece + content[place + (len(piece) if rng.integers(2) else 0) :]


def _blank(content: bytearray, rng: np.random.Generator, sound: list[Path]) -> bytearray:
    place, size = _place(content, rng), int(rng.integers(1, 400))
    size = min(size, len(content) - place)
    content[place : place + size] = bytes([(0, 255)[rng.integers(2)]]) * size
    return content


def _number(content: bytearray, rng: np.random.Generator, sound: list[Path]) -> bytearray:
    """Four bytes that say a size or a count, made extreme."""
    value = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 0x10000)[rng.integers(7)]
    place = _place(content, rng)
    content[place : place + 4] = value.to_bytes(4, ("big", "little")[rng.integers(2)])
    return content


DAMAGES = (_flip, _cut, _swap, _splice, _blank, _number)


class _Worker:
    """A process that decodes one file after another, and a new one where it dies or hangs."""

    def __init__(self, attempt: Callable[[Path], str], patience: float) -> None:
        self.attempt, self.patience = attempt, patience
        self._spawn()

    def _spawn(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.attempt), daemon=True)
        self.process.start()
        theirs.close()
        self.ours.recv()  # it has imported what it needs

    def start(self, path: Path) -> None:
        self.ours.send(str(path))

    def wait(self) -> str:
        try:
            if self.ours.poll(self.patience):
                return self.ours.recv()
            result = "hang"
        except EOFError:
            self.process.join()
            result = f"crash, exit code {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self._spawn()
        return result

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def _serve(connection: Connection, attempt: Callable[[Path], str]) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except ImportError:
        pass  # a system without such limits
    connection.send("ready")
    while True:
        path = Path(connection.recv())
        connection.send(attempt(path))
