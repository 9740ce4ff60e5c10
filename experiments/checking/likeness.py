"""Perceptual hashes: frames that look alike though no byte of theirs is the same.

A frame is averaged to 9 x 9 cells of grey. One hash of 64 bits says which cell is lighter than its left neighbour, another
which is lighter than the one above it (dHash). Two frames look alike where they differ in few bits of both: measured, not
more than 8 in either, on 300 clips of surveillance cameras this found 153 of 1,289 pairs of clips of one source and none
of 43,561 pairs of others, and none of 12,000,000 pairs of the embedded data; either hash alone finds some of these.

A frame without contrast has hashes of chance, and all frames of one gradient have the same: they are flat, and not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

FRAMES = 3  # of a clip
CELLS = 9
CONTRAST = 2.0  # of 255, by which neighbours must differ to tell anything
TELLING = 16  # neighbours of 64 that must differ so
MIXED = 8  # bits of 64 that must be set, and as many that must not
AT_ONCE = 1 << 18  # pairs of frames, which stay in a core's cache

Look = tuple[int, int]
"""The two hashes of a frame."""


class Alike(NamedTuple):
    """A clip of which some frame looks like one of other clips.

    :param clip: its place in its list
    :param other: the place, in the other list, of the one most like it
    :param bits: of 64, by which their most similar frames differ: the larger of the two hashes' differences
    :param others: how many clips of the other list it looks like
    """

    clip: int
    other: int
    bits: int
    others: int


def compared(count: int) -> list[int]:
    """The numbers of the frames that stand for a clip of so many: the middles of its thirds."""
    return [count * (2 * k + 1) // (2 * FRAMES) for k in range(FRAMES) if count]


def looks_of(images: np.ndarray) -> tuple[Look, ...]:
    """The hashes of the frames that stand for a clip, without those that are flat.

    :param images: (at most FRAMES, H, W, 3) uint8
    """
    return tuple(look for look in map(look_of, images) if look is not None)


def look_of(image: np.ndarray) -> Look | None:
    """The hashes of a frame, (H, W, 3) uint8; None of a flat one."""
    grey = Image.fromarray(image.mean(-1, dtype=np.float32))
    cells = np.asarray(grey.resize((CELLS, CELLS), Image.Resampling.BOX))
    both = np.diff(cells[:-1], axis=1), np.diff(cells[:, :-1], axis=0)  # (8, 8) each
    if any(
        (np.abs(steps) >= CONTRAST).sum() < TELLING or not MIXED <= (steps > 0).sum() <= 64 - MIXED for steps in both
    ):
        return None
    across, down = (int.from_bytes(np.packbits(steps > 0).tobytes()) for steps in both)
    return across, down


def find_alike(clips: Sequence[Sequence[Look]], others: Sequence[Sequence[Look]], *, within: int) -> Iterator[Alike]:
    """The clips that look like some of the others.

    :param clips, others: the hashes of each clip's frames
    :param within: bits of 64 that may differ in either hash
    """
    of, across, down = _frames(clips)
    of_other, other_across, other_down = _frames(others)
    if not (len(of) and len(of_other)):
        return
    theirs, columns_of = np.unique(of_other, return_index=True)
    step = max(AT_ONCE // len(of_other) // FRAMES, 1)
    for first in range(0, len(clips), step):
        start, end = np.searchsorted(of, (first, first + step))
        bits = np.bitwise_count(across[start:end, None] ^ other_across)
        near = bits <= within
        if not near.any():
            continue
        rows, columns = np.nonzero(near)
        found = bits[rows, columns]
        bits[:] = 64
        bits[rows, columns] = np.maximum(found, np.bitwise_count(down[start + rows] ^ other_down[columns]))
        ours, rows_of = np.unique(of[start:end], return_index=True)
        bits = np.minimum.reduceat(np.minimum.reduceat(bits, rows_of, axis=0), columns_of, axis=1)  # of clips
        for clip, row in zip(ours, bits):
            if row.min() <= within:
                yield Alike(int(clip), int(theirs[row.argmin()]), int(row.min()), int((row <= within).sum()))


def _frames(clips: Sequence[Sequence[Look]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which clip each frame is of, and its two hashes: (M,) each."""
    of = np.repeat(np.arange(len(clips)), [len(looks) for looks in clips])
    across, down = np.array([look for looks in clips for look in looks], np.uint64).reshape(-1, 2).T.copy()
    return of, across, down
