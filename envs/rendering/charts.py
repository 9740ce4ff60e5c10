"""The charts of an episode under its decision map: classes over frames, MACs of frames, rewards of steps.

Each is drawn into a box (left, top, width, height) in pixels, whose width the T frames share equally; its numbers and
names stand right of the box. ``until`` frames are shown, those to come stay empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from envs.rendering.text import INK, font, write

PAPER = (255, 255, 255)
EMPTY = (243, 243, 243)
RULE = (205, 205, 205)
PALE = (110, 110, 110)
COST = (213, 94, 0)  # Okabe and Ito's vermilion
OUTCOME = (0, 158, 115)  # and green
LINES = (INK, (0, 114, 178), (204, 121, 167), (230, 159, 0))  # the label's; then their blue, purple and orange
SMALL, MEDIUM = 15, 16  # pixels, sizes of text
FINE = 3  # lines are drawn so many times larger, and scaled down to smooth them

Box = tuple[int, int, int, int]


def strongest(probabilities: np.ndarray, label: int | None) -> list[int]:
    """At most four classes to show: the label, if there is one, and those that were most probable at any frame."""
    order = np.argsort(-probabilities.max(0), kind="stable").tolist()
    first = order[:1] if label is None else [label]
    return (first + [of_class for of_class in order if of_class != first[0]])[: len(LINES)]


def draw_classes(
    canvas: Image.Image,
    box: Box,
    probabilities: np.ndarray,
    classes: Sequence[str],
    label: int | None,
    *,
    until: int,
    room: int,
) -> None:
    """A line for each of the strongest classes, thick and dark that of the label.

    :param probabilities: (T, K)
    :param room: pixels right of the box, for the names
    """
    left, top, width, height = box
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left, top, left + width - 1, top + height), fill=EMPTY)
    shown = strongest(probabilities, label)
    places = (np.arange(len(probabilities)) + 0.5) * width / len(probabilities)
    large = canvas.crop((left, top, left + width, top + height + 1)).resize((width * FINE, (height + 1) * FINE), 0)
    pen = ImageDraw.Draw(large)
    for share in (0.0, 0.5, 1.0):
        pen.line((0, FINE * (1 + share * (height - 2)), FINE * width, FINE * (1 + share * (height - 2))), RULE, FINE)
    for number in reversed(range(len(shown))):  # the label's on top
        levels = 1 + (1 - probabilities[:until, shown[number]]) * (height - 2)
        points = [(FINE * x, FINE * y) for x, y in zip(places, levels)]
        thick = FINE * (3 if number == 0 else 2)
        pen.line(points, LINES[number], thick, joint="curve")
        for x, y in points:
            pen.ellipse((x - thick, y - thick, x + thick, y + thick), fill=LINES[number])
    canvas.paste(large.reduce(FINE), (left, top))
    for level, text in ((top + 1, "1"), (top + height - 1, "0")):
        write(draw, (left - 8, level), text, SMALL, colour=PALE, anchor="rm")
    _name_lines(draw, box, probabilities[until - 1, shown], [classes[of_class] for of_class in shown], room)


def _name_lines(draw: ImageDraw.ImageDraw, box: Box, ends: np.ndarray, names: Sequence[str], room: int) -> None:
    """Names at the heights where lines end, moved apart until none covers another."""
    left, top, width, height = box
    step, order = SMALL + 5, np.argsort(-ends, kind="stable")
    heights = (1 - ends[order]) * height
    for place in range(1, len(heights)):
        heights[place] = max(heights[place], heights[place - 1] + step)
    heights[-1] = min(heights[-1], height)
    for place in reversed(range(len(heights) - 1)):
        heights[place] = min(heights[place], heights[place + 1] - step)
    for number, at in zip(order, heights):
        middle, x = top + round(at), left + width + 8
        draw.line((x, middle, x + 12, middle), LINES[number], 4 if number == 0 else 3)
        text = f"{ends[number]:.2f} {names[number]}"
        write(draw, (x + 17, middle), text, SMALL, width=room - 27, bold=bool(number == 0), anchor="lm")


def draw_costs(canvas: Image.Image, box: Box, costs: np.ndarray, *, until: int) -> None:
    """A column for each frame, its share of a dense frame above it; the pale ground is the dense CNN.

    :param costs: (T,)
    """
    left, top, width, height = box
    draw, cell = ImageDraw.Draw(canvas), width / len(costs)
    scale = height / max(1.0, costs.max())
    for t, cost in enumerate(costs):
        edges = left + round(t * cell), left + round((t + 1) * cell) - (3 if cell >= 12 else 1)
        draw.rectangle((edges[0], top + height - round(scale), edges[1], top + height), fill=EMPTY)
        if t < until:
            bar_top = top + height - round(cost * scale)
            if bar_top < top + height:
                draw.rectangle((edges[0], bar_top, edges[1], top + height), fill=COST)
            if cell >= 40:
                inside = cost * scale > SMALL + 6
                at = (sum(edges) / 2, bar_top + 3 if inside else bar_top - 3)
                colour, anchor = (PAPER, "ma") if inside else (INK, "ms")
                write(draw, at, f"{cost:.2f}", SMALL, colour=colour, anchor=anchor)
    x, middle = left + width + 8, top + height // 2
    write(draw, (x, middle), f"{costs[:until].mean():.2f} of dense", MEDIUM, bold=True, anchor="lm")


def draw_rewards(canvas: Image.Image, box: Box, rewards: Sequence[float], outcome: float, names: Sequence[str]) -> None:
    """A bar for each step from the line of zero: what its MACs cost, and on the last step the outcome.

    :param outcome: the outcome's part of the last reward
    :param names: of the steps, written under bars that are wide enough
    """
    left, top, width, height = box
    draw = ImageDraw.Draw(canvas)
    costs = np.array(rewards, float)
    costs[-1] -= outcome
    low, high = min(0.0, costs.min(), costs[-1] + min(outcome, 0)), max(0.0, outcome)
    scale = (height - 2) / max(high - low, 1e-9)
    zero = top + 1 + round(high * scale)
    step = width / len(costs)
    widest = max(font(SMALL).getlength(name) for name in names)
    for number, cost in enumerate(costs):
        edges = left + round(number * step), left + round((number + 1) * step) - (3 if step >= 12 else 1)
        draw.rectangle((edges[0], top, edges[1], top + height), fill=EMPTY)
        bottom = zero - round(min(cost, 0) * scale)
        if bottom > zero:
            draw.rectangle((edges[0], zero, edges[1], bottom), fill=COST)
        if number == len(costs) - 1 and outcome:
            start = bottom if outcome < 0 else zero
            upper, lower = sorted((start, start - round(outcome * scale)))
            draw.rectangle((edges[0], upper, edges[1], lower), fill=OUTCOME)
        if step > widest + 6:
            text = f"{names[number]}  {rewards[number]:+.2f}"
            write(draw, (sum(edges) / 2, top + height + 4), text, SMALL, width=step - 6, colour=PALE, anchor="ma")
    draw.line((left, zero, left + width - 3, zero), INK)
    x, middle = left + width + 8, top + height // 2
    write(draw, (x, middle - 6), f"return {sum(rewards):+.2f}", MEDIUM, bold=True, anchor="lm")
    for name, colour, place in (("cost", COST, x), ("outcome", OUTCOME, x + 58)):
        draw.rectangle((place, middle + 11, place + 10, middle + 21), fill=colour)
        write(draw, (place + 15, middle + 16), name, SMALL, colour=PALE, anchor="lm")
