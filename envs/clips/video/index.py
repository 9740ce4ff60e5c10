"""Which packet of a file is which frame, told without decoding, and from where to decode the frames that are wanted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import av

from envs.clips.video.bitstream import CODINGS, Coding

CONTAINERS = ("mov", "matroska", "avi")  # whose packets are one frame each, with the time at which it is shown


class Index(NamedTuple):
    """The packets of a file in the order in which they are stored; the frames in the order in which they are shown."""

    times: list[int]  # when each packet is shown (pts)
    shown: list[bool]  # whether it is shown at all
    packets: list[int]  # of each frame
    entries: list[int]  # packets at which decoding may start
    coding: Coding

    def since(self, run: Run) -> int:
        """The time from which a run's frames are right: before it lie those whose past the run has not decoded. Before
        the first packet lies no past."""
        return self.times[run.first] if run.first else min(self.times)


class Run(NamedTuple):
    """Packets first..last, decoded in one go for the sake of some frames."""

    first: int
    last: int
    frames: list[int]


def coding_of(stream: av.VideoStream) -> Coding | None:
    """None where only decoding from the start tells what is there."""
    container = stream.container.format.name.split(",")[0]
    name = stream.codec_context.codec.canonical_name
    if container not in CONTAINERS or name not in CODINGS or (container == "avi" and name not in ("mjpeg", "mpeg4")):
        return None
    try:
        return CODINGS[name](stream.codec_context.extradata or b"")
    except ValueError:
        return None


class Indexer:
    """Takes the packets of a stream as they are stored, and is asked in the end.

    :param ordered: whether the container stores packets in the order of their times (AVI)
    """

    def __init__(self, coding: Coding, ordered: bool) -> None:
        self.coding, self.ordered = coding, ordered
        self.times: list[int] = []
        self.shown: list[bool] = []
        self.entries: list[int] = []

    def add(self, packet: av.Packet) -> bool:
        """Whether it tells how many frames it shows, and when."""
        data = memoryview(packet)
        frames = self.coding.frames(data)
        if frames is None or packet.pts is None or packet.has_sidedata("new_extradata"):
            return False
        if packet.is_keyframe and self.coding.starts(data):
            self.entries.append(len(self.times))
        self.times.append(packet.pts)
        self.shown.append(frames == 1 and not packet.is_discard)
        return True

    def index(self) -> Index | None:
        """None where the packets do not settle which frames there are.

        They do not where frames are shown before the first packet's own: these lead to a picture that was cut off, and
        whether they come only decoding tells.
        """
        order = sorted((time, packet) for packet, time in enumerate(self.times) if self.shown[packet])
        distinct = len({time for time, _ in order}) == len(order)
        reordered = any(b < a for a, b in pairwise(self.times))
        if not order or not distinct or self.entries[:1] != [0] or (reordered and self.ordered):
            return None
        if order[0][0] < self.times[0]:
            return None
        return Index(self.times, self.shown, [packet for _, packet in order], self.entries, self.coding)


def runs_for(index: Index, wanted: Iterable[int]) -> list[Run]:
    """Where to start and where to stop: a new run only where that leaves packets out.

    :param wanted: numbers of frames, sorted.
    """
    runs: list[Run] = []
    for number in wanted:
        packet = index.packets[number]
        place = bisect_right(index.entries, packet) - 1
        while place and index.times[index.entries[place]] > index.times[packet]:
            place -= 1
        first = index.entries[place]
        if runs and first <= runs[-1].last + 1:
            run = runs[-1]
            run.frames.append(number)
            runs[-1] = run._replace(last=max(run.last, packet))
        else:
            runs.append(Run(first, packet, [number]))
    if runs[0].first > 0:  # the first packet may say what all others build on, such as the encoder's version
        runs.insert(0, Run(0, 0, []))
    return runs
