"""From the runs of a comparison to an answer: table, pictures, report.md and report.json."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backbone.files import write_json, write_whole
from envs.clips import ClipSource
from experiments.config import Compare, Train, to_json
from experiments.evaluate import cluster_of
from experiments.statistics import Interval, bootstrap, over_seeds

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RELAXATION = "gumbel"
STYLES = {
    "reinforce": ("#D55E00", "o"),
    "ppo": ("#009E73", "s"),
    "gumbel": ("#0072B2", "D"),
    "static": ("#CC79A7", "v"),
}
OTHER_STYLES = [("#E69F00", "P"), ("#56B4E9", "X"), ("#000000", "*"), ("#8C564B", "<")]


class Key(NamedTuple):
    """A row of the table: all seeds of one method at one cost weight and reward."""

    method: str
    cost_weight: float
    reward: str

    @property
    def title(self) -> str:
        return self.method if self.reward == "log_prob" else f"{self.method} ({self.reward} reward)"


class Row(NamedTuple):
    """What is reported of a Key; the arrays are (seeds, test clips)."""

    figures: dict[str, Interval]
    arrays: dict[str, np.ndarray]
    pairs: dict[str, Interval]
    curves: list[list[dict[str, float]]]
    clips: int


def write_report(folder: Path, jobs: Sequence[Train], fixed: Path, facts: dict[str, Any], test: ClipSource) -> None:
    """Read every run's judgement, print the table, write report.md, report.json, pareto.png and learning.png."""
    cluster = cluster_of(test)
    rows = collect(jobs, cluster)
    fixed_figures = json.loads((fixed / "evaluation.json").read_text())
    differences = compare_methods(rows, cluster)
    answer = answer_lines(rows, differences, fixed_figures)
    draw_pareto(rows, fixed_figures, folder / "pareto.png")
    draw_learning(rows, folder / "learning.png")
    write_json(folder / "report.json", as_json(rows, fixed_figures, differences, facts))
    text = markdown(rows, fixed_figures, differences, answer, facts, test)
    write_whole(folder / "report.md", lambda file: file.write(text.encode()))
    print_table(rows, fixed_figures, len(test))
    for line in answer:
        print(line)
    print(f"\nReport: {folder / 'report.md'}   pictures: {folder / 'pareto.png'}, {folder / 'learning.png'}")
    print(f"Episodes and curves: tensorboard --logdir {folder}")


def collect(jobs: Sequence[Train], cluster: int) -> dict[Key, Row]:
    """Group the runs by method, cost weight and reward, and put intervals around their means."""
    groups: dict[Key, list[Path]] = defaultdict(list)
    for job in jobs:
        groups[Key(job.method, job.cost_weight, job.reward)].append(job.run)
    return {key: _row(folders, cluster) for key, folders in groups.items()}


def _row(folders: list[Path], cluster: int) -> Row:
    judged = [json.loads((folder / "evaluation.json").read_text()) for folder in folders]
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    stored = [np.load(folder / "clips.npz") for folder in folders]
    arrays = {name: np.stack([clips[name] for clips in stored]) for name in stored[0].files}
    figures = {
        "accuracy": bootstrap(100 * arrays["correct"], cluster=cluster),
        "cost": bootstrap(arrays["macs_ratio"], cluster=cluster),
        "sampled_accuracy": bootstrap(100 * arrays["sampled_correct"], cluster=cluster),
        "sampled_cost": bootstrap(arrays["sampled_macs_ratio"], cluster=cluster),
        "seconds": over_seeds([result["seconds"] for result in results]),
    }
    if judged[0]["swap"] is not None:
        for name in ("accuracy", "follows"):
            figures[f"swap_{name}"] = over_seeds([figure["swap"][name] for figure in judged])
    pairs = {name: over_seeds([figure["pairs"][name] for figure in judged]) for name in judged[0]["pairs"]}
    curves = [json.loads((folder / "learning.json").read_text()) for folder in folders]
    return Row(figures, arrays, pairs, curves, results[0]["clips"])


def compare_methods(rows: dict[Key, Row], cluster: int) -> list[dict[str, Any]]:
    """Each method against the relaxation at the same cost weight, clip by clip: paired differences with intervals."""
    differences = []
    for key, row in rows.items():
        other = rows.get(Key(RELAXATION, key.cost_weight, "log_prob"))
        if other is None or other is row or len(row.arrays["correct"]) != len(other.arrays["correct"]):
            continue
        accuracy = 100.0 * row.arrays["correct"] - 100.0 * other.arrays["correct"]
        cost = row.arrays["macs_ratio"] - other.arrays["macs_ratio"]
        differences.append(
            {
                "method": key.title,
                "cost_weight": key.cost_weight,
                "accuracy": bootstrap(accuracy, cluster=cluster),
                "cost": bootstrap(cost, cluster=cluster),
            }
        )
    return differences


