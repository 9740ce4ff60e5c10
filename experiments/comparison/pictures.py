"""The pictures of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from backbone.files import write_whole
from experiments.comparison.results import Key, Row, Table, fronts
from experiments.statistics import LEVEL, Interval

matplotlib.use("Agg")
from matplotlib import pyplot as plt

STYLES = {  # colours of Okabe and Ito, which the colour-blind can tell apart; a method looks the same everywhere
    "reinforce": ("#D55E00", "o"),
    "ppo": ("#009E73", "s"),
    "rebar": ("#E69F00", "^"),
    "gumbel": ("#0072B2", "D"),
    "static": ("#CC79A7", "v"),
}
OTHER_STYLES = [(colour, marker) for marker in "PX*<>hp" for colour in ("#56B4E9", "#000000", "#8C564B")]
BUDGETS = 400


def _styles(tables: Sequence[Table]) -> dict[str, tuple[str, str]]:
    others = sorted({key.method for table in tables for key in table.rows} - set(STYLES))
    return {**STYLES, **{name: OTHER_STYLES[number % len(OTHER_STYLES)] for number, name in enumerate(others)}}


def _save(figure: Any, path: Path) -> None:
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150, bbox_inches="tight"))
    plt.close(figure)


def draw_pareto(tables: Sequence[Table], path: Path) -> None:
    """A panel for each budget (rows) and group size (columns): the methods' staircases with their bands, and every policy.

    A staircase is the best accuracy within a cost, the mean over seeds of each seed's own front; it begins where every
    seed has a policy that cheap, its band is the pointwise 95% interval.
    """
    arms = list(dict.fromkeys(table.arm for table in tables))
    groups = list(dict.fromkeys(table.group_size for table in tables))
    styles = _styles(tables)
    size = (6.4 * len(groups) + 0.6, 4.6 * len(arms) + 0.6)
    figure, grid = plt.subplots(len(arms), len(groups), figsize=size, sharex=True, sharey=True, squeeze=False)
    for table in tables:
        axes = grid[arms.index(table.arm), groups.index(table.group_size)]
        _draw_fronts(axes, table, styles)
        _draw_policies(axes, table, styles)
        axes.set_title(table.title[0].upper() + table.title[1:], fontsize=10)
        axes.grid(alpha=0.25)
    low = min(row.figure("accuracy").low for table in tables for row in table.rows.values())
    grid[0, 0].set_ylim(max(low - 4, 0), 100.5)
    for axes in grid[-1]:
        axes.set_xlabel("cost, share of the dense CNN's MACs (the agent's own included)")
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy on test clips, %")
    handles = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels())}
    columns = min(len(handles), 3 * len(groups))
    figure.legend(
        handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, 0), ncol=columns, fontsize=9
    )
    figure.tight_layout()
    _save(figure, path)


def _draw_fronts(axes: Any, table: Table, styles: dict[str, tuple[str, str]]) -> None:
    for method, front in fronts(table).items():
        budgets = np.linspace(front.cost[0].min(-1).max(), 1.0, BUDGETS)  # from where every seed has a policy
        steps = 100 * front.best_within(budgets).mean(1)  # (R + 1, G)
        low, high = np.quantile(steps[1:], ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
        reach = np.quantile(front.cost[1:].min(-1).max(-1), (1 + LEVEL) / 2)
        low[budgets < reach] = np.nan  # where some seed of a draw has no policy yet
        colour, _ = styles[method]
        axes.plot(budgets, steps[0], color=colour, linewidth=1.2, drawstyle="steps-post")
        axes.fill_between(budgets, low, high, color=colour, alpha=0.13, linewidth=0, step="post")


def _draw_policies(axes: Any, table: Table, styles: dict[str, tuple[str, str]]) -> None:
    """A point with both intervals for each row; fixed policies in grey."""
    for name, row in table.fixed.items():
        cost, accuracy = row.figure("cost").mean, row.figure("accuracy").mean
        axes.plot(cost, accuracy, "o", color="0.55", markersize=5, label="fixed policies", linestyle="")
        axes.annotate(
            name, (cost, accuracy), (0, -12), textcoords="offset points", fontsize=7, color="0.4", ha="center",
            annotation_clip=True,
        )  # fmt: skip
    for key, row in table.rows.items():
        colour, marker = styles[key.method]
        cost, accuracy = row.figure("cost"), row.figure("accuracy")
        axes.errorbar(
            cost.mean,
            accuracy.mean,
            xerr=_bars(cost),
            yerr=_bars(accuracy),
            color=colour,
            marker=marker,
            markersize=6,
            markerfacecolor=colour if key.reward == "log_prob" else "white",
            linestyle="",
            elinewidth=0.9,
            capsize=2,
            label=Key(key.method, 0, key.reward).title,
        )
        axes.annotate(
            f"{key.cost_weight:g}",
            (cost.mean, accuracy.mean),
            (4, 4),
            textcoords="offset points",
            fontsize=7,
            color=colour,
        )


def _bars(found: Interval) -> list[list[float]]:
    return [[max(found.mean - found.low, 0)], [max(found.high - found.mean, 0)]]


def draw_learning(tables: Sequence[Table], path: Path) -> None:
    """Accuracy and cost of the greedy policy on validation clips against clips seen, at equal clips.

    A line a method, a column a cost weight, two rows a group size.
    """
    tables = [table for table in tables if table.arm == tables[0].arm]
    styles = _styles(tables)
    weights = sorted({key.cost_weight for table in tables for key in table.rows})
    figure, grid = plt.subplots(
        2 * len(tables), len(weights), figsize=(4 * len(weights) + 1, 5 * len(tables)), sharex=True, squeeze=False
    )
    for number, table in enumerate(tables):
        rows = grid[2 * number : 2 * number + 2]
        for key, row in table.rows.items():
            if key.reward == "log_prob":
                _draw_curves(rows[:, weights.index(key.cost_weight)], key, row, styles[key.method])
        lines = [rows[1, column].get_ylim() for column in range(len(weights))]
        for axes in rows[1]:
            axes.set_ylim(min(low for low, _ in lines), max(high for _, high in lines))
        lows = [rows[0, column].get_ylim()[0] for column in range(len(weights))]
        for axes in rows[0]:
            axes.set_ylim(min(lows), 100.5)
        group = "per channel" if table.group_size == 1 else f"groups of {table.group_size}"
        rows[0, 0].set_ylabel(f"{group}\nvalidation accuracy, %")
        rows[1, 0].set_ylabel(f"{group}\ncost, share of dense")
    for axes, weight in zip(grid[0], weights):
        axes.set_title(f"cost weight {weight:g}")
    for axes in grid[-1]:
        axes.set_xlabel("clips seen (each rollout counts)")
    for axes in grid.flat:
        axes.grid(alpha=0.25)
    handles = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.suptitle("Greedy policy during training: mean and range over seeds")
    figure.legend(handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, 0), ncol=6, fontsize=9)
    figure.tight_layout()
    _save(figure, path)


def _draw_curves(axes: np.ndarray, key: Key, row: Row, style: tuple[str, str]) -> None:
    """Mean and range over seeds of accuracy and of cost, on two axes."""
    clips = [point["clips"] for point in min(row.curves, key=len)]
    for one, name in zip(axes, ("accuracy", "cost")):
        values = np.array([[point[name] for point in curve[: len(clips)]] for curve in row.curves])
        one.plot(clips, values.mean(0), color=style[0], marker=style[1], markersize=3, linewidth=1.2, label=key.title)
        one.fill_between(clips, values.min(0), values.max(0), color=style[0], alpha=0.13, linewidth=0)
