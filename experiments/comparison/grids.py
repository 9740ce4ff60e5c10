"""Tables of a comparison, as cells of text."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.analysis.statistics import Interval
from experiments.comparison.claims import BLIND, FROZEN, RELAXATION, front_title, rivals, show_figure
from experiments.comparison.measures import HYPERVOLUME, Measure, accuracy_measure, cost_measure, difference, figure_of
from experiments.comparison.tables import Front, Row, Table, fronts

Grid = tuple[list[str], list[list[str]]]
"""A table's header and cells."""


def front_grid(table: Table, measures: Sequence[Measure]) -> Grid:
    """Figures of fronts and their differences, the largest hypervolume first."""
    found = fronts(table)
    lines = sorted(found.values(), key=lambda front: -front.hypervolume().value[0].mean())
    against = {method: rivals(found, method) for method in found}
    shown = [name for name in (RELAXATION, BLIND, FROZEN) if any(name in own for own in against.values())]
    header, cells = ["method"], [[front_title(front.method)] for front in lines]
    for measure in measures:
        header += [measure.name, *(f"minus {name}" for name in shown)]
        for front, row in zip(lines, cells):
            row.append(show_figure(figure_of(front, measure), measure))
            row += [_minus(front, against[front.method].get(name), measure) for name in shown]
    return header, cells


def _minus(front: Front, rival: Front | None, measure: Measure) -> str:
    return "-" if rival is None else _show(difference(front, rival, measure), f"+{measure.spec}")


def _show(value: Interval | None, spec: str) -> str:
    return "-" if value is None else f"{value:{spec}}"


def volume_grid(table: Table) -> Grid:
    """Hypervolumes."""
    return front_grid(table, [HYPERVOLUME])


def cost_grid(table: Table, accuracies: Sequence[float]) -> Grid:
    """Costs at accuracies."""
    return front_grid(table, [cost_measure(accuracy) for accuracy in accuracies])


def accuracy_grid(table: Table, budgets: Sequence[float]) -> Grid:
    """Accuracies at costs."""
    return front_grid(table, [accuracy_measure(budget) for budget in budgets])


POLICY_COLUMNS = {
    "greedy: accuracy %": ("accuracy", ".1f"),
    "greedy: cost": ("cost", ".3f"),
    "sampled: accuracy %": ("sampled_accuracy", ".1f"),
    "sampled: cost": ("sampled_cost", ".3f"),
    "top-k: accuracy %": ("top_k_accuracy", ".1f"),
    "top-k: cost": ("top_k_cost", ".3f"),
    "swap: right %": ("swap_right", ".1f"),
    "swap: follows %": ("swap_follows", ".1f"),
}


def policy_grid(table: Table, kinds: Sequence[str] = ("greedy", "sampled", "top-k", "swap")) -> Grid:
    """Learned policies by cost weight, then fixed ones; columns that nobody has are left out.

    :param kinds: of columns
    """
    everything = _labelled(table)
    columns = {
        title: column
        for title, column in POLICY_COLUMNS.items()
        if title.split(":")[0] in kinds and any(column[0] in row.figures for _, _, row in everything)
    }
    cells = [
        [title, weight, *(_show(row.figure(name), spec) for name, spec in columns.values())]
        for title, weight, row in everything
    ]
    return ["method", "cost weight", *columns], cells


def pair_grid(table: Table) -> Grid:
    """Greedy accuracy per pair of mutually reversed classes; no cells where there are none."""
    everything = _labelled(table)
    names = list(everything[0][2].pairs)
    cells = [[title, weight, *(_show(row.pair(name), ".1f") for name in names)] for title, weight, row in everything]
    return ["method", "cost weight", *names], cells if names else []


def class_grid(table: Table) -> Grid:
    """Greedy accuracy per class, and the mean of the classes; no cells where classes are many, or not known."""
    everything = _labelled(table)
    if not all(row.classes for _, _, row in everything):
        return ["method", "cost weight"], []
    names = list(everything[0][2].classes)
    cells = [
        [
            title,
            weight,
            _show(row.figure("class_accuracy"), ".1f"),
            *(_show(row.of_class(name), ".1f") for name in names),
        ]
        for title, weight, row in everything
    ]
    return ["method", "cost weight", "mean of classes", *names], cells


def training_grid(table: Table) -> Grid:
    """How each policy was trained."""
    header = [
        "method", "cost weight", "rollouts", "clips drawn", "updates", "rollouts an update", "updates shortened %",
        "learning rate", "warm-up", "seconds",
    ]  # fmt: skip
    return header, [[title, weight, *_training(row)] for title, weight, row in _labelled(table) if row.training]


def _training(row: Row) -> list[str]:
    rollouts, clips, updates, shortened, rate, warmup = (
        None if found is None else found.mean
        for found in map(
            row.trained, ("rollouts", "clips_drawn", "updates", "clipped_updates", "learning_rate", "warmup")
        )
    )
    return [
        *("-" if count is None else f"{count:,.0f}" for count in (rollouts, clips, updates)),
        f"{rollouts / updates:.0f}" if rollouts and updates else "-",
        "-" if shortened is None else f"{100 * shortened:.1f}",
        "-" if rate is None else f"{rate:g}",
        "-" if warmup is None else f"{warmup:g}",
        _show(row.trained("seconds"), ".0f"),
    ]


def _labelled(table: Table) -> list[tuple[str, str, Row]]:
    """Every row with what its first two cells say."""
    learned = sorted(table.rows.items(), key=lambda item: item[0].cost_weight)
    return [(key.title, f"{key.cost_weight:g}", row) for key, row in learned] + [
        (name, "-", row) for name, row in table.fixed.items()
    ]