def answer_lines(rows: dict[Key, Row], differences: list[dict[str, Any]], fixed: dict[str, Any]) -> list[str]:
    """What the figures say, in sentences; nothing in them is more certain than its interval."""
    lines = []
    for found in differences:
        if found["method"] == "static":
            continue
        accuracy, cost = found["accuracy"], found["cost"]
        better = _verdict(accuracy.mean, accuracy.excludes_zero, "more accurate", "less accurate")
        cheaper = _verdict(-cost.mean, cost.excludes_zero, "cheaper", "dearer")
        if accuracy.excludes_zero and cost.excludes_zero and accuracy.mean * -cost.mean > 0:
            verdict = "wins on both" if accuracy.mean > 0 else "loses on both"
        elif accuracy.excludes_zero or cost.excludes_zero:
            signs = [accuracy.mean] * accuracy.excludes_zero + [-cost.mean] * cost.excludes_zero
            verdict = "trades one for the other" if len(signs) == 2 else ("wins" if signs[0] > 0 else "loses")
        else:
            verdict = "cannot be told apart"
        lines.append(
            f"Cost weight {found['cost_weight']:g}: {found['method']} is {better} ({accuracy:+.1f} points) and {cheaper} "
            f"({cost:+.3f} of dense) than the relaxation: it {verdict}."
        )
    for key, row in rows.items():
        if key.method == RELAXATION and (static := rows.get(Key("static", key.cost_weight, "log_prob"))):
            gain = row.figures["accuracy"].mean - static.figures["accuracy"].mean
            lines.append(
                f"Cost weight {key.cost_weight:g}: looking at the clip brings the relaxation {gain:+.1f} points at "
                f"{row.figures['cost'].mean:.3f} against {static.figures['cost'].mean:.3f} of dense for decisions learned blindly."
            )
    shift = fixed["shift 1/4"]["greedy"]["accuracy"][0]
    lines.append(
        f"All use reaches {fixed['all use']['greedy']['accuracy'][0]:.1f}%, the shift-like policy {shift:.1f}%: "
        "what separates them is time alone."
    )
    return lines


def _verdict(difference: float, certain: bool, more: str, less: str) -> str:
    return (more if difference > 0 else less) if certain else f"not measurably {more if difference > 0 else less}"


COLUMNS = ("method", "cost weight", "accuracy %", "cost", "sampled accuracy %", "sampled cost", "swap: right %",
           "swap: follows %", "seconds", "clips")  # fmt: skip


def table_rows(rows: dict[Key, Row], fixed: dict[str, Any]) -> list[list[str]]:
    """The table's cells: learned methods, then fixed policies (whose seconds and clips are nil)."""

    def show(figures: dict[str, Interval], name: str, spec: str) -> str:
        return f"{figures[name]:{spec}}" if name in figures else "-"

    table = []
    for key, row in sorted(rows.items(), key=lambda item: (item[0].cost_weight, item[0].reward != "log_prob")):
        specs = {"accuracy": ".1f", "cost": ".3f", "sampled_accuracy": ".1f", "sampled_cost": ".3f",
                 "swap_accuracy": ".1f", "swap_follows": ".1f", "seconds": ".0f"}  # fmt: skip
        cells = [show(row.figures, name, spec) for name, spec in specs.items()]
        table.append([key.title, f"{key.cost_weight:g}", *cells, f"{row.clips:,}"])
    for name, figures in fixed.items():
        parts = [
            f"{Interval(*figures[policy][figure]):{spec}}"
            for policy in ("greedy", "sampled")
            for figure, spec in (("accuracy", ".1f"), ("cost", ".3f"))
        ]
        swap = figures["swap"]
        swaps = [f"{swap['accuracy']:.1f}", f"{swap['follows']:.1f}"] if swap else ["-", "-"]
        table.append([name, "-", *parts, *swaps, "-", "-"])
    return table


def print_table(rows: dict[Key, Row], fixed: dict[str, Any], num_clips: int) -> None:
    """The one table on the terminal, then accuracy per pair of reversed classes."""
    console = Console(width=None if Console().is_terminal else 200)
    table = Table(
        title=escape(f"Greedy policies on {num_clips} test clips; [low, high] is a 95% bootstrap over seeds and clips")
    )
    for column in COLUMNS:
        table.add_column(column, no_wrap=column == "method")
    for cells in table_rows(rows, fixed):
        table.add_row(*cells)
    console.print(table)
    header, lines = pair_rows(rows, fixed)
    if len(header) > 2:
        pairs = Table(title="Accuracy % per pair of mutually reversed classes")
        for column in header:
            pairs.add_column(column)
        for cells in lines:
            pairs.add_row(*cells)
        console.print(pairs)


