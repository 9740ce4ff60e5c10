"""Pictures of an episode: the frames above the map of their decisions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from backbone import Decision, Site

# Okabe and Ito's colours that the colour-blind tell apart; their lightness differs too, so print keeps them apart
COLOURS = {Decision.USE: (0, 114, 178), Decision.REUSE: (240, 180, 60), Decision.SKIP: (236, 236, 236)}
UNDECIDED = (255, 255, 255)
INK = (40, 40, 40)

CELL = 96  # pixels of a frame's column
MARGIN = 64  # pixels left of the columns, for the sites' names
ROW = 2  # least pixels of a decision's row
GAP = 6


def draw_episode(
    frames: np.ndarray,
    sites: Sequence[Site],
    decisions: Sequence[tuple[int, int, np.ndarray]],
    caption: str = "",
) -> np.ndarray:
    """Frames in a row, below them a column a frame: every site's decisions, one row each. uint8 (H, W, 3).

    :param frames: (T, h, w, 3) uint8
    :param decisions: (site, first frame, (F, D) integer decisions) of each step so far; what is missing stays white
    :param caption: a line of text above
    """
    num_frames = len(frames)
    heights = [max(24, ROW * site.decisions) for site in sites]
    top = 18 if caption else 0
    map_top = top + CELL + GAP
    legend_top = map_top + sum(heights) + GAP * len(heights)
    canvas = Image.new("RGB", (MARGIN + num_frames * CELL + GAP, legend_top + 18), UNDECIDED)
    draw = ImageDraw.Draw(canvas)
    if caption:
        draw.text((4, 3), caption, fill=INK)
    for t, frame in enumerate(frames):
        tile = Image.fromarray(frame).resize((CELL - 2, CELL - 2), Image.Resampling.NEAREST)
        canvas.paste(tile, (MARGIN + t * CELL, top))
    tops = np.cumsum([map_top, *(height + GAP for height in heights)])
    for site, site_top, height in zip(sites, tops, heights):
        draw.text((2, site_top + height // 2 - 6), site.name, fill=INK)
        draw.rectangle((MARGIN, site_top, MARGIN + num_frames * CELL - 3, site_top + height), outline=INK)
    for site_index, first, chosen in decisions:
        for offset, column in enumerate(np.asarray(chosen)):
            colours = np.array([COLOURS[Decision(decision)] for decision in column], np.uint8)
            strip = Image.fromarray(colours[:, None]).resize(
                (CELL - 3, heights[site_index] - 1), Image.Resampling.NEAREST
            )
            canvas.paste(strip, (MARGIN + (first + offset) * CELL + 1, int(tops[site_index]) + 1))
    left = MARGIN
    for decision, colour in COLOURS.items():
        draw.rectangle((left, legend_top + 3, left + 10, legend_top + 13), fill=colour, outline=INK)
        draw.text((left + 15, legend_top + 2), decision.name.lower(), fill=INK)
        left += 70
    return np.asarray(canvas)
