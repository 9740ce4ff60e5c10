"""The last step of an episode as plain text: what ``render_mode="ansi"`` shows."""

from __future__ import annotations

import numpy as np

from backbone import Decision
from envs.episode import EpisodeRecord

LETTERS = {Decision.USE: "U", Decision.REUSE: "R", Decision.SKIP: "."}
COLUMNS = 64  # decisions that fit a line of a terminal; of more there are the counts alone


def describe_step(record: EpisodeRecord, *, steps: int, step_frames: int, macs_ratio: float) -> str:
    """The site and the frames of the last step, a line of what was decided for each frame, and the cost so far.

    A line counts use, reuse and skip, and shows a letter for each decision: U, R, or a dot.

    :param record: of an episode under way or ended
    :param steps: taken so far
    :param step_frames: F, frames in one step
    :param macs_ratio: MACs spent so far, as a share of the clip's dense MACs
    """
    head, lines = f"clip {record.name}, step {steps}: nothing decided yet", []
    if steps:
        chunk, index = divmod(steps - 1, len(record.sites))
        first, last = chunk * step_frames + 1, (chunk + 1) * step_frames
        frames = f"frame {last}" if step_frames == 1 else f"frames {first} to {last}"
        place = f"{record.sites[index].name} (site {index + 1} of {len(record.sites)})"
        head = f"clip {record.name}, step {steps}: {place}, {frames} of {len(record.frames)}"
        chosen = record.maps()[index][first - 1 : last]
        lines = [f"  frame {frame}: {_line(row)}" for frame, row in enumerate(chosen, first)]
    lines.append(f"cost so far: {macs_ratio:.3f} of the clip's dense MACs")
    if record.outcome:
        judged = "right" if record.outcome["correct"] else f"wrong, it is {record.label}"
        lines.append(f"predicted: {record.prediction} ({judged}); return {record.outcome['reward']:.3f}")
    return "\n".join([head, *lines])


def _line(chosen: np.ndarray) -> str:
    """One frame's decisions (D,)."""
    counts = ", ".join(f"{decision.name.lower()} {np.sum(chosen == decision):3d}" for decision in Decision)
    letters = "".join(LETTERS[Decision(number)] for number in chosen) if len(chosen) <= COLUMNS else ""
    return f"{counts}  {letters}".rstrip()
