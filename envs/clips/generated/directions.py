"""The eight classes: four directions of motion and their reversals, and which of them a generated clip shows."""

from __future__ import annotations

import numpy as np

CLASSES = ("right", "left", "down", "up", "down-right", "up-left", "down-left", "up-right")
REVERSED_CLASS = (1, 0, 3, 2, 5, 4, 7, 6)

_DIRECTIONS = np.array([(1, 0), (0, 1), (0.75, 0.75), (-0.75, 0.75)])  # (x, y) of classes 0, 2, 4, 6; y points down


def direction_of(label: int) -> np.ndarray:
    """(2,) what a step of one pixel adds to x and to y; y points down."""
    axis, backwards = divmod(label, 2)
    return _DIRECTIONS[axis] * (-1 if backwards else 1)


def label_of(clip: int, paired: bool) -> int:
    """Labels go round the classes. Pairs go round the four axes, and each time round the other class comes first.

    :param clip: its number in the split
    :param paired: clip 2i + 1 is clip 2i played backwards
    """
    if not paired:
        return clip % len(CLASSES)
    turns, axis = divmod(clip // 2, len(_DIRECTIONS))
    return 2 * axis + (turns + clip) % 2
