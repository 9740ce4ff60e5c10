"""The frames of a video file.

It is read once without decoding, for a list of its packets; the frames wanted are then decoded from the nearest key
frame before them, without the frames that no other needs (`bitstream`). Where the list does not settle which packet
shows which frame, or what decodes is not what it says, the file is decoded from the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import av
import av.container

from envs.clips.source import ClipError
from envs.clips.video.bitstream import Coding
from envs.clips.video.bounds import MAX_FRAMES, Budget
from envs.clips.video.container import check_end, opened, packets_of
from envs.clips.video.index import Index, Indexer, coding_of, runs_for
from envs.clips.video.refusals import check_file, damaged, one_sentence
from envs.clips.video.video import Keep, Video

KEPT_BYTES, KEPT_PACKETS = 1 << 26, 1 << 16  # files of up to so much stay in memory; larger ones are read again
ASPECTS = 0.25, 4.0  # of a pixel; a header that says anything else is not believed


class Doubt(Exception):
    """The list of packets did not tell what came out."""


class VideoFile(Video):
    """One file.

    :param square: whether pixels that are not square, as the file says, are made so.
    :param threads: with which it is decoded.
    """

    def __init__(self, path: Path, status: os.stat_result, *, square: bool, threads: int) -> None:
        self.path, self.threads, self.size = path, threads, status.st_size
        check_file(path, status)
        self.index: Index | None = None
        self.count: int | None = None
        self.packets: list[av.Packet] = []  # empty where they are too many to keep
        with one_sentence(path), opened(path, threads) as (container, stream):
            self.context = stream.codec_context
            self.aspect = _aspect(stream) if square else 1.0
            coding = coding_of(stream)
            if coding is not None:
                self._read_index(container, stream, coding)

    @property
    def num_frames(self) -> int:
        if self.count is None:
            with one_sentence(self.path):
                self.count = len(self.index.packets) if self.index else sum(1 for _ in self._from_the_start())
        if not self.count:
            raise ClipError(f"{self.path}: expected a video, but no frame decodes; replace it or take it off the list")
        return self.count

    def _decode(self, wanted: Sequence[int], keep: Keep) -> None:
        if self.index is not None:
            try:
                self._decode_runs(self.index, wanted, keep)
                return
            except (Doubt, av.FFmpegError):
                self._forget()
        if wanted[-1] >= self.num_frames:
            raise ClipError(
                f"{self.path}: expected {wanted[-1] + 1} frames at least, as the file tells, but {self.num_frames} "
                "decode; replace it or take it off the list"
            )
        numbers = set(wanted)
        for number, frame in enumerate(islice(self._from_the_start(), wanted[-1] + 1)):
            if number in numbers:
                keep(number, frame, self.aspect)

    def _forget(self) -> None:
        """From here on, decoding from the start is what counts."""
        self.index, self.count, self.packets = None, None, []

    def _from_the_start(self) -> Iterator[av.VideoFrame]:
        budget, times = Budget(self.path, self.size), []
        with opened(self.path, self.threads) as (container, stream):
            for packet in packets_of(self.path, container, stream, budget):
                frames = packet.decode()
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    raise damaged(self.path, budget.frames)
                for frame in frames:
                    budget.frame(frame)
                    times.append(frame.pts)
                    yield frame
            check_end(self.path, container, stream, times)

    def _read_index(self, container: av.container.InputContainer, stream: av.VideoStream, coding: Coding) -> None:
        """List the packets; `index` stays None where they do not settle which frames there are."""
        listed = len(stream.index_entries)
        if listed > MAX_FRAMES:
            raise ClipError(
                f"{self.path}: expected at most {MAX_FRAMES} frames, but it lists {listed}; cut it into shorter clips"
            )
        mov = container.format.name.startswith("mov")
        indexer = Indexer(coding, ordered=container.format.name == "avi")
        packets: list[av.Packet] | None = []
        kept = 0
        for packet in packets_of(self.path, container, stream, Budget(self.path, self.size)):
            if not packet.size and packet.pts is None:
                continue  # the end
            if packet.is_corrupt:
                raise damaged(self.path, len(indexer.times))
            if not indexer.add(packet):
                return
            kept += packet.size
            if kept > KEPT_BYTES or len(indexer.times) > KEPT_PACKETS:
                packets = None
            if packets is not None:
                packets.append(packet)
        if mov and len(indexer.times) < listed:
            raise damaged(self.path, len(indexer.times))
        check_end(self.path, container, stream, indexer.times)
        self.index = indexer.index()
        self.packets = packets if self.index and packets else []

    def _decode_runs(self, index: Index, wanted: Sequence[int], keep: Keep) -> None:
        """:raises Doubt: when what comes out is not what the list says."""
        budget = Budget(self.path, self.size)
        with self._reader() as read:
            for run in runs_for(index, wanted):
                self.context.flush_buffers()
                numbers = {index.times[index.packets[number]]: number for number in run.frames}
                since, expected, got = index.since(run), [], []
                for position, packet in zip(range(run.first, run.last + 1), read(run.first, run.last), strict=True):
                    time = index.times[position]
                    if index.coding.unreferenced(memoryview(packet)) and time not in numbers:
                        continue
                    if index.shown[position] and time >= since:
                        expected.append(time)
                    budget.packet()
                    got += self._take(self.context.decode(packet), since, numbers, keep, budget)
                got += self._take(self.context.decode(None), since, numbers, keep, budget)
                if got != sorted(expected):
                    raise Doubt
        self.context.flush_buffers()

    def _take(
        self, frames: list[av.VideoFrame], since: int, numbers: dict[int, int], keep: Keep, budget: Budget
    ) -> list[int | None]:
        """Keep what is wanted; the times of what came. Before `since` lie frames whose past was not decoded."""
        for frame in frames:
            budget.frame(frame)
        frames = [frame for frame in frames if frame.pts is None or frame.pts >= since]
        if any(frame.is_corrupt for frame in frames):
            raise Doubt
        for frame in frames:
            if frame.pts in numbers:
                keep(numbers[frame.pts], frame, self.aspect)
        return [frame.pts for frame in frames]

    @contextmanager
    def _reader(self) -> Iterator[Callable[[int, int], Iterable[av.Packet]]]:
        """What hands out packets first..last, both included; each call must go on behind the one before it."""
        if self.packets:
            yield lambda first, last: self.packets[first : last + 1]
            return
        with opened(self.path, self.threads) as (container, stream):
            packets, at = packets_of(self.path, container, stream, Budget(self.path, self.size)), 0

            def read(first: int, last: int) -> Iterable[av.Packet]:
                nonlocal at
                skipped, at = first - at, last + 1
                return islice(packets, skipped, skipped + last + 1 - first)

            yield read


def _aspect(stream: av.VideoStream) -> float:
    """The width of a pixel over its height."""
    aspect, (least, most) = float(stream.sample_aspect_ratio or 1), ASPECTS
    return aspect if least <= aspect <= most else 1.0
