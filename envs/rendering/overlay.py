"""Pictures of a prediction, one a frame: what the CNN was shown, what the agent decided there, what is known so far.

Shapes: T frames, S sites, D decisions of a site, K classes, H, W pixels of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from backbone import Decision, Site
from envs.rendering.episodes import COLOURS
from envs.rendering.text import INK, font, write

PAPER = (255, 255, 255)
PALE = (150, 150, 150)
EMPTY = (244, 244, 244)
PROBABILITY = (0, 158, 115)  # Okabe and Ito's green
COST = (213, 94, 0)  # and vermilion

MARGIN = 24
PICTURE = 300  # pixels, height of the video's frame
PANEL = 560  # pixels, width of all that stands beside it
NAMES = 120  # of these, for the sites' names
SHARES = 80  # and for the bars that sum up a site's decisions
BAR = 18
CHART = 76  # pixels, height of the chart of costs
MAP = 240  # pixels that the map takes unless the sites are too many
ROWS = (4, 64)  # least and largest height of a site's row
TOP = 3  # classes shown
SMALL, MEDIUM, LARGE = 12, 14, 17  # pixels, sizes of text


def draw_overlay(
    frames: np.ndarray,
    sites: Sequence[Site],
    decisions: Sequence[np.ndarray],
    probabilities: np.ndarray,
    costs: np.ndarray,
    classes: Sequence[str],
    title: str,
) -> np.ndarray:
    """A picture for each frame of a clip, (T, H, W, 3) uint8 with even H and W, as yuv420p needs them.

    :param frames: (T, h, w, 3) uint8, of any size and shape
    :param decisions: per site, (T, D) integer decisions
    :param probabilities: (T, K) of the classes after each frame
    :param costs: (T,) MACs of each frame as a share of the dense CNN's
    :param classes: K names
    :param title: a line above
    """
    return np.stack(
        [_draw(t, frames, sites, decisions, probabilities, costs, classes, title) for t in range(len(frames))]
    )


def _draw(
    t: int,
    frames: np.ndarray,
    sites: Sequence[Site],
    decisions: Sequence[np.ndarray],
    probabilities: np.ndarray,
    costs: np.ndarray,
    classes: Sequence[str],
    title: str,
) -> np.ndarray:
    row = int(np.clip(MAP // len(sites), *ROWS))
    height, width = frames.shape[1:3]
    left_width = int(np.clip(round(PICTURE * width / height), PICTURE, 540))
    right = MARGIN + left_width + MARGIN
    top = MARGIN + LARGE + 16
    chart_top = top + PICTURE + 2 * MARGIN
    predictions = min(TOP, len(classes)) * (MEDIUM + BAR + 14)
    map_top = top + MEDIUM + 10 + predictions + MARGIN
    bottom = max(chart_top + CHART + SMALL + 8, map_top + MEDIUM + 10 + row * len(sites)) + MARGIN
    canvas = Image.new("RGB", (_even(right + PANEL + MARGIN), _even(bottom)), PAPER)
    draw = ImageDraw.Draw(canvas)
    write(draw, (MARGIN, MARGIN), title, LARGE, width=left_width + MARGIN + PANEL, bold=True)
    _paste_frame(canvas, frames[t], (MARGIN, top, left_width, PICTURE))
    _draw_costs(draw, costs, t, (MARGIN, chart_top, left_width, CHART))
    write(draw, (right, top), f"prediction after frame {t + 1} of {len(frames)}", MEDIUM, colour=PALE)
    _draw_classes(draw, probabilities[t], classes, (right, top + MEDIUM + 10))
    _draw_legend(draw, (right, map_top))
    _draw_map(canvas, draw, sites, [chosen[t] for chosen in decisions], (right, map_top + MEDIUM + 10), row)
    return np.asarray(canvas)


def _paste_frame(canvas: Image.Image, frame: np.ndarray, box: tuple[int, int, int, int]) -> None:
    """A frame as large as its box (left, top, width, height) allows, in its middle; few pixels are kept apart."""
    left, top, width, height = box
    scale = min(width / frame.shape[1], height / frame.shape[0])
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    how = Image.Resampling.NEAREST if scale > 3 else Image.Resampling.LANCZOS
    place = left + (width - size[0]) // 2, top + (height - size[1]) // 2
    canvas.paste(Image.fromarray(np.ascontiguousarray(frame)).resize(size, how), place)


def _draw_classes(
    draw: ImageDraw.ImageDraw, probabilities: np.ndarray, classes: Sequence[str], corner: tuple[int, int]
) -> None:
    """The most probable classes: name and percentage above a bar."""
    left, top = corner
    for place, label in enumerate(np.argsort(-probabilities, kind="stable")[:TOP]):
        share, first = float(probabilities[label]), place == 0
        number = f"{100 * share:.1f}%"
        room = PANEL - draw.textlength(number, font(MEDIUM, first)) - 12
        write(draw, (left, top), classes[label], MEDIUM, width=room, bold=first)
        write(draw, (left + PANEL, top), number, MEDIUM, bold=first, anchor="ra")
        bar_top = top + MEDIUM + 5
        draw.rectangle((left, bar_top, left + PANEL - 1, bar_top + BAR - 5), fill=EMPTY)
        if share * PANEL >= 1:
            draw.rectangle((left, bar_top, left + round(share * PANEL) - 1, bar_top + BAR - 5), fill=PROBABILITY)
        top += MEDIUM + BAR + 14


def _draw_legend(draw: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
    left, top = corner
    write(draw, corner, "decisions", MEDIUM, colour=PALE)
    write(draw, (left + PANEL, top), "shares", MEDIUM, colour=PALE, anchor="ra")
    left += NAMES
    for decision, colour in COLOURS.items():
        draw.rectangle((left, top + 2, left + 12, top + 14), fill=colour, outline=PALE)
        write(draw, (left + 19, top), decision.name.lower(), MEDIUM)
        left += 90


def _draw_map(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    sites: Sequence[Site],
    decisions: Sequence[np.ndarray],
    corner: tuple[int, int],
    row: int,
) -> None:
    """A row for each site: its name, its channels from left to right, a bar of their shares.

    Of rows too low for their names, some are named.
    """
    left, top = corner
    every = -(-(SMALL + 2) // row)  # so many rows take the height of a name
    height = row - (1 if row < 12 else 4)
    for site, chosen in zip(sites, decisions):
        if site.index % every == 0:
            write(draw, (left, top + height // 2), site.name, SMALL, width=NAMES - 10, anchor="lm")
        canvas.paste(_strip(chosen, PANEL - NAMES - SHARES - 12, height), (left + NAMES, top))
        canvas.paste(_strip(np.sort(chosen), SHARES, height), (left + PANEL - SHARES, top))
        top += row


def _strip(decisions: np.ndarray, width: int, height: int) -> Image.Image:
    """Decisions (D,) as colours side by side; those narrower than a pixel are mixed, so that none is left out."""
    colours = np.array([COLOURS[Decision(decision)] for decision in decisions], np.uint8)[None]
    how = Image.Resampling.NEAREST if len(decisions) <= width else Image.Resampling.BOX
    return Image.fromarray(colours).resize((width, height), how)


def _draw_costs(draw: ImageDraw.ImageDraw, costs: np.ndarray, t: int, box: tuple[int, int, int, int]) -> None:
    """A column for each frame, those to come empty, under a line where the dense CNN stands."""
    left, top, width, height = box
    so_far = costs[: t + 1].mean()
    write(draw, (left, top - MEDIUM - 10), "cost", MEDIUM, colour=PALE)
    text = f"this frame {costs[t]:.2f}, so far {so_far:.2f} of dense"
    write(draw, (left + width, top - MEDIUM - 10), text, MEDIUM, anchor="ra")
    scale = height / max(1.0, costs.max())
    step = width / len(costs)
    for i, cost in enumerate(costs):
        edges = left + round(i * step), left + round((i + 1) * step) - (4 if step >= 12 else 1)
        draw.rectangle((edges[0], top, edges[1], top + height), fill=EMPTY)
        if i <= t:
            fill = COST if i == t else tuple((part + 255) // 2 for part in COST)
            draw.rectangle((edges[0], top + height - round(cost * scale), edges[1], top + height), fill=fill)
        if step >= 20:
            write(
                draw,
                (sum(edges) // 2, top + height + 5),
                str(i + 1),
                SMALL,
                colour=INK if i == t else PALE,
                anchor="ma",
            )
    dense = top + height - round(scale)
    draw.line((left, dense, left + width - 1, dense), fill=PALE)


def _even(pixels: int) -> int:
    return pixels + pixels % 2
