"""Frames of a video file, or of a folder of pictures, by their numbers.

A frame's number is its place in what decoding the whole file from the start gives, and its pixels are those that this
gives: the definition of right here. A file is read once without decoding, for a list of its packets; the frames wanted
are then decoded from the nearest key frame before them, without the frames that no other needs (`bitstream`). Where
the list does not settle which packet shows which frame, the file is decoded from the start.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import av
import av.container
import numpy as np
from av.stream import Discard, Disposition
from av.video.reformatter import VideoReformatter

from envs.clips.source import ClipError
from envs.clips.video.bitstream import CODINGS, Coding, matroska_end

Convert = Callable[[np.ndarray], np.ndarray]

FORMATS = (
    "mov,matroska,avi,asf,flv,gif,h264,hevc,ivf,m4v,mjpeg,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,yuv4mpegpipe,"
    "jpeg_pipe,png_pipe"
)
# A file is read and nothing that it may name (playlists), and no frame takes more than 2^26 pixels.
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "max_pixels": str(1 << 26)}
INDEXED = ("mov", "matroska", "avi")  # containers whose packets are one frame each, with the time at which it is shown
KEPT_BYTES = 1 << 26  # packets of files up to this size stay in memory; larger files are read again
PICTURES: dict[bytes, Literal["mjpeg", "png"]] = {b"\xff\xd8\xff": "mjpeg", b"\x89PNG": "png"}  # by the first bytes
SUFFIXES = (".jpg", ".jpeg", ".png")
QUARTERS = {90: 1, 180: 2, -180: 2, -90: 3}  # degrees to turns to the left; a matrix that says anything else is ignored


def open_video(path: str | Path, *, frames: int | None = None, template: str | None = None, threads: int = 1) -> Video:
    """A video file, or a folder of JPEG or PNG pictures.

    :param frames: of a folder: how many pictures it holds (None: those that are there).
    :param template: of a folder: the pictures' names, such as "img_{:05d}.jpg", numbered from 0 or from 1, whichever
        is there (None: every picture, by name).
    :param threads: with which one file is decoded; 1 where many are decoded side by side, 0 for as many as there are
        processors.
    :raises ClipError: when there is no such thing, or it is no video.
    """
    path = Path(path)
    status = _status(path)
    if stat.S_ISDIR(status.st_mode):
        if frames is None and template is None and not any(_pictures_in(path)):
            raise ClipError(f"{path}: expected a video file, but it is a directory; name a file inside it")
        return _Folder(path, frames, template)
    if frames is not None or template is not None:
        raise ClipError(f"{path}: expected a folder of pictures, but it is a file; correct the list")
    return _File(path, status, threads)


class Video(ABC):
    """Frames by number; `num_frames` are there."""

    path: Path

    @property
    @abstractmethod
    def num_frames(self) -> int:
        """Frames that really are there, whatever a header says.

        :raises ClipError: where they have to be decoded to be counted, and do not decode.
        """

    def frames(
        self, indices: Sequence[int] | np.ndarray, *, size: int | None = None, convert: Convert | None = None
    ) -> np.ndarray:
        """Frames by number, in any order and as often as they are named.

        :param indices: (I,) integers in 0..num_frames-1, at least one.
        :param size: the shorter side in pixels, the other in proportion (None: as stored).
        :param convert: what is done to each frame before it is kept, (H, W, 3) uint8 to an array of one shape, such as
            a crop.
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
        canvas = _Canvas(self.path, wanted.tolist(), size, convert)
        with _one_sentence(self.path):
            self._decode(wanted.tolist(), canvas)
        return canvas.images[place]

    @abstractmethod
    def _decode(self, wanted: list[int], keep: Callable[[int, av.VideoFrame], None]) -> None:
        """Give every wanted frame (sorted numbers) to `keep`, at least once, the last time right."""


class _Canvas:
    """Takes frames in, each as RGB in its place; one scaler, without threads of its own, serves a whole video."""

    images: np.ndarray  # (I, ...)

    def __init__(self, path: Path, wanted: list[int], size: int | None, convert: Convert | None) -> None:
        self.path, self.size, self.convert = path, size, convert
        self.rows = {number: row for row, number in enumerate(wanted)}
        self.reformatter = VideoReformatter()
        self.empty = True

    def __call__(self, number: int, frame: av.VideoFrame) -> None:
        width, height = frame.width, frame.height
        if self.size is not None:
            scale = self.size / min(width, height)
            width, height = round(width * scale), round(height * scale)
        image = self.reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1).to_ndarray()
        image = np.rot90(image, QUARTERS.get(frame.rotation, 0))  # telephones store the turn beside the picture
        if self.convert is not None:
            image = self.convert(image)
        if self.empty:
            self.images = np.empty((len(self.rows), *image.shape), image.dtype)
            self.empty = False
        if image.shape != self.images.shape[1:]:
            raise ClipError(
                f"{self.path}: expected frames of one size, but frame {number} is {image.shape[1]} x {image.shape[0]} "
                f"and another {self.images.shape[2]} x {self.images.shape[1]}; take it off the list or encode it again"
            )
        self.images[self.rows[number]] = image


