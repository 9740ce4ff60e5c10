"""The picture of an agent's probes: decisions along a clip, around the object's window, and cost against noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from backbone import Decision
from envs.clips.generated.motions import ClipFacts
from experiments.analysis.pictures import BLACK, BLUE, VERMILION, plt, save_figure

STYLES = {
    Decision.USE: (BLUE, "o", "-"),
    Decision.REUSE: (VERMILION, "s", "-"),
    Decision.SKIP: (BLACK, "^", "-"),
}  # Okabe and Ito's colours, told apart by colour-blind eyes, and markers besides
MARGIN = 4  # frames drawn outside the window
INSIDE = 3  # frames drawn inside: every window has as many
DECILES = 10


def draw_probes(path: Path, *, title: str, shares: np.ndarray, costs: np.ndarray, facts: ClipFacts | None) -> None:
    """Write a picture; without facts of the clips only decisions by frame position are drawn.

    :param shares: of use, reuse and skip in each frame, (N, T, 3)
    :param costs: of each frame as a share of a dense one, (N, T)
    """
    figure, grid = plt.subplots(1, 1 if facts is None else 4, figsize=(4.5 if facts is None else 17, 4), squeeze=False)
    panels = grid[0]
    _draw_lines(panels[0], np.arange(shares.shape[1]), shares.mean(0))
    panels[0].set_xlabel("frame of the clip")
    panels[0].set_ylabel("share of decisions")
    panels[0].legend(fontsize=8)
    if facts is not None:
        start, noise = np.asarray(facts.start), np.asarray(facts.noise)
        last = start + facts.length - 1
        _draw_aligned(panels[1], shares, start, range(-MARGIN, INSIDE), seen=(0, INSIDE - 1))
        panels[1].set_xlabel("frames from the one in which the object appears")
        _draw_aligned(panels[2], shares, last, range(1 - INSIDE, MARGIN + 1), seen=(1 - INSIDE, 0))
        panels[2].set_xlabel("frames from the last in which it is seen")
        _draw_cost(panels[3], noise, costs.mean(1))
    for axes in panels[:3]:
        axes.set_ylim(0, 1)
    for axes in panels:
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    figure.tight_layout()
    save_figure(figure, path, dpi=120, tight=False)


def aligned(values: np.ndarray, anchor: np.ndarray, offsets: range) -> tuple[np.ndarray, np.ndarray]:
    """Means of (N, T, K) at ``anchor + offset``, and of the same frames' means over all clips: (offsets, K) each.

    The second is what the frame's place in the clip explains, so that a policy blind to the object has two equal
    curves. nan where no clip has such a frame.

    :param anchor: (N,) frame of each clip
    """
    clips, frames = np.nonzero(np.ones(values.shape[:2]))
    usual = np.broadcast_to(values.mean(0), values.shape)
    found = np.full((2, len(offsets), values.shape[2]), np.nan)
    for row, offset in enumerate(offsets):
        here = (frames - anchor[clips]) == offset
        if here.any():
            for k, array in enumerate((values, usual)):
                found[k, row] = array[clips[here], frames[here]].mean(0)
    return found[0], found[1]


def _draw_lines(axes: Axes, x: np.ndarray, shares: np.ndarray) -> None:
    for decision, (colour, marker, line) in STYLES.items():
        axes.plot(x, shares[:, decision], line, color=colour, marker=marker, markersize=4, label=decision.name.lower())


def _draw_aligned(axes: Axes, shares: np.ndarray, anchor: np.ndarray, offsets: range, seen: tuple[int, int]) -> None:
    taken, usual = aligned(shares, anchor, offsets)
    axes.axvspan(seen[0] - 0.5, seen[1] + 0.5, color="0.9", zorder=0, label="object seen")
    _draw_lines(axes, np.array(offsets), taken)
    for decision, (colour, *_) in STYLES.items():
        label = "by frame position alone" if decision == Decision.USE else None
        axes.plot(np.array(offsets), usual[:, decision], ":", color=colour, label=label)
    axes.legend(fontsize=8)


def _draw_cost(axes: Axes, noise: np.ndarray, cost: np.ndarray) -> None:
    axes.plot(noise, cost, ".", color="0.7", markersize=2, label="clips")
    edges = np.quantile(noise, np.linspace(0, 1, DECILES + 1))
    decile = np.searchsorted(edges[1:-1], noise)
    filled = [k for k in range(DECILES) if (decile == k).any()]
    x, y, low, high = np.array([
        (noise[decile == k].mean(), cost[decile == k].mean(), *np.quantile(cost[decile == k], (0.25, 0.75))) for k in filled
    ]).T  # fmt: skip
    axes.errorbar(x, y, [np.maximum(y - low, 0), np.maximum(high - y, 0)], color=BLUE, marker="o", capsize=2,
                  markersize=4, label="mean and quartiles of a tenth")  # fmt: skip
    axes.set_xlabel("sd of the clip's pixel noise")
    axes.set_ylabel("cost of the clip, share of dense")
    axes.legend(fontsize=8)
