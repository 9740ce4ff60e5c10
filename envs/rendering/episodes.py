"""Pictures of an episode: frames above the map of their decisions, and what came of them; still, or as they come.

In the map a column is a frame, a row a decision (a channel, or a group of them), sites from top to bottom. Of sites with
more decisions than pixels, neighbouring rows are mixed, so that none is left out.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from backbone import Decision, Site
from envs.decisions import UNDECIDED
from envs.episode import EpisodeRecord
from envs.rendering.charts import (
    COST,
    EMPTY,
    LINES,
    MEDIUM,
    OUTCOME,
    PALE,
    PAPER,
    RULE,
    SMALL,
    draw_classes,
    draw_costs,
    draw_rewards,
)
from envs.rendering.text import INK, write

# Okabe and Ito's colours that the colour-blind tell apart; their lightness differs too, so print keeps them apart
COLOURS = {Decision.USE: (0, 114, 178), Decision.REUSE: (240, 180, 60), Decision.SKIP: (236, 236, 236)}
UNDECIDED_COLOUR = PAPER

LEFT, PLOT, RIGHT = 96, 400, 178  # pixels: sites' names, columns of the frames, legends
EDGE = 10
CELL = 50  # pixels, the largest width of a frame
HEAD = 60  # pixels of the two lines above
MAP = 224  # pixels of all sites' maps together, unless they are many
THINNEST = 7  # pixels of a site's map
GAP = 5
CHART = 66  # pixels, height of the charts of costs and rewards
CURVES = 104  # and of the one of classes
LARGE = 20

PICTURE = 192  # pixels of the frame in an animation, smaller where frames are many
COLUMNS = 208  # and of the map beside it
HOLD, LAST = 500, 2500  # milliseconds that a picture of an animation stays, and its last one
MOMENTS = 12  # pictures of an animation, at most
FRAME_COLOURS = 96  # in a picture that is encoded


def draw_episode(record: EpisodeRecord) -> np.ndarray:
    """An episode in one picture, uint8 (H, W, 3); of one under way, the frames and the decisions so far."""
    num_frames, over = len(record.frames), bool(record.outcome)
    cell = max(min(PLOT // num_frames, CELL), 1)
    plot = cell * num_frames
    heights = map_heights(record.sites, MAP)
    top = (HEAD if over else EDGE) + SMALL + 4
    map_top = top + cell + GAP
    bottom = map_top + sum(heights) + GAP * len(heights)
    charts = (CURVES + 34, CHART + 30, CHART + 42) if over else (0,)
    canvas = Image.new("RGB", (LEFT + plot + RIGHT, bottom + sum(charts) + EDGE), PAPER)
    draw = ImageDraw.Draw(canvas)
    if over:
        write_title(draw, record, LEFT + plot + RIGHT - 2 * EDGE)
    for t, frame in enumerate(record.frames):
        if cell >= 20:
            write(draw, (LEFT + (t + 0.5) * cell, top - 3), str(t + 1), SMALL, colour=PALE, anchor="ms")
        canvas.paste(_fit(frame, cell - 2), (LEFT + t * cell, top))
    write(draw, (EDGE, top + cell // 2), "frames", MEDIUM, bold=True, anchor="lm")
    draw_maps(canvas, record.sites, record.maps(), heights, (LEFT, map_top), cell)
    draw_legend(draw, record, (LEFT + plot + 8, map_top))
    if not over:
        return np.asarray(canvas)
    places = np.cumsum([bottom + 12, *charts[:-1]]).tolist()
    for name, place, height in zip(("classes", "MACs", "reward"), places, (CURVES, CHART, CHART)):
        write(draw, (EDGE, place + height // 2), name, MEDIUM, bold=True, anchor="lm")
    label = record.outcome["label"]
    box = (LEFT, places[0], plot, CURVES)
    draw_classes(canvas, box, record.probabilities, record.classes, label, until=num_frames, room=RIGHT)
    draw_costs(canvas, (LEFT, places[1], plot, CHART), record.frame_costs, until=num_frames)
    steps = [record.sites[step % len(record.sites)].name for step in range(len(record.rewards))]  # of either order
    draw_rewards(canvas, (LEFT, places[2], plot, CHART), record.rewards, record.outcome_reward, steps)
    return np.asarray(canvas)


def write_title(draw: ImageDraw.ImageDraw, record: EpisodeRecord, width: int) -> None:
    """Two lines: label and prediction; cost, return and the clip's name."""
    outcome, left = record.outcome, EDGE
    title, second = f"taken for {record.prediction}", [f"cost {outcome['macs_ratio']:.2f} of dense"]
    if record.label is not None:
        mark, colour = ("✓", OUTCOME) if outcome["correct"] else ("✗", COST)
        write(draw, (left, 8), mark, LARGE + 3, colour=colour, bold=True)
        left += 26
        title = record.label if outcome["correct"] else f"{record.label}, {title}"
        second.append(f"return {outcome['reward']:+.2f}")
    write(draw, (left, 9), title, LARGE, width=width - left, bold=True)
    text = "  ·  ".join([*second, record.name] if record.name else second)
    write(draw, (left, 35), text, MEDIUM, width=width - left, colour=PALE)


