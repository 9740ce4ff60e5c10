"""The figures of estimators as tables, JSON and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table as RichTable

from backbone.files import write_json, write_whole
from experiments.gradients.pictures import draw_bias, draw_groups, draw_rollouts, draw_variance
from experiments.gradients.statistics import LEVEL

PASSES = (
    "Passes through the CNN are a rollout's share of a dense clip's convolutions in MACs, counted by running; backward "
    "means the gradients of their inputs"
)


class Table(NamedTuple):
    """A title, a sentence on what is shown, column names, rows of text."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def write_report(folder: Path, found: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write gradients.json, gradients.md and the pictures; print the tables."""
    write_json(folder / "gradients.json", {**found, **facts})
    pictures = ["bias.png", "variance.png"]
    draw_bias(found["exact"], folder / "bias.png")
    draw_variance(found["exact"], folder / "variance.png")
    tables = exact_tables(found["exact"])
    if "clips" in found:
        tables += clip_tables(found["clips"])
        draw_groups(found["clips"]["groups"], folder / "groups.png")
        pictures.append("groups.png")
        if any(group["rollouts_per_clip"] for group in found["clips"]["groups"].values()):
            draw_rollouts(found["clips"]["groups"], folder / "rollouts.png")
            pictures.append("rollouts.png")
    text = markdown(tables, pictures, facts)
    write_whole(folder / "gradients.md", lambda file: file.write(text.encode()))
    console = Console()
    for table in tables:
        shown = RichTable(title=table.title, caption=table.note)
        for column in table.columns:
            shown.add_column(column, no_wrap=column == "method")
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    print(f"Report: {folder / 'gradients.md'}   figures: {folder / 'gradients.json'}   pictures: {', '.join(pictures)}")


def exact_tables(exact: dict[str, Any]) -> list[Table]:
    """A table for each case of the tiny problem."""
    tables = []
    for case, found in exact["cases"].items():
        linear = ", ".join(f"{share:.2f}" for share in found["additive_r2"])
        total = exact["estimates"] * exact["rollouts"]
        limit = next(iter(found["methods"].values()))["limit"]
        note = (
            f"{found['joint_decisions']} joint decisions of each of {found['clips']} clips, enumerated; the best additive "
            f"fit of the reward has R2 {linear}. {exact['estimates']} estimates of {exact['rollouts']} rollouts, "
            f"N = {total:,} each; a coordinate of {found['coordinates']} beyond {limit:.2f} standard errors is bias at "
            f"level {LEVEL:g} over all (Bonferroni, Student's t). PPO: its first update, every ratio at 1"
        )
        columns = ("method", "bias", "largest z", "p", "relative bias", "noise floor", "cosine")
        rows = [
            (
                method,
                "biased" if row["biased"] else "none found",
                f"{row['max_z']:.1f}",
                f"{row['p']:.2g}",
                f"{row['relative']:.3f}",
                f"{row['floor']:.3f}",
                f"{row['cosine']:.3f}",
            )
            for method, row in found["methods"].items()
        ]
        tables.append(Table(f"Against the exact gradient, {case} gates", note, columns, rows))
        columns = ("method", "signal / noise", "variance", "passes forward", "backward", "CPU ms", "variance x ms")
        rows = [
            (
                method,
                f"{row['snr']:.3g}",
                f"{row['variance']:.3g}",
                f"{row['forward_passes']:.2f}",
                f"{row['backward_passes']:.2f}",
                f"{1e3 * row['seconds']:.1f}",
                f"{1e3 * row['variance_times_seconds']:.3g}",
            )
            for method, row in found["methods"].items()
        ]
        note = f"{PASSES}. Of one estimate of {exact['rollouts']} rollouts; the variance is summed over coordinates"
        tables.append(Table(f"Variance and what it costs, {case} gates", note, columns, rows))
    return tables


