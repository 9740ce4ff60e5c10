"""The pictures of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from backbone.files import write_whole
from experiments.results import Key, Row
from experiments.statistics import Interval

matplotlib.use("Agg")
from matplotlib import pyplot as plt

STYLES = {
    "reinforce": ("#D55E00", "o"),
    "ppo": ("#009E73", "s"),
    "gumbel": ("#0072B2", "D"),
    "static": ("#CC79A7", "v"),
}
OTHER_STYLES = [("#E69F00", "P"), ("#56B4E9", "X"), ("#000000", "*"), ("#8C564B", "<")]


def _style(method: str, rows: dict[Key, Row]) -> tuple[str, str]:
    others = [name for name in dict.fromkeys(key.method for key in rows) if name not in STYLES]
    return STYLES[method] if method in STYLES else OTHER_STYLES[others.index(method) % len(OTHER_STYLES)]


def _save(figure: Any, path: Path) -> None:
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150, bbox_inches="tight"))
    plt.close(figure)


def draw_pareto(rows: dict[Key, Row], fixed: dict[str, Any], path: Path) -> None:
    """Accuracy against cost: a point with its intervals for each method and cost weight, fixed policies in grey."""
    figure, axes = plt.subplots(figsize=(8, 5))
    for name, figures in fixed.items():
        (accuracy, *_), (cost, *_) = figures["greedy"]["accuracy"], figures["greedy"]["cost"]
        axes.plot(cost, accuracy, "o", color="0.6", markersize=5)
        axes.annotate(
            name, (cost, accuracy), (0, -12), textcoords="offset points", fontsize=7, color="0.4", ha="center"
        )
    for number, method in enumerate(dict.fromkeys(key.method for key in rows)):
        offset = (3, 6) if number % 2 else (3, -12)  # so that neighbours' labels do not cover each other
        colour, marker = _style(method, rows)
        for reward in ("log_prob", "correctness"):
            points = [(row.figures["cost"], row.figures["accuracy"], key.cost_weight)
                      for key, row in rows.items() if key.method == method and key.reward == reward]  # fmt: skip
            if not points:
                continue
            cost, accuracy, weights = zip(*sorted(points))
            axes.errorbar(
                [c.mean for c in cost],
                [a.mean for a in accuracy],
                xerr=_bars(cost),
                yerr=_bars(accuracy),
                color=colour,
                marker=marker,
                linestyle="-" if reward == "log_prob" else ":",
                markerfacecolor=colour if reward == "log_prob" else "white",
                capsize=2,
                label=Key(method, 0, reward).title,
            )
            for c, a, weight in zip(cost, accuracy, weights):
                axes.annotate(
                    f"w={weight:g}", (c.mean, a.mean), offset, textcoords="offset points", fontsize=7, color=colour
                )
    axes.set_xlabel("cost, share of the dense CNN's MACs (the agent's own included)")
    axes.set_ylabel("accuracy on test clips, %")
    axes.set_title("Greedy policies, 95% intervals over seeds and clips")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")
    _save(figure, path)


def _bars(intervals: Sequence[Interval]) -> np.ndarray:
    return np.array([[max(i.mean - i.low, 0), max(i.high - i.mean, 0)] for i in intervals]).T


def draw_learning(rows: dict[Key, Row], path: Path) -> None:
    """Accuracy and cost of the greedy policy on validation clips against clips seen; a line a method, a column a weight."""
    weights = sorted({key.cost_weight for key in rows})
    figure, grid = plt.subplots(
        2, len(weights), figsize=(5 * len(weights), 6), sharex=True, sharey="row", squeeze=False
    )
    for key, row in rows.items():
        if key.reward != "log_prob":
            continue
        colour, marker = _style(key.method, rows)
        clips = [point["clips"] for point in min(row.curves, key=len)]
        for axes, name in zip(grid[:, weights.index(key.cost_weight)], ("accuracy", "cost")):
            values = np.array([[point[name] for point in curve[: len(clips)]] for curve in row.curves])
            axes.plot(clips, values.mean(0), color=colour, marker=marker, markersize=3, label=key.title)
            axes.fill_between(clips, values.min(0), values.max(0), color=colour, alpha=0.15)
    for column, weight in zip(grid.T, weights):
        column[0].set_title(f"cost weight {weight:g}")
        column[1].set_xlabel("clips seen (each rollout counts)")
        for axes in column:
            axes.grid(alpha=0.3)
    grid[0, 0].set_ylabel("validation accuracy, %")
    grid[1, 0].set_ylabel("cost, share of dense")
    grid[0, 0].legend(fontsize=8)
    figure.suptitle("Greedy policy during training: mean and range over seeds")
    _save(figure, path)
