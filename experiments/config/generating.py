"""Options of ``make-motions``: which footage, and how hard it is to tell which way the window goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.config.ranges import AtLeast1, Checked, Frames, Pixels, Rate, Seed, Share


@dataclass(frozen=True, kw_only=True)
class MakeMotions(Checked):
    """Make a benchmark of any folder of videos: a window glides over real footage in one of eight directions, and only time
    tells which. A call that was interrupted goes on where it stopped."""

    footage: Path
    """Folder of videos, at any depth. No two splits have videos of one source: videos that share one are listed in
    groups.csv in this folder (lines "path,group"), every other video is a source of its own."""
    out: Path
    """Folder to write to, outside of the footage: H.264 files, their lists, about.txt (what they are, in words),
    clips.csv and groups.csv (which video and which source each is from)."""
    groups: Path | None = None
    """File of lines "path,group", in place of groups.csv in the footage."""
    size: Pixels = 64
    """Side of the window in pixels. Footage is scaled down until its shorter side is 1.5 times this; smaller footage is left
    out."""
    num_frames: Frames = 8
    """Frames T in a clip, taken from every other frame of the footage."""
    speed: Annotated[tuple[Rate, Rate], tyro.conf.arg(metavar="MIN MAX")] = (0.75, 2.5)
    """Pixels a frame that the window moves, drawn between these for each clip; on diagonals 0.75 of it along either axis.
    Slower is harder."""
    jitter: Rate = 1.0
    """Standard deviation in pixels by which every single position is off, on either axis. More is harder: it hides slow
    motion."""
    noise: Share = 0.05
    """Pixel noise, its standard deviation as a share of the range of a pixel: each clip draws from 0 to this, so that clips
    differ in difficulty."""
    still: bool = False
    """Freeze the footage of each clip at one frame, so that nothing but the window moves."""
    train: AtLeast1 = 8_000
    """Clips to train on."""
    val: AtLeast1 = 500
    """Clips to choose settings on, an even number: every second one is the one before it, played backwards."""
    test: AtLeast1 = 800
    """Clips to judge on, an even number: every second one is the one before it, played backwards."""
    seed: Seed = 0
    """Of all that is drawn: who is in which split, and each clip."""
