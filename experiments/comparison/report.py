"""From the runs of a comparison to an answer: tables, pictures, report.md and report.json."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from backbone.files import write_json, write_whole
from envs.clips import ClipSource
from experiments.comparison.pictures import draw_learning, draw_pareto
from experiments.comparison.results import RELAXATION, STATIC, Gap, Row, Table, collect, differences, fronts, gap
from experiments.config import Compare, Train, to_json
from experiments.evaluate import cluster_of
from experiments.statistics import Interval, interval

if TYPE_CHECKING:
    from experiments.comparison.compare import Arm

HOW_TO_READ = (
    "Greedy decisions on {clips} test clips{skipped}. Cost is MACs as a share of the dense CNN's, the agent's own included. "
    "Brackets: 95% bootstrap intervals, pointwise. A draw takes seeds anew (a seed brings its backbone, if each has one, "
    "and its agents of every method and cost weight), and test clips{together}. With few seeds they are too narrow "
    "(measured on normal values: three seeds cover 76%, five 83%); so differences, which are paired by seed and clip, also "
    "say in how many seeds they have the sign of their mean."
)
HOW_FRONTS = (
    "A front has a policy for each cost weight. Hypervolume is its area above {floor:.1%} accuracy ({why}) and below "
    "cost 1, in units of accuracy (a share) times cost, so at most {most:g}; each seed's own, then their mean. Cost at an "
    "accuracy is that of the cheapest policy of a seed's front, or mixture of two, that reaches it: nothing is "
    "extrapolated, so that it is an upper bound where every policy is more accurate; inf is an end at which draws do not reach it. IQM: mean over all runs and cost "
    "weights without the best and worst quarter (rliable)."
)
HOW_SWAP = (
    "Swap: each clip is played with the decisions made on its own reversal; *right* is the share still given its own "
    "label, *follows* the share given the label of the clip that the decisions came from: what the decisions tell the CNN "
    "past its pixels. Seconds are of training with its evaluations, on workers side by side."
)


DEMONSTRATION = (
    "A demonstration: {pretraining} clips of pretraining, {clips} clips an agent and {seeds} are far too little to conclude "
    "from. It shows that everything runs and what it looks like; for an answer: python -m experiments compare"
)


class Front(NamedTuple):
    """What is reported of a method's front; None where there is nothing to subtract, or not every seed gets there.

    :param costs: accuracy in percent -> cost there, seeds that reach it, and the difference to the relaxation and to the
        static policy
    """

    method: str
    volume: Interval
    against: dict[str, Gap | None]
    costs: dict[float, tuple[Interval, int, dict[str, Gap | None]]]
    iqm_accuracy: Interval
    iqm_cost: Interval
    seeds: int


def front_lines(table: Table, accuracies: Sequence[float]) -> list[Front]:
    """The fronts of a table, the largest hypervolume first."""
    found = fronts(table)
    rivals = [name for name in (RELAXATION, STATIC) if name in found]

    def against(method: str, measure: Any) -> dict[str, Gap | None]:
        return {name: gap(measure(found[method]), measure(found[name])) for name in rivals if name != method}

    lines = []
    for method, front in found.items():
        costs = {}
        for accuracy in accuracies:
            cost = front.cost_at(accuracy / 100)
            gaps = against(method, lambda one, at=accuracy / 100: one.cost_at(at))
            costs[accuracy] = (interval(cost.mean(-1)), int(np.isfinite(cost[0]).sum()), gaps)
        accuracy, cost = front.iqm()
        gaps = against(method, lambda one: one.volume())
        lines.append(Front(method, interval(front.volume().mean(-1)), gaps, costs, accuracy, cost, front.cost.shape[1]))
    return sorted(lines, key=lambda line: -line.volume.mean)


def write_report(
    folder: Path,
    arms: Sequence[Arm],
    fixed: Sequence[Train],
    facts: dict[str, Any],
    test: ClipSource,
    accuracies: Sequence[float],
) -> None:
    """Read every run's judgement, print the tables, write report.md, report.json, pareto.png and learning.png."""
    cluster = cluster_of(test)
    floor = 0.5 if cluster == 2 else 1 / len(test.classes)
    tables = [table for arm in arms for table in collect(arm.title, arm.jobs, fixed, cluster=cluster, floor=floor)]
    answer = [line for table in tables for line in answer_lines(table, front_lines(table, accuracies))]
    answer.append(fixed_line(tables[0].fixed))
    draw_pareto(tables, folder / "pareto.png")
    draw_learning(tables, folder / "learning.png")
    write_json(folder / "report.json", as_json(tables, answer, facts, accuracies))
    text = markdown(tables, answer, facts, test, accuracies)
    write_whole(folder / "report.md", lambda file: file.write(text.encode()))
    for table in tables:
        print_table(table, accuracies)
    for line in answer:
        print(f"- {line}")
    if warning := demonstration(facts["config"]):
        print(f"\n{warning}")
    print(f"\nReport: {folder / 'report.md'}   pictures: {folder / 'pareto.png'}, {folder / 'learning.png'}")
    print(f"Episodes and curves: tensorboard --logdir {folder}")
    if warning:
        print(f"One agent in figures: python -m experiments evaluate {arms[0].jobs[0].run}")