def clip_tables(clips: dict[str, Any]) -> list[Table]:
    """Cosines over group sizes at equal clips and equal compute, their parts, and cosines over rollouts per clip."""
    groups = clips["groups"]
    precision = "; ".join(
        f"{size}: {group['reference']['precision']:.3f} by all pairs, {group['reference']['split_half_precision']:.3f} by "
        f"two halves ({group['reference']['rollouts']:,} of {group['reference']['method']})"
        for size, group in groups.items()
    )
    where = f"Gates {clips['gates']}, cost weight {clips['cost_weight']:g}"
    ratios = [ratio for group in groups.values() for ratio in group["time_ratios"].values()]
    header = ("method", *(f"group {size}" for size in groups))
    tables = []
    for key, title, note in (
        (
            "equal_clips",
            "Cosine of one estimate with the reference, equal clips",
            f"{where}; 128 rollouts or clips an estimate. Mean +- standard error, the reference's own noise taken out. "
            f"Cosine of each reference with the truth: {precision}",
        ),
        (
            "equal_compute",
            "The same at equal compute",
            "As many rollouts or clips (in brackets) as go into the CPU time of leave-one-out with 16 clips x 8, measured in "
            f"turn; those that took others than 128 then took {min(ratios):.2f} to {max(ratios):.2f} of its time",
        ),
    ):
        rows = []
        for method in next(iter(groups.values()))[key]:
            cells = []
            for group in groups.values():
                row = group[key][method]
                clips_taken = f" ({row['rollouts']})" if key == "equal_compute" else ""
                cells.append(f"{_pair(row['cosine'], row['cosine_se'])}{clips_taken}")
            rows.append((method, *cells))
        tables.append(Table(title, note, header, rows))
    for key, title, note in (
        (
            "own_cosine",
            "Cosine of one estimate with its own expectation, equal clips",
            "sqrt(|E g|^2 / E |g|^2) from pairs of estimates, no reference needed; below the cosine with the reference only "
            "by chance, above it by bias",
        ),
        ("cosine_of_expectation", "Cosine of the expectation with the reference", "1 without bias, but for noise"),
        ("snr", "Signal to noise of one estimate, equal clips", "|E g|^2 over the variance, from pairs of estimates"),
    ):
        rows = [
            (method, *(_number(group["equal_clips"][method][key]) for group in groups.values()))
            for method in next(iter(groups.values()))["equal_clips"]
        ]
        tables.append(Table(title, note, header, rows))
    tables.append(_costs(groups))
    for size, group in groups.items():
        if group["rollouts_per_clip"]:
            sweep = group["rollouts_per_clip"]
            columns = ("method", *(f"{count} rollouts" for count in sweep))
            rows = [
                (
                    method,
                    *(
                        f"{_pair(found[method]['cosine'], found[method]['cosine_se'])}, {1e3 * found[method]['seconds']:.0f} ms"
                        for found in sweep.values()
                    ),
                )
                for method in next(iter(sweep.values()))
            ]
            note = "128 rollouts in all; cosine of one estimate with the reference, and its CPU time"
            tables.append(Table(f"Over rollouts per clip, groups of {size}", note, columns, rows))
    return tables


def _costs(groups: dict[str, Any]) -> Table:
    size, group = next(iter(groups.items()))
    one = group["equal_clips"]["reinforce"]
    rows = [
        (
            method,
            f"{row['forward_passes']:.2f}",
            f"{row['backward_passes']:.2f}",
            f"{1e3 * row['seconds']:.0f}",
            f"{row['variance'] * row['seconds'] / (one['variance'] * one['seconds']):.3f}",
        )
        for method, row in group["equal_clips"].items()
    ]
    note = f"{PASSES}. CPU time of an estimate of 128, one thread, medians of turns"
    columns = ("method", "passes forward", "backward", "CPU ms", "variance x time, leave-one-out = 1")
    return Table(f"What an estimate costs, groups of {size}", note, columns, rows)


def _pair(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:.3f} +- {error:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def markdown(tables: list[Table], pictures: list[str], facts: dict[str, Any]) -> str:
    """The report."""
    config = facts["config"]
    lines = [
        "# What a gradient is worth",
        "",
        f"`python -m experiments gradients --preset {config['preset']} --seed {config['seed']}`, commit {facts['commit']}, "
        f"{facts['machine']}. All figures: gradients.json.",
        "",
    ]
    lines += [f"![{picture.removesuffix('.png')}]({picture})" for picture in pictures]
    for table in tables:
        lines += ["", f"## {table.title}", "", f"{table.note}.", ""]
        lines += [f"| {' | '.join(table.columns)} |", f"|{'---|' * len(table.columns)}"]
        lines += [f"| {' | '.join(row)} |" for row in table.rows]
    return "\n".join(lines) + "\n"
