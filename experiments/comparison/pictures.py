"""The pictures of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np

from envs.rendering.confusion import draw_confusion, side_by_side
from experiments.analysis.confusion import to_matrix
from experiments.analysis.pictures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    plt,
    save_figure,
    write_picture,
)
from experiments.analysis.statistics import interval
from experiments.comparison.claims import front_title
from experiments.comparison.tables import PERCENT, SELECTIONS, Front, Key, Row, Table, fronts

STYLES = {  # colours of Okabe and Ito, which the colour-blind can tell apart; a method looks the same everywhere
    "reinforce": (VERMILION, "o"),
    "ppo": (GREEN, "s"),
    "rebar": (ORANGE, "^"),
    "gumbel": (BLUE, "D"),
    "static": (PURPLE, "v"),
}
OTHER_STYLES = [(colour, marker) for marker in "PX*<>hp" for colour in (SKY, BLACK, "#8C564B")]
FILLS = {"greedy": (5.5, 1.0), "sampled": (5.5, 0.0), "top-k": (3.0, 0.5)}  # size of a marker, how much it is filled
BUDGETS = 150
CONFUSION = 260  # pixels of a confusion matrix


def _styles(tables: Sequence[Table]) -> dict[str, tuple[str, str]]:
    others = sorted({key.method for table in tables for key in table.rows} - set(STYLES))
    return {**STYLES, **{name: OTHER_STYLES[number % len(OTHER_STYLES)] for number, name in enumerate(others)}}


def draw_pareto(tables: Sequence[Table], path: Path) -> None:
    """A panel for each budget (rows) and group size (columns): the methods' fronts with their bands, and every policy.

    A front is the mean over seeds of each seed's own hull, from where every seed has a policy that cheap, with its
    pointwise 95% interval; dotted where some seed's hull has ended, so that it is no more than a lower bound.
    """
    arms = list(dict.fromkeys(table.arm for table in tables))
    groups = list(dict.fromkeys(table.group_size for table in tables))
    styles = _styles(tables)
    size = (8.0 * len(groups) + 0.6, 5.4 * len(arms) + 0.6)
    figure, grid = plt.subplots(len(arms), len(groups), figsize=size, sharex=True, sharey=True, squeeze=False)
    for table in tables:
        axes = grid[arms.index(table.arm), groups.index(table.group_size)]
        for method, front in fronts(table).items():
            _draw_front(axes, front, styles[method])
        _draw_policies(axes, table, styles)
        _draw_fixed(axes, table)
        axes.set_title(table.title[0].upper() + table.title[1:], fontsize=10)
        axes.grid(alpha=0.25)
    low = min(row.mean("accuracy") for table in tables for row in table.rows.values())
    grid[0, 0].set_ylim(max(low - 4, 0), 100.5)
    grid[0, 0].set_xlim(0, 1.04)
    for axes in grid[-1]:
        axes.set_xlabel("cost, share of the dense CNN's MACs (the agent's own included)")
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy on test clips, %")
    for name, (marker_size, fill) in FILLS.items():
        grid[0, 0].plot(
            [], [], "o", color="0.3", markersize=marker_size, markerfacecolor=_fill("0.3", fill), label=name
        )
    _add_legend(figure, grid, 4 * len(groups))
    figure.tight_layout()
    save_figure(figure, path)


def _add_legend(figure: Any, grid: np.ndarray, columns: int) -> None:
    handles = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncol=min(len(handles), columns),
        fontsize=9,
    )


def _draw_front(axes: Any, front: Front, style: tuple[str, str]) -> None:
    colour, marker = style
    budgets = np.linspace(front.hull.cost[0, :, 0].max(), 1.0, BUDGETS)  # from where every seed has a policy
    readings = [front.accuracy_at(budget) for budget in budgets]
    ended = np.array([reading.bound[0].any() for reading in readings])
    found = [interval(reading.value, units=front.units, bounds=PERCENT) for reading in readings]
    mean = np.array([one.mean for one in found])
    band = np.array([(one.low, one.high) for one in found]).T
    axes.plot(
        budgets, np.where(ended, np.nan, mean), color=colour, linewidth=1.6, marker=marker, markevery=[],
        label=front_title(front.method),
    )  # fmt: skip
    axes.plot(budgets, np.where(ended, mean, np.nan), color=colour, linewidth=0.9, linestyle=":")
    axes.fill_between(budgets, *np.where(ended, np.nan, band), color=colour, alpha=0.15, linewidth=0)


def _draw_fixed(axes: Any, table: Table) -> None:
    for name, row in table.fixed.items():
        cost, accuracy = row.mean("cost"), row.mean("accuracy")
        axes.plot(cost, accuracy, "o", color="0.6", markersize=5, label="fixed policies", linestyle="", zorder=1)
        axes.annotate(
            name, (cost, accuracy), (0, -12), textcoords="offset points", fontsize=7, color="0.4",
            ha="right" if cost > 0.9 else "center", annotation_clip=True,
        )  # fmt: skip


def _draw_policies(axes: Any, table: Table, styles: dict[str, tuple[str, str]]) -> None:
    """A point for each row and selection, the mean over seeds."""
    for key, row in table.rows.items():
        colour, marker = styles[key.method]
        for name, start in SELECTIONS.items():
            if f"{start}cost" not in row.figures:
                continue
            size, fill = FILLS[name]
            cost, accuracy = (row.mean(f"{start}{what}") for what in ("cost", "accuracy"))
            axes.plot(
                cost,
                accuracy,
                marker=marker if key.reward == "log_prob" else "x",
                markersize=size,
                color=colour,
                markerfacecolor=_fill(colour, fill),
                markeredgewidth=0.9,
                linestyle="",
            )


def _fill(colour: str, share: float) -> tuple[float, float, float]:
    """The colour, mixed with white."""
    red, green, blue = (share * part + 1 - share for part in matplotlib.colors.to_rgb(colour))
    return red, green, blue


def draw_confusions(tables: Sequence[Table], path: Path) -> None:
    """What greedy policies of the first budget take clips of each class for, all seeds together.

    A column a method, a row a cost weight of each group size.
    """
    tables = [table for table in tables if table.arm == tables[0].arm]
    panels: list[list[np.ndarray | None]] = []
    for table in tables:
        titles = dict.fromkeys(key.title for key in table.rows)
        for weight in sorted({key.cost_weight for key in table.rows}):
            rows = {key.title: row for key, row in table.rows.items() if key.cost_weight == weight}
            group = f", groups of {table.group_size}" if table.group_size > 1 else ""
            panels.append([_confusion(rows.get(title), f"{title}, cost weight {weight:g}{group}") for title in titles])
    write_picture(side_by_side(panels), path)


def _confusion(row: Row | None, title: str) -> np.ndarray | None:
    if row is None or row.confusion is None:
        return None
    return draw_confusion(to_matrix(row.confusion), list(row.confusion), title=title, side=CONFUSION)


def draw_learning(
    tables: Sequence[Table], path: Path, *, against: Literal["rollouts", "clips_drawn"] = "rollouts"
) -> None:
    """Accuracy and cost of the greedy policy on validation clips in training, of the first budget.

    A line a method, a column a cost weight, two rows a group size. Methods that play a clip several times draw fewer:
    against the clips drawn their curves end sooner, so that this axis is logarithmic.
    """
    tables = [table for table in tables if table.arm == tables[0].arm]
    styles = _styles(tables)
    weights = sorted({key.cost_weight for table in tables for key in table.rows})
    size = (3.2 * len(weights) + 1, 5.4 * len(tables))
    figure, grid = plt.subplots(2 * len(tables), len(weights), figsize=size, sharex=True, sharey="row", squeeze=False)
    for number, table in enumerate(tables):
        rows = grid[2 * number : 2 * number + 2]
        for key, row in table.rows.items():
            if key.reward == "log_prob" and row.curves:
                _draw_curves(rows[:, weights.index(key.cost_weight)], key, row, styles[key.method], against)
        rows[0, 0].set_ylim(top=100.5)
        group = "per channel" if table.group_size == 1 else f"groups of {table.group_size}"
        rows[0, 0].set_ylabel(f"{group}\nvalidation accuracy, %")
        rows[1, 0].set_ylabel(f"{group}\ncost, share of dense")
    for axes, weight in zip(grid[0], weights):
        axes.set_title(f"cost weight {weight:g}", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("rollouts" if against == "rollouts" else "clips drawn")
    if against == "clips_drawn":
        grid[0, 0].set_xscale("log")
    for axes in grid.flat:
        axes.grid(alpha=0.25)
    figure.suptitle("Greedy policy during training: mean and range over seeds", fontsize=11)
    _add_legend(figure, grid, 6)
    figure.tight_layout()
    save_figure(figure, path)


def _draw_curves(axes: np.ndarray, key: Key, row: Row, style: tuple[str, str], against: str) -> None:
    """Mean and range over seeds of accuracy and of cost, on two axes; nothing of older runs that lack the axis."""
    if not all(against in point for curve in row.curves for point in curve):
        return
    curves = [[point for point in curve if point[against] > 0 or against == "rollouts"] for curve in row.curves]
    at = [point[against] for point in min(curves, key=len)]  # a logarithmic axis has no zero
    for one, name in zip(axes, ("accuracy", "cost")):
        values = np.array([[point[name] for point in curve[: len(at)]] for curve in curves])
        one.plot(at, values.mean(0), color=style[0], marker=style[1], markersize=3, linewidth=1.2, label=key.title)
        one.fill_between(at, values.min(0), values.max(0), color=style[0], alpha=0.13, linewidth=0)