def demonstration(config: dict[str, Any]) -> str:
    """What has to be said of a report of the quick preset, nothing of the others."""
    if config["preset"] != "quick":
        return ""
    count = len(config["seeds"])
    seeds = f"{count} seed{'s' * (count > 1)}"
    return DEMONSTRATION.format(pretraining=f"{config['pretrain_clips']:,}", clips=f"{config['clips']:,}", seeds=seeds)


def answer_lines(table: Table, lines: Sequence[Front]) -> list[str]:
    """What the figures of a table say, in sentences; nothing in them is more certain than its interval."""
    said, found = [], {line.method: line for line in lines}
    relaxation, static = found.get(RELAXATION), found.get(STATIC)
    if relaxation is not None:
        others = [line for line in lines if line.method not in (RELAXATION, STATIC)]
        parts = [_compared(line.method, line.against[RELAXATION], "larger", "smaller") for line in others]
        if parts:
            said.append(
                f"{table.title}: the relaxation ({RELAXATION}) has a hypervolume of {relaxation.volume:.3f}; {'; '.join(parts)}."
            )
        for accuracy, (cost, reached, _) in relaxation.costs.items():
            parts = [_cost_compared(line, accuracy) for line in others]
            start = f"{table.title}: for {accuracy:g}% accuracy the relaxation spends {cost:.3f} of dense"
            if reached < relaxation.seeds:
                start = f"{table.title}: {reached} of {relaxation.seeds} seeds of the relaxation reach {accuracy:g}%"
            said.append("; ".join([start, *parts]) + ".")
    if static is not None:
        adaptive = [line for line in lines if line.method != STATIC]
        parts = [_compared(line.method, line.against[STATIC], "larger", "smaller") for line in adaptive]
        if parts:
            said.append(
                f"{table.title}: against decisions learned blindly ({STATIC}: {static.volume:.3f}), hypervolume with a look "
                f"at the clip: {'; '.join(parts)}."
            )
    return said


def _compared(method: str, found: Gap | None, more: str, less: str) -> str:
    if found is None:
        return f"{method} cannot be compared"
    certain, direction = found.difference.excludes_zero, more if found.difference.mean > 0 else less
    return f"{method} {direction if certain else f'not measurably {direction}'} ({found:+.3f})"


def _cost_compared(line: Front, accuracy: float) -> str:
    _, reached, against = line.costs[accuracy]
    if reached < line.seeds:
        return f"{line.method} reaches it in {reached} of {line.seeds} seeds"
    return _compared(line.method, against[RELAXATION], "dearer", "cheaper")


def fixed_line(fixed: dict[str, Row]) -> str:
    """What separates the two policies that use nearly everything."""
    shift, dense = (fixed[name].figure("accuracy") for name in ("shift 1/4", "all use"))
    because = ": what separates them is time alone" if fixed["all use"].pairs else ""
    return f"All use reaches {dense:.1f}%, the shift-like policy {shift:.1f}%{because}."


def _show(value: Interval | None, spec: str) -> str:
    if value is None:
        return "-"
    return f"{value.mean:{spec}}" if value.low == value.mean == value.high else f"{value:{spec}}"


def _show_gap(value: Gap | None, spec: str) -> str:
    return "-" if value is None else f"{value:{spec}}"


Grid = tuple[list[str], list[list[str]]]
"""A table's header and cells."""


def volume_grid(lines: Sequence[Front]) -> Grid:
    """Hypervolume, its differences, interquartile means."""
    header = [
        "method",
        "hypervolume",
        f"minus {RELAXATION}",
        f"minus {STATIC}",
        "IQM accuracy %",
        "IQM cost",
    ]
    cells = [
        [
            line.method,
            _show(line.volume, ".3f"),
            *(_show_gap(line.against.get(name), "+.3f") for name in (RELAXATION, STATIC)),
            _show(Interval(*(100 * value for value in line.iqm_accuracy)), ".1f"),
            _show(line.iqm_cost, ".3f"),
        ]
        for line in lines
    ]
    return header, cells


