"""A confusion matrix as a picture: a row for each class, a column for each class that its clips were taken for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from envs.rendering.charts import COST, EMPTY, LINES, PALE, PAPER, RULE, SMALL
from envs.rendering.text import INK, font, write

RIGHT, WRONG = LINES[1], COST  # colours of the diagonal, and of all else
SIDE = 480  # pixels of the matrix
NAMES = 150  # pixels of the longest name
EDGE = 10
HEAD = 28  # pixels of the title
THINNEST = 3  # pixels of a cell
NUMBERED = 26  # pixels of a cell that holds its number


def draw_confusion(counts: np.ndarray, classes: Sequence[str], *, title: str = "", side: int = SIDE) -> np.ndarray:
    """uint8 (H, W, 3). The darker a cell, the larger its share of its row; blue is right, red is wrong.

    Names stand beside rows and columns that are high enough for them, numbers of clips in cells that have room.

    :param counts: (K, K) clips
    :param side: pixels of the matrix; more where classes are many
    """
    cell = max(side // len(classes), THINNEST)
    named = cell > SMALL
    margin = EDGE + named * (10 + round(min(max(font(SMALL).getlength(name) for name in classes), NAMES)))
    top = EDGE + HEAD * bool(title) + margin
    canvas = Image.new("RGB", (margin + cell * len(classes) + EDGE, top + cell * len(classes) + EDGE), PAPER)
    draw = ImageDraw.Draw(canvas)
    write(draw, (EDGE, EDGE), title, SMALL, width=canvas.width - 2 * EDGE, bold=True)
    cells = np.repeat(np.repeat(_colours(counts), cell, 0), cell, 1)
    canvas.paste(Image.fromarray(cells), (margin, top))
    for number, name in enumerate(classes) if named else ():
        middle = (number + 0.5) * cell
        write(draw, (margin - 8, top + middle), name, SMALL, width=margin - EDGE - 8, anchor="rm")
        _write_upwards(canvas, (round(margin + middle), top - 8), name, margin - EDGE - 8)
    if cell > 6:
        _rule(draw, (margin, top), cell, len(classes))
    for (row, column), clips in np.ndenumerate(counts) if cell >= NUMBERED else ():
        if clips:
            dark = clips > counts[row].sum() / 2
            place = (margin + (column + 0.5) * cell, top + (row + 0.5) * cell)
            write(draw, place, str(clips), SMALL, width=cell - 2, colour=PAPER if dark else INK, anchor="mm")
    return np.asarray(canvas)


def _colours(counts: np.ndarray) -> np.ndarray:
    """(K, K, 3) uint8."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    full = np.where(np.eye(len(counts), dtype=bool)[..., None], RIGHT, WRONG)
    return (np.array(EMPTY) + shares[..., None] * (full - np.array(EMPTY))).round().astype(np.uint8)


def _rule(draw: ImageDraw.ImageDraw, corner: tuple[int, int], cell: int, classes: int) -> None:
    (left, top), length = corner, cell * classes
    for number in range(classes + 1):
        draw.line((left, top + number * cell, left + length, top + number * cell), RULE)
        draw.line((left + number * cell, top, left + number * cell, top + length), RULE)


def _write_upwards(canvas: Image.Image, foot: tuple[int, int], name: str, room: int) -> None:
    """A name turned by a quarter, its middle above ``foot``."""
    strip = Image.new("RGB", (room, SMALL + 4), PAPER)
    write(ImageDraw.Draw(strip), (0, SMALL // 2 + 2), name, SMALL, width=room, colour=PALE, anchor="lm")
    turned = strip.rotate(90, expand=True)
    canvas.paste(turned, (foot[0] - turned.width // 2, foot[1] - turned.height))


def side_by_side(panels: Sequence[Sequence[np.ndarray | None]]) -> np.ndarray:
    """Pictures in rows and columns, each in a cell as large as the largest; None stays empty. uint8 (H, W, 3)."""
    every = [panel for row in panels for panel in row if panel is not None]
    height, width = (max(panel.shape[axis] for panel in every) for axis in (0, 1))
    whole = np.full((height * len(panels), width * max(map(len, panels)), 3), PAPER, np.uint8)
    for number, row in enumerate(panels):
        for column, panel in enumerate(row):
            if panel is not None:
                whole[number * height :, column * width :][: panel.shape[0], : panel.shape[1]] = panel
    return whole
