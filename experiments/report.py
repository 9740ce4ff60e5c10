"""From the runs of a comparison to an answer: table, pictures, report.md and report.json."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backbone.files import write_json, write_whole
from envs.clips import ClipSource
from experiments.config import Compare, Train, to_json
from experiments.evaluate import cluster_of
from experiments.pictures import draw_learning, draw_pareto
from experiments.results import RELAXATION, Key, Row, collect, compare_methods
from experiments.statistics import Interval


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
    shift, dense = (fixed[name]["greedy"]["accuracy"][0] for name in ("shift 1/4", "all use"))
    because = ": what separates them is time alone" if fixed["all use"]["pairs"] else ""
    lines.append(f"All use reaches {dense:.1f}%, the shift-like policy {shift:.1f}%{because}.")
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
    console = Console(width=None if Console().is_terminal else 240)
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
        if name not in ("data", "device") and config[name] != value:
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
