"""Text in pictures: one font, lines that fit their place."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK = (40, 40, 40)


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib brings it: it writes the names of most languages; Pillow's own only English ones."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' * bold}.ttf", size)


@lru_cache(4096)
def shorten(text: str, width: float, size: int, *, bold: bool = False) -> str:
    """A line of at most ``width`` pixels, its end cut off behind three dots where it must be."""
    measure, text = font(size, bold).getlength, " ".join(text.split())
    if measure(text) <= width:
        return text
    while text and measure(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    *,
    width: float = np.inf,
    colour: tuple[int, int, int] = INK,
    bold: bool = False,
    anchor: str = "la",
) -> None:
    """A line of text, shortened to ``width`` pixels.

    :param anchor: what of the text stands at ``place``, in Pillow's two letters
    """
    mask, (left, top) = _mask(shorten(text, width, size, bold=bold), size, bold, anchor)
    draw.bitmap((round(place[0]) + left, round(place[1]) + top), mask, fill=colour)


@lru_cache(4096)
def _mask(text: str, size: int, bold: bool, anchor: str) -> tuple[Image.Image, tuple[int, int]]:
    """A line's coverage of pixels, "L", and where it stands beside its place: pictures of a run repeat most of theirs."""
    left, top, right, bottom = (round(edge) for edge in font(size, bold).getbbox(text, anchor=anchor))
    mask = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, font(size, bold), anchor=anchor)
    return mask, (left, top)