def cost_grid(lines: Sequence[Front], accuracies: Sequence[float]) -> Grid:
    """Costs at matched accuracy, and their differences."""
    header, cells = ["method"], [[line.method] for line in lines]
    for accuracy in accuracies:
        header += [f"cost at {accuracy:g}%", f"minus {RELAXATION}", f"minus {STATIC}"]
        for line, row in zip(lines, cells):
            cost, reached, against = line.costs[accuracy]
            row.append(_show(cost, ".3f") if reached == line.seeds else f"reached in {reached} of {line.seeds} seeds")
            row += [_show_gap(against.get(name), "+.3f") for name in (RELAXATION, STATIC)]
    return header, cells


POLICY_COLUMNS = {
    "accuracy %": ("accuracy", ".1f"),
    "cost": ("cost", ".3f"),
    "sampled accuracy %": ("sampled_accuracy", ".1f"),
    "sampled cost": ("sampled_cost", ".3f"),
    "swap: right %": ("swap_accuracy", ".1f"),
    "swap: follows %": ("swap_follows", ".1f"),
    "seconds": ("seconds", ".0f"),
}


def policy_grid(table: Table) -> Grid:
    """Learned policies by cost weight, then fixed ones."""

    def figures(row: Row) -> list[str]:
        return [_show(row.figure(name), spec) for name, spec in POLICY_COLUMNS.values()]

    rows = sorted(table.rows.items(), key=lambda item: item[0].cost_weight)
    cells = [[key.title, f"{key.cost_weight:g}", *figures(row), f"{row.clips:,}"] for key, row in rows]
    cells += [[name, "-", *figures(row), "-"] for name, row in table.fixed.items()]
    return ["method", "cost weight", *POLICY_COLUMNS, "clips"], cells


def difference_grid(table: Table, other: str) -> Grid:
    """Each policy against that of another method at the same cost weight."""
    cells = [
        [found.key.title, f"{found.key.cost_weight:g}", _show(found.accuracy, "+.1f"), _show(found.cost, "+.3f")]
        for found in sorted(differences(table, other), key=lambda found: found.key.cost_weight)
    ]
    return ["method", "cost weight", "accuracy, points", "cost, share of dense"], cells


def pair_grid(table: Table) -> Grid:
    """Accuracy per pair of mutually reversed classes; no cells where there are none."""
    everything = [(key.title, f"{key.cost_weight:g}", row) for key, row in table.rows.items()]
    everything += [(name, "-", row) for name, row in table.fixed.items()]
    names = list(everything[0][2].pairs)
    cells = [
        [title, weight, *(_show(row.pairs.get(name), ".1f") for name in names)] for title, weight, row in everything
    ]
    return ["method", "cost weight", *names], cells if names else []


def print_table(table: Table, accuracies: Sequence[float]) -> None:
    """The fronts and the policies of a table on the terminal."""
    console = Console(width=None if Console().is_terminal else 240)
    lines = front_lines(table, accuracies)
    volumes, costs = volume_grid(lines), cost_grid(lines, accuracies)
    joined = volumes[0] + costs[0][1:], [left + right[1:] for left, right in zip(volumes[1], costs[1])]
    for title, (header, cells) in {"Fronts": joined, "Greedy policies": policy_grid(table)}.items():
        shown = RichTable(title=escape(f"{title}, {table.title}; [low, high] is a 95% bootstrap over seeds and clips"))
        for column in header:
            shown.add_column(escape(column), no_wrap=column == "method")
        for row in cells:
            shown.add_row(*map(escape, row))
        console.print(shown)