# Files


class _Index(NamedTuple):
    """The packets of a file in the order in which they are stored; the frames in the order in which they are shown."""

    times: list[int]  # when each packet is shown (pts)
    shown: list[bool]  # whether it is shown at all
    packets: list[int]  # of each frame
    entries: list[int]  # packets at which decoding may start
    coding: Coding


class _Run(NamedTuple):
    """Packets first..last, decoded in one go for the sake of some frames."""

    first: int
    last: int
    frames: list[int]


class _Doubt(Exception):
    """The list of packets did not tell what came out."""


class _File(Video):
    def __init__(self, path: Path, status: os.stat_result, threads: int) -> None:
        self.path, self.threads = path, threads
        _check_file(path, status)
        self.index: _Index | None = None
        self.count: int | None = None
        self.packets: list[av.Packet] = []  # empty where they are too many to keep
        with _one_sentence(path), self._open() as (container, stream):
            self.context = stream.codec_context
            coding = _coding(stream)
            if coding is not None:
                self._read_index(container, stream, coding)

    @property
    def num_frames(self) -> int:
        if self.count is None:
            with _one_sentence(self.path):
                self.count = len(self.index.packets) if self.index else sum(1 for _ in self._from_the_start())
        if not self.count:
            raise ClipError(f"{self.path}: expected a video, but no frame decodes; replace it or take it off the list")
        return self.count

    def _decode(self, wanted: list[int], keep: Callable[[int, av.VideoFrame], None]) -> None:
        if self.index is not None:
            try:
                self._decode_runs(self.index, wanted, keep)
                return
            except (_Doubt, av.FFmpegError):
                self._forget()
        if wanted[-1] >= self.num_frames:
            raise ClipError(
                f"{self.path}: expected {wanted[-1] + 1} frames at least, as the file tells, but {self.num_frames} "
                "decode; replace it or take it off the list"
            )
        numbers = set(wanted)
        for number, frame in enumerate(islice(self._from_the_start(), wanted[-1] + 1)):
            if number in numbers:
                keep(number, frame)

    def _forget(self) -> None:
        """From here on, decoding from the start is what counts."""
        self.index, self.count, self.packets = None, None, []

    @contextmanager
    def _open(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        # Metadata may be in any encoding.
        with av.open(str(self.path.absolute()), options=OPTIONS, metadata_errors="replace") as container:
            pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not pictures:
                raise ClipError(f"{self.path}: expected a video, but it has no picture, only sound or data; replace it")
            stream = pictures[0]
            if stream.codec_context is None:
                raise ClipError(
                    f"{self.path}: expected a video that can be decoded, but its codec is unknown; encode it again"
                )
            for other in container.streams:
                if other is not stream:
                    other.discard = Discard.all
            stream.codec_context.thread_count = self.threads
            if self.threads != 1:
                stream.codec_context.thread_type = "AUTO"
            stream.codec_context.options = {"max_pixels": OPTIONS["max_pixels"]}
            yield container, stream

    def _demux(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
        try:
            yield from container.demux(stream)
        except IndexError as error:  # a damaged transport stream: streams that come and go
            raise _damaged(self.path, 0) from error

    def _from_the_start(self) -> Iterator[av.VideoFrame]:
        count = 0
        with self._open() as (container, stream):
            for packet in self._demux(container, stream):
                frames = packet.decode()
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    raise _damaged(self.path, count)
                count += len(frames)
                yield from frames

    def _read_index(self, container: av.container.InputContainer, stream: av.VideoStream, coding: Coding) -> None:
        """List the packets; `index` stays None where they do not settle which frames there are."""
        times: list[int] = []
        shown: list[bool] = []
        entries: list[int] = []
        packets: list[av.Packet] = []
        kept = 0
        for packet in self._demux(container, stream):
            if not packet.size and packet.pts is None:
                continue  # the end
            if packet.is_corrupt:
                raise _damaged(self.path, len(times))
            data = memoryview(packet)
            frames = coding.frames(data)
            if frames is None or packet.pts is None or packet.has_sidedata("new_extradata"):
                return
            if packet.is_keyframe and coding.starts(data):
                entries.append(len(times))
            times.append(packet.pts)
            shown.append(frames == 1 and not packet.is_discard)
            kept += packet.size
            if kept <= KEPT_BYTES:
                packets.append(packet)
        if container.format.name.startswith("mov") and len(times) < len(stream.index_entries):
            raise _damaged(self.path, len(times))
        order = sorted((time, packet) for packet, time in enumerate(times) if shown[packet])
        distinct = len({time for time, _ in order}) == len(order)
        reordered = any(b < a for a, b in pairwise(times))
        if not order or not distinct or entries[:1] != [0] or (reordered and container.format.name == "avi"):
            return
        self.packets = packets if kept <= KEPT_BYTES else []
        self.index = _Index(times, shown, [packet for _, packet in order], entries, coding)

    def _runs(self, index: _Index, wanted: list[int]) -> list[_Run]:
        """Where to start and where to stop: a new run only where that leaves packets out."""
        runs: list[_Run] = []
        for number in wanted:
            packet = index.packets[number]
            first = next(
                entry
                for entry in reversed(index.entries[: bisect_right(index.entries, packet)])
                if entry == 0 or index.times[entry] <= index.times[packet]
            )
            if runs and first <= runs[-1].last + 1:
                run = runs[-1]
                runs[-1] = _Run(run.first, max(run.last, packet), [*run.frames, number])
            else:
                runs.append(_Run(first, packet, [number]))
        return runs

    def _decode_runs(self, index: _Index, wanted: list[int], keep: Callable[[int, av.VideoFrame], None]) -> None:
        coding, context = index.coding, self.context
        runs = self._runs(index, wanted)
        if runs[0].first > 0:  # the first packet may say what all others build on, such as the encoder's version
            runs.insert(0, _Run(0, 0, []))
        with self._reader() as read:
            for run in runs:
                context.flush_buffers()
                numbers = {index.times[index.packets[number]]: number for number in run.frames}
                since = index.times[run.first]
                expected, got = [], []
                for position, packet in zip(range(run.first, run.last + 1), read(run.first, run.last), strict=True):
                    time = index.times[position]
                    if coding.unreferenced(memoryview(packet)) and time not in numbers:
                        continue
                    if index.shown[position] and time >= since:
                        expected.append(time)
                    got += self._take(context.decode(packet), since, numbers, keep)
                got += self._take(context.decode(None), since, numbers, keep)
                if got != sorted(expected):
                    raise _Doubt
        context.flush_buffers()

    def _take(
        self,
        frames: list[av.VideoFrame],
        since: int,
        numbers: dict[int, int],
        keep: Callable[[int, av.VideoFrame], None],
    ) -> list[int | None]:
        """Keep what is wanted; the times of what came. Before `since` lie frames whose past was not decoded."""
        frames = [frame for frame in frames if frame.pts is None or frame.pts >= since]
        if any(frame.is_corrupt for frame in frames):
            raise _Doubt
        for frame in frames:
            if frame.pts in numbers:
                keep(numbers[frame.pts], frame)
        return [frame.pts for frame in frames]

    @contextmanager
    def _reader(self) -> Iterator[Callable[[int, int], Iterable[av.Packet]]]:
        """What hands out packets first..last, both included; each call must go on behind the one before it."""
        if self.packets:
            yield lambda first, last: self.packets[first : last + 1]
            return
        with self._open() as (container, stream):
            packets, at = self._demux(container, stream), 0

            def read(first: int, last: int) -> Iterable[av.Packet]:
                nonlocal at
                skipped, at = first - at, last + 1
                return islice(packets, skipped, skipped + last + 1 - first)

            yield read


def _coding(stream: av.VideoStream) -> Coding | None:
    """None where only decoding from the start tells what is there."""
    container = stream.container.format.name.split(",")[0]
    name = stream.codec_context.codec.canonical_name
    if container not in INDEXED or name not in CODINGS or (container == "avi" and name not in ("mjpeg", "mpeg4")):
        return None
    try:
        return CODINGS[name](stream.codec_context.extradata or b"")
    except ValueError:
        return None


# Folders of pictures


class _Folder(Video):
    """One picture a frame. Only those that are asked for are looked at."""

    def __init__(self, path: Path, frames: int | None, template: str | None) -> None:
        self.path = path
        self.name: Callable[[int], str]  # of a frame's picture
        if template is None:
            names = sorted(_pictures_in(path))
            self.name, there = names.__getitem__, len(names)
            if frames is not None and there < frames:
                raise ClipError(
                    f"{path}: expected {frames} pictures, but there are {there}; restore them or correct the list"
                )
        else:
            self.name = partial(_numbered, template, 0 if (path / template.format(0)).exists() else 1)
            there = frames if frames is not None else self._count()
        self.count = there if frames is None else frames
        if self.count < 1:
            raise ClipError(
                f"{path}: expected a folder of pictures, but there is none; restore them or correct the list"
            )
        self.contexts: dict[str, av.VideoCodecContext] = {}

    @property
    def num_frames(self) -> int:
        return self.count

    def _count(self) -> int:
        names, count = set(os.listdir(self.path)), 0
        while self.name(count) in names:
            count += 1
        return count

    def _decode(self, wanted: list[int], keep: Callable[[int, av.VideoFrame], None]) -> None:
        for number in wanted:
            path = self.path / self.name(number)
            with _one_sentence(path, "picture"):
                keep(number, self._picture(path))

    def _picture(self, path: Path) -> av.VideoFrame:
        _check_file(path, _status(path, "picture"), "picture")
        data = path.read_bytes()
        codec = next((codec for start, codec in PICTURES.items() if data.startswith(start)), None)
        if codec is None:
            raise ClipError(f"{path}: expected a JPEG or PNG picture, but it is none; replace it or correct the list")
        if codec not in self.contexts:
            context = av.CodecContext.create(codec, "r")
            context.thread_count = 1
            context.options = {"max_pixels": OPTIONS["max_pixels"]}
            self.contexts[codec] = context
        context = self.contexts[codec]
        context.flush_buffers()
        try:
            frames = [*context.decode(av.Packet(data)), *context.decode(None)]
        finally:
            context.flush_buffers()
        ended = codec != "mjpeg" or data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
        if len(frames) != 1 or frames[0].is_corrupt or not ended:
            raise ClipError(f"{path}: expected a whole picture, but it is damaged or cut off; replace it")
        return frames[0]


def _numbered(template: str, first: int, number: int) -> str:
    return template.format(first + number)


def _pictures_in(path: Path) -> Iterator[str]:
    try:
        return (name for name in os.listdir(path) if name.lower().endswith(SUFFIXES))
    except OSError as error:
        raise _unreadable(path, "folder", error) from error


# Errors


def _status(path: Path, what: str = "video file") -> os.stat_result:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ClipError(f"{path}: expected a {what}, but there is nothing; restore it or correct the list") from None
    except (OSError, ValueError) as error:  # a circle of links; a name that cannot be one
        raise _unreadable(path, what, error) from error


def _check_file(path: Path, status: os.stat_result, what: str = "video file") -> None:
    """What can be told of a file before anything tries to understand it."""
    if stat.S_ISDIR(status.st_mode):
        raise ClipError(f"{path}: expected a {what}, but it is a directory; name a file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise ClipError(f"{path}: expected a {what}, but it is a pipe or a device; name a file")
    if status.st_size == 0:
        raise ClipError(f"{path}: expected a {what}, but it is empty; replace it or take it off the list")
    try:
        with path.open("rb") as file:
            end = matroska_end(file.read(128))
    except OSError as error:
        raise _unreadable(path, what, error) from error
    if end is not None and end > status.st_size:
        raise ClipError(
            f"{path}: expected a whole {what} of {end} bytes, as it says itself, but it is cut off at "
            f"{status.st_size}; replace it or take it off the list"
        )


def _unreadable(path: Path, what: str, error: Exception) -> ClipError:
    reason = getattr(error, "strerror", None) or error
    return ClipError(f"{path}: expected a {what}, but it cannot be read ({reason}); correct its rights or the list")


def _damaged(path: Path, near: int) -> ClipError:
    return ClipError(
        f"{path}: expected a whole video, but it is damaged or cut off near frame {near}; "
        "replace it or take it off the list"
    )


@contextmanager
def _one_sentence(path: Path, what: str = "video") -> Iterator[None]:
    """The library's errors, and those of memory, in this project's words."""
    try:
        yield
    except (av.FFmpegError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it does not fit into memory"
        raise ClipError(
            f"{path}: expected a whole {what}, but it does not decode ({reason}), so it is no {what}, damaged or "
            "cut off; replace it or take it off the list"
        ) from error