def map_heights(sites: Sequence[Site], pixels: int) -> list[int]:
    """Of each site's map: in proportion to the square root of its decisions, none too thin to see."""
    shares = np.sqrt([site.decisions for site in sites])
    room = max(pixels - GAP * len(sites), THINNEST * len(sites))
    return [max(int(room * share), THINNEST) for share in shares / shares.sum()]


def draw_maps(
    canvas: Image.Image,
    sites: Sequence[Site],
    maps: Sequence[np.ndarray],
    heights: Sequence[int],
    corner: tuple[int, int],
    cell: int,
) -> None:
    """Every site's decisions, (T, D) each, their names to the left; of maps too low for theirs, some are named."""
    draw, (left, top) = ImageDraw.Draw(canvas), corner
    table = np.array([*COLOURS.values(), UNDECIDED_COLOUR], np.uint8)  # UNDECIDED, which is -1, finds the last
    width, free = cell * len(maps[0]), 0
    for site, chosen, height in zip(sites, maps, heights):
        colours = Image.fromarray(table[chosen.T])
        how = Image.Resampling.NEAREST if site.decisions <= height else Image.Resampling.BOX
        strip = colours.resize((len(chosen), height), how).resize((width, height), Image.Resampling.NEAREST)
        canvas.paste(strip, (left, top))
        for t in range(1, len(chosen) + 1):
            draw.rectangle((left + t * cell - 2, top, left + t * cell - 1, top + height - 1), fill=PAPER)
        draw.rectangle((left - 1, top - 1, left + width - 2, top + height), outline=RULE)
        if top + height // 2 - SMALL // 2 >= free:
            write(draw, (left - 8, top + height // 2), site.name, SMALL, width=left - EDGE - 8, anchor="rm")
            free = top + height // 2 + SMALL // 2 + 2
        top += height + GAP


def draw_legend(draw: ImageDraw.ImageDraw, record: EpisodeRecord, corner: tuple[int, int]) -> None:
    """Colours of decisions, and how large a part of all decisions so far each is."""
    left, top = corner
    shares = record.shares()
    for decision, colour in COLOURS.items():
        draw.rectangle((left, top + 2, left + 14, top + 16), fill=colour, outline=PALE)
        write(draw, (left + 22, top + 9), decision.name.lower(), MEDIUM, anchor="lm")
        if shares:
            write(draw, (left + 138, top + 9), f"{shares[decision]:.0%}", MEDIUM, bold=True, anchor="rm")
        top += 28


def animate_episode(record: EpisodeRecord) -> bytes:
    """An episode that is over as an animated GIF: frame by frame, the current one large, its decisions join the map.

    Of clips of many frames, MOMENTS spread evenly are shown, the last one among them.
    """
    palette, num_frames = palette_of(record.frames), len(record.frames)
    shown = np.linspace(num_frames, 0, min(num_frames, MOMENTS), endpoint=False).round().astype(int)[::-1]
    moments = (_draw_moment(record, int(until)) for until in shown)
    first, *others = (moment.quantize(palette=palette, dither=Image.Dither.NONE) for moment in moments)
    file, durations = io.BytesIO(), [HOLD] * len(others) + [LAST]
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=False)
    return file.getvalue()


def _draw_moment(record: EpisodeRecord, until: int) -> Image.Image:
    num_frames = len(record.frames)
    cell = max(COLUMNS // num_frames, 1)
    plot, left = cell * num_frames, EDGE + PICTURE + EDGE + LEFT
    heights = map_heights(record.sites, PICTURE)
    below = HEAD + PICTURE + 16
    canvas = Image.new("RGB", (left + plot + RIGHT, below + CURVES + EDGE), PAPER)
    draw = ImageDraw.Draw(canvas)
    write_title(draw, record, canvas.width - 2 * EDGE)
    side = round(PICTURE * min(1, (8 / num_frames) ** 0.5))  # what a frame takes in bytes goes with its area
    canvas.paste(_fit(record.frames[until - 1], side), (EDGE + (PICTURE - side) // 2, HEAD + (PICTURE - side) // 2))
    maps = record.maps()
    for chosen in maps:
        chosen[until:] = UNDECIDED
    draw_maps(canvas, record.sites, maps, heights, (left, HEAD + 1), cell)
    draw_legend(draw, record, (left + plot + 8, HEAD))
    box = (left, below, plot, CURVES)
    label = record.outcome["label"]
    draw_classes(canvas, box, record.probabilities, record.classes, label, until=until, room=RIGHT)
    write(draw, (EDGE, below), f"frame {until} of {num_frames}", MEDIUM, bold=True)
    costs = record.frame_costs
    write(draw, (EDGE, below + 24), f"it costs {costs[until - 1]:.2f} of dense", MEDIUM)
    write(draw, (EDGE, below + 46), f"all so far {costs[:until].mean():.2f}", MEDIUM)
    best = int(record.probabilities[until - 1].argmax())
    text = f"now {record.classes[best]} ({record.probabilities[until - 1, best]:.2f})"
    write(draw, (EDGE, below + 68), text, MEDIUM, width=PICTURE)
    write(draw, (left - 24, below + CURVES // 2), "classes", SMALL, anchor="rm")
    return canvas


def _fit(frame: np.ndarray, side: int) -> Image.Image:
    """A square frame at another size; few pixels are kept apart."""
    how = Image.Resampling.NEAREST if side > 1.5 * len(frame) else Image.Resampling.BILINEAR
    return Image.fromarray(np.ascontiguousarray(frame)).resize((side, side), how)


def encode_png(record: EpisodeRecord) -> bytes:
    """``draw_episode`` as PNG of few colours: half the bytes and half the time that all of them would take."""
    file, picture = io.BytesIO(), Image.fromarray(draw_episode(record))
    picture.quantize(palette=palette_of(record.frames), dither=Image.Dither.NONE).save(file, "PNG", compress_level=3)
    return file.getvalue()


def palette_of(frames: np.ndarray) -> Image.Image:
    """The colours that everything around the frames is drawn in, smoothed edges included, and the frames' own best."""
    shown = Image.fromarray(np.ascontiguousarray(frames).reshape(-1, *frames.shape[2:]))
    found = shown.quantize(FRAME_COLOURS, method=Image.Quantize.FASTOCTREE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*_ramps().ravel().tolist(), *found[: 3 * FRAME_COLOURS]])
    return palette


@cache
def _ramps() -> np.ndarray:
    """The fixed colours, (N, 3): what stands alone, and shades of every line and letter on its ground."""
    plain = [PAPER, EMPTY, RULE, *COLOURS.values()]
    inks = {INK: 12, PALE: 6, COST: 4, OUTCOME: 4, **dict.fromkeys(LINES[1:], 5)}
    shades = [np.linspace(EMPTY, ink, count + 1)[1:] for ink, count in inks.items()]
    return np.unique(np.concatenate([plain, *shades]).astype(np.uint8), axis=0)
