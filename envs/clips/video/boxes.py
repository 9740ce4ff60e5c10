"""How much an MP4 or QuickTime file lists, told before FFmpeg makes a list of it (ISO/IEC 14496-12).

A few bytes may say that there are as many packets as one likes, all of them in one place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

STARTS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")  # what such a file begins with
PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf")
MOST = 1 << 18  # boxes that are looked at


def is_boxed(head: bytes) -> bool:
    """Whether a file that begins so is made of boxes."""
    return head[4:8] in STARTS


def listed(file: BinaryIO) -> int:
    """Packets that the file's tracks list, once for each entry of their edit lists."""
    return _packets(list(_boxes(file, 0, file.seek(0, os.SEEK_END))))


def _packets(boxes: list[tuple[bytes, bytes]]) -> int:
    """:param boxes: names and what they begin with, tracks one after the other."""
    total = count = edits = 0
    sound = plain = constant = False

    def number(body: bytes, place: int) -> int:
        return int.from_bytes(body[place : place + 4], "big")

    for name, body in [*boxes, (b"trak", b"")]:
        if name == b"trak":  # the end of the one before; of PCM, FFmpeg lists chunks and not samples
            total += 0 if sound and plain and constant else count * max(edits, 1)
            count = edits = 0
            sound = plain = constant = False
        elif name in (b"stsz", b"stz2"):
            count += number(body, 8)
            constant = name == b"stsz" and number(body, 4) > 0
        elif name == b"trun":
            total += number(body, 4)
        elif name == b"elst":
            edits += number(body, 4)
        elif name == b"hdlr":
            sound = sound or body[8:12] == b"soun"
        elif name == b"stts":
            plain = number(body, 4) == 1 and number(body, 12) == 1
    return total


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Every box, those within others behind them, with the first bytes of its body."""
    todo = [(start, end)]
    for _ in range(MOST):
        while todo and todo[-1][0] + 8 > todo[-1][1]:
            todo.pop()
        if not todo:
            return
        start, end = todo.pop()
        file.seek(start)
        head = file.read(32)
        length, body, name = int.from_bytes(head[:4], "big"), 8, head[4:8]
        if length == 1:
            length, body = int.from_bytes(head[8:16], "big"), 16
        length = length or end - start
        if length < body:
            continue
        todo.append((start + length, end))
        if name in PARENTS:
            todo.append((start + body, min(start + length, end)))
        yield name, head[body:]