def pair_rows(rows: dict[Key, Row], fixed: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the accuracy per pair of classes."""
    names = list(next(iter(fixed.values()))["pairs"])
    lines = [
        [key.title, f"{key.cost_weight:g}", *(f"{row.pairs[name]:.1f}" for name in names)] for key, row in rows.items()
    ]
    lines += [[name, "-", *(f"{figures['pairs'][pair]:.1f}" for pair in names)] for name, figures in fixed.items()]
    return ["method", "cost weight", *names], lines


def markdown(
    rows: dict[Key, Row],
    fixed: dict[str, Any],
    differences: list[dict[str, Any]],
    answer: list[str],
    facts: dict[str, Any],
    test: ClipSource,
) -> str:
    """report.md, whole."""

    def grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
        return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *lines)]

    config = facts["config"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    pair_header, pair_lines = pair_rows(rows, fixed)
    against = [
        [row["method"], f"{row['cost_weight']:g}", f"{row['accuracy']:+.1f}", f"{row['cost']:+.3f}"]
        for row in differences
    ]
    return "\n".join(
        [
            "# Policy gradient or differentiable relaxation?",
            "",
            *(f"- {line}" for line in answer),
            "",
            "![accuracy against cost](pareto.png)",
            "",
            "![learning curves](learning.png)",
            "",
            "## Every policy",
            "",
            f"Greedy decisions on {len(test)} test clips{_skipped(test)}. Cost is MACs as a share of the dense CNN's, the "
            "agent's own included. Brackets: 95% bootstrap over seeds and clips (a clip and its reversal are drawn "
            "together); with so few seeds they are rough. Swap: each clip is played with the decisions made on its own "
            "reversal; *right* is the share still given its own label, *follows* the share given the label of the clip "
            "that the decisions came from: what the decisions tell the CNN past its pixels.",
            "",
            *grid(COLUMNS, table_rows(rows, fixed)),
            "",
            f"## Against the relaxation ({RELAXATION}) at the same cost weight",
            "",
            "Differences clip by clip, seed by seed.",
            "",
            *grid(("method", "cost weight", "accuracy, points", "cost, share of dense"), against),
            "",
            "## Accuracy % per pair of mutually reversed classes",
            "",
            *grid(pair_header, pair_lines),
            "",
            "## How it was made",
            "",
            f"- Command: `{command_of(config)}`",
            f"- Seeds of the agents: {', '.join(map(str, config['seeds']))}; one backbone, seed 0",
            f"- Machine: {facts['machine']}, {config['workers']} workers of one thread; {facts['seconds'] / 60:.1f} minutes in all",
            f"- Python {facts['python']}, {versions}",
            f"- Commit {facts['commit']}; test data {facts['data']['test'][:12]}",
            "",
        ]
    )


def command_of(config: dict[str, Any]) -> str:
    """The command line of a comparison, with what differs from the defaults."""
    words = ["python", "-m", "experiments", "compare"]
    for name, value in to_json(Compare()).items():
        if name != "data" and config[name] != value:
            given = config[name] if isinstance(config[name], list) else [config[name]]
            words += [f"--{name.replace('_', '-')}", *map(str, given)]
    for name, value in to_json(Compare())["data"].items():
        if config["data"][name] != value:
            words += [f"--data.{name.replace('_', '-')}", str(config["data"][name])]
    return shlex.join(words)


def _skipped(test: ClipSource) -> str:
    return f" ({len(test.skipped)} broken videos skipped)" if test.skipped else ""


def as_json(
    rows: dict[Key, Row], fixed: dict[str, Any], differences: list[dict[str, Any]], facts: dict[str, Any]
) -> dict[str, Any]:
    """Every figure of the report; intervals are [mean, low, high]."""
    learned = [
        {
            **key._asdict(),
            "clips": row.clips,
            "seeds": len(row.curves),
            **{name: list(interval) for name, interval in row.figures.items()},
            "pairs": {name: list(interval) for name, interval in row.pairs.items()},
            "learning": row.curves,
        }
        for key, row in rows.items()
    ]
    against = [{**row, "accuracy": list(row["accuracy"]), "cost": list(row["cost"])} for row in differences]
    return {"learned": learned, "fixed": fixed, "against_relaxation": against, **facts}


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
        axes.annotate(name, (cost, accuracy), (5, -9), textcoords="offset points", fontsize=7, color="0.4")
    for method in dict.fromkeys(key.method for key in rows):
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
                    f"w={weight:g}", (c.mean, a.mean), (4, 5), textcoords="offset points", fontsize=7, color=colour
                )
    axes.set_xlabel("cost, share of the dense CNN's MACs (the agent's own included)")
    axes.set_ylabel("accuracy on test clips, %")
    axes.set_title("Greedy policies, 95% intervals over seeds and clips")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
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