def markdown(
    tables: Sequence[Table],
    answer: Sequence[str],
    facts: dict[str, Any],
    test: ClipSource,
    accuracies: Sequence[float],
) -> str:
    """report.md, whole."""
    config, floor = facts["config"], tables[0].floor
    paired = floor == 0.5
    how_to_read = HOW_TO_READ.format(
        clips=len(test),
        skipped=f" ({len(test.skipped)} broken videos skipped)" if test.skipped else "",
        together=", a clip together with its reversal" if paired else "",
    )
    why = "what a model blind to time can reach" if paired else "guessing"
    text = [
        "# Policy gradient or differentiable relaxation?",
        *(f"**{warning}**" for warning in [demonstration(config)] if warning),
        *(_bullets(answer)),
        "![accuracy against cost](pareto.png)",
        "![learning curves](learning.png)",
        "## How to read this",
        how_to_read,
        HOW_FRONTS.format(floor=floor, why=why, most=1 - floor),
        HOW_SWAP,
    ]
    for table in tables:
        lines = front_lines(table, accuracies)
        text += [
            f"## {table.title[0].upper()}{table.title[1:]}",
            _grid(volume_grid(lines)),
            _grid(cost_grid(lines, accuracies)),
        ]
        text += ["### Every policy", _grid(policy_grid(table))]
        for other in (RELAXATION, STATIC):
            if difference_grid(table, other)[1]:
                text += [f"### Minus {other} at the same cost weight", _grid(difference_grid(table, other))]
        if pair_grid(table)[1] and table.arm == tables[0].arm:
            text += ["### Accuracy % per pair of mutually reversed classes", _grid(pair_grid(table))]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    made = [
        f"Command: `{command_of(config)}`",
        f"Seeds of the agents: {', '.join(map(str, config['seeds']))}; {_backbones(config)}",
        f"Machine: {facts['machine']}, {config['workers']} workers of one thread; {facts['seconds'] / 60:.1f} minutes in all",
        f"Python {facts['python']}, {versions}",
        f"Commit {facts['commit']}; test data {facts['data']['test'][:12]}",
    ]
    if facts["rates"]:
        speeds = ", ".join(f"{name} {rate['clips_per_second']:.0f}" for name, rate in facts["rates"].items())
        made.append(
            f"Clips a second in training, each measured alone for ten seconds, by which the clips of equal time were "
            f"settled (g: group size): {speeds}"
        )
    text += ["## How it was made", *_bullets(made)]
    return "\n\n".join(text) + "\n"


def _bullets(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)]


def _grid(grid: Grid) -> str:
    header, cells = grid
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *cells))


def _backbones(config: dict[str, Any]) -> str:
    if config["backbone"] is not None:
        return f"one backbone, {config['backbone']}"
    return "a backbone of each seed" if config["preset"] == "full" else "one backbone, seed 0"


def command_of(config: dict[str, Any]) -> str:
    """The command line of a comparison, with what differs from its preset."""
    words = ["python", "-m", "experiments", "compare"]
    if config["preset"] != Compare().preset:
        words += ["--preset", config["preset"]]
    usual = to_json(Compare(preset=config["preset"]).settled())
    for name, value in usual.items():
        if name not in ("data", "device", "preset", "workers") and config[name] != value:
            given = config[name] if isinstance(config[name], list) else [config[name]]
            words += [f"--{name.replace('_', '-')}", *map(str, given)]
    for name, value in usual["data"].items():
        if config["data"][name] != value:
            words += [f"--data.{name.replace('_', '-')}", str(config["data"][name])]
    return shlex.join(words)


def as_json(
    tables: Sequence[Table], answer: Sequence[str], facts: dict[str, Any], accuracies: Sequence[float]
) -> dict[str, Any]:
    """Every figure of the report; intervals are [mean, low, high], null what is not reached."""

    def row_of(row: Row) -> dict[str, Any]:
        names = [*row.runs, *row.others]
        pairs = {name: _plain(found) for name, found in row.pairs.items()}
        seeds = {name: runs[0].tolist() for name, runs in row.runs.items()}
        return {**{name: _plain(row.figure(name)) for name in names}, "seeds": seeds, "pairs": pairs}

    def table_of(table: Table) -> dict[str, Any]:
        return {
            "arm": table.arm,
            "group_size": table.group_size,
            "floor": table.floor,
            "fronts": [
                {
                    "method": line.method,
                    "hypervolume": _plain(line.volume),
                    "hypervolume_minus": {name: _plain(found) for name, found in line.against.items()},
                    "cost_at": {
                        f"{accuracy:g}": {
                            "cost": _plain(cost),
                            "seeds_reaching": reached,
                            "minus": {name: _plain(found) for name, found in against.items()},
                        }
                        for accuracy, (cost, reached, against) in line.costs.items()
                    },
                    "iqm_accuracy": _plain(line.iqm_accuracy),
                    "iqm_cost": _plain(line.iqm_cost),
                }
                for line in front_lines(table, accuracies)
            ],
            "learned": [
                {**key._asdict(), "clips": row.clips, **row_of(row), "learning": row.curves}
                for key, row in table.rows.items()
            ],
            "fixed": {name: row_of(row) for name, row in table.fixed.items()},
            "minus": {
                other: [
                    {**found.key._asdict(), "accuracy": _plain(found.accuracy), "cost": _plain(found.cost)}
                    for found in differences(table, other)
                ]
                for other in (RELAXATION, STATIC)
            },
        }

    return {"answer": list(answer), "tables": [table_of(table) for table in tables], **facts}


def _plain(value: Interval | Gap | None) -> Any:
    if value is None:
        return None
    if isinstance(value, Gap):
        return {"difference": _plain(value.difference), "seeds_agreeing": value.agreeing, "seeds": value.seeds}
    return [end if np.isfinite(end) else None for end in value]
