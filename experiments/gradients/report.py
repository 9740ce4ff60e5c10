"""The figures of estimators as tables, JSON and pictures."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table as RichTable

from backbone.common.files import write_json, write_whole
from experiments.analysis.tables import as_markdown
from experiments.config import Gradients, to_json
from experiments.gradients.pictures import draw_along, draw_bias, draw_groups, draw_rollouts, draw_variance
from experiments.gradients.statistics import LEVEL, SCARCE, can_be_told

PASSES = (
    "Passes through the CNN are a rollout's share of a dense clip's convolutions in MACs, counted by running; backward "
    "means the gradients of their inputs"
)

EQUAL_ROLLOUTS = (
    "128 rollouts an estimate: of 16 clips drawn, 8 each, for methods that play a clip several times; of 128 clips drawn "
    "for those that pass each once"
)
VERDICTS = {True: "biased", False: "none found", None: "cannot be told"}


class Table(NamedTuple):
    """A title, a sentence on what is shown, column names, rows of text."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def write_report(folder: Path, found: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write gradients.json, and from it all that ``rebuild`` does; print the tables."""
    write_json(folder / "gradients.json", {**found, **facts})
    tables = rebuild(folder, folder)
    console = Console()
    for table in tables:
        shown = RichTable(title=table.title, caption=table.note)
        for column in table.columns:
            shown.add_column(column, no_wrap=column == "method")
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    print(f"Report and pictures: {folder / 'gradients.md'}   figures: {folder / 'gradients.json'}")


def rebuild(folder: Path, out: Path) -> list[Table]:
    """Write gradients.md and the pictures to ``out`` from gradients.json in ``folder`` alone; returns the tables."""
    found = json.loads((folder / "gradients.json").read_text())
    out.mkdir(parents=True, exist_ok=True)
    tables: list[Table] = []
    pictures: list[tuple[Callable[[dict[str, Any], Path], None], str, dict[str, Any]]] = []
    if "exact" in found:
        tables += exact_tables(found["exact"])
        pictures += [(draw_bias, "bias", found["exact"]), (draw_variance, "variance", found["exact"])]
    if "clips" in found:
        groups = found["clips"]["groups"]
        tables += clip_tables(found["clips"])
        pictures.append((draw_groups, "groups", groups))
        if any(group["rollouts_per_clip"] for group in groups.values()):
            pictures.append((draw_rollouts, "rollouts", groups))
    if "along" in found:
        tables += along_tables(found["along"])
        pictures.append((draw_along, "along", found["along"]))
    for draw, name, figures in pictures:
        draw(figures, out / f"{name}.png")
    text = markdown(tables, [f"{name}.png" for _, name, _ in pictures], found)
    write_whole(out / "gradients.md", lambda file: file.write(text.encode()))
    return tables


def exact_tables(exact: dict[str, Any]) -> list[Table]:
    """A table for each case of the tiny problem."""
    tables, tests = [], sum(len(found["methods"]) for found in exact["cases"].values())
    for case, found in exact["cases"].items():
        linear = ", ".join(f"{share:.2f}" for share in found["additive_r2"])
        total = exact["estimates"] * exact["rollouts"]
        note = (
            f"{found['joint_decisions']} joint decisions of each of {found['clips']} clips, enumerated; the best additive "
            f"fit of the reward has R2 {linear}. {exact['estimates']} estimates of {exact['rollouts']} rollouts, "
            f"N = {total:,} each. p is that of the largest deviation among {found['coordinates']} coordinates, in "
            f"standard errors, by the studentised bootstrap of that maximum, corrected for all {tests} tests of this report "
            f"(Holm); biased means p below {LEVEL:g}. PPO: its first update, every ratio at 1"
        )
        if not can_be_told(found["lack"], found["coordinates"]):
            note += (
                f". Bias cannot be told at gates this certain: joint decisions that are expected fewer than {SCARCE:.1f} times "
                f"in such a sample carry {found['lack']:,.0f} standard errors of the gradient, and a sample without them "
                "does not show it"
            )
        elif rare := [method for method, row in found["methods"].items() if row["biased"] is None]:
            note += (
                f". Bias of {', '.join(rare)} cannot be told from these estimates: a coordinate is other than usual in so few "
                "of them that resamples without any, which have no spread there, keep p above the level whatever else is seen"
            )
        columns = ("method", "bias", "largest t", "p", "relative bias", "noise floor", "cosine")
        rows = [
            (
                method,
                VERDICTS[row["biased"]],
                f"{row['max_t']:.1f}",
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
    """Cosines over group sizes at equal rollouts and equal compute, their parts, and cosines over rollouts per clip."""
    groups = clips["groups"]
    precision = "; ".join(
        f"{size}: {group['reference']['precision']:.3f} by all pairs, {group['reference']['split_half_precision']:.3f} by "
        f"two halves ({group['reference']['rollouts']:,} of {group['reference']['method']})"
        for size, group in groups.items()
    )
    where = f"Initial gates, cost weight {clips['cost_weight']:g}"
    ratios = [ratio for group in groups.values() for ratio in group["time_ratios"].values()]
    header = ("method", *(f"group {size}" for size in groups))
    tables = []
    for key, title, note in (
        (
            "equal_rollouts",
            "Cosine of one estimate with the reference, equal rollouts",
            f"{where}; {EQUAL_ROLLOUTS}. Mean +- standard error, the reference's own noise taken out. "
            f"Cosine of each reference with the truth: {precision}",
        ),
        (
            "equal_compute",
            "The same at equal compute",
            "As many rollouts (in brackets) as go into the CPU time of leave-one-out with 16 clips x 8, measured in "
            f"turn; those that played others than 128 then took {min(ratios):.2f} to {max(ratios):.2f} of its time",
        ),
    ):
        rows = []
        for method in next(iter(groups.values()))[key]:
            cells = []
            for group in groups.values():
                row = group[key][method]
                played = f" ({row['rollouts']})" if key == "equal_compute" else ""
                cells.append(f"{_pair(row['cosine'], row['cosine_se'])}{played}")
            rows.append((method, *cells))
        tables.append(Table(title, note, header, rows))
    for key, title, note in (
        (
            "own_cosine",
            "Cosine of one estimate with its own expectation, equal rollouts",
            "sqrt(|E g|^2 / E |g|^2) from pairs of estimates, no reference needed; below the cosine with the reference only "
            "by chance, above it by bias",
        ),
        ("cosine_of_expectation", "Cosine of the expectation with the reference", "1 without bias, but for noise"),
        (
            "snr",
            "Signal to noise of one estimate, equal rollouts",
            "|E g|^2 over the variance, from pairs of estimates",
        ),
    ):
        rows = [
            (method, *(_number(group["equal_rollouts"][method][key]) for group in groups.values()))
            for method in next(iter(groups.values()))["equal_rollouts"]
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
    one = group["equal_rollouts"]["reinforce"]
    rows = [
        (
            method,
            f"{row['forward_passes']:.2f}",
            f"{row['backward_passes']:.2f}",
            f"{1e3 * row['seconds']:.0f}",
            f"{row['variance'] * row['seconds'] / (one['variance'] * one['seconds']):.3f}",
        )
        for method, row in group["equal_rollouts"].items()
    ]
    note = f"{PASSES}. CPU time of an estimate of 128 rollouts, one thread, medians of turns"
    columns = ("method", "passes forward", "backward", "CPU ms", "variance x time, leave-one-out = 1")
    return Table(f"What an estimate costs, groups of {size}", note, columns, rows)


def along_tables(along: dict[str, Any]) -> list[Table]:
    """For each run: cosines of one estimate and of the expectation, signal to noise, over shares of training."""
    tables = []
    for folder, run in along.items():
        points = run["points"]
        header = ("method", *(f"{point['share']:.0%}" for point in points))
        name = f"along the training of {folder}"
        where = (
            f"{run['method']}, cost weight {run['cost_weight']:g}, groups of {run['group_size']}, seed {run['seed']}"
        )
        if run["difference"] is not None:
            end = (
                f"within {run['difference']:.1g} of its checkpoint's weights"
                if run["difference"]
                else "in its very weights"
            )
            where += f"; what lies between start and checkpoint is from training it again, which ended {end}"
        reference = {
            "cost weight": [f"{point['cost_weight']:g}" for point in points],
            "rollouts": [
                ", ".join(f"{method} {count:,}" for method, count in point["reference"]["rollouts"].items())
                for point in points
            ],
            "weights": [
                ", ".join(f"{method} {weight:.2f}" for method, weight in point["reference"]["weights"].items())
                for point in points
            ],
            "cosine with the truth": [f"{point['reference']['precision']:.2f}" for point in points],
            "agreement of the two": [_number(point["reference"]["agreement"]) for point in points],
        }
        note = (
            f"{where}. Estimates of two unbiased methods, pooled with the inverse of their means' variances as weights; "
            "agreement is the cosine between their two expectations, 1 but for noise, which is taken out"
        )
        tables.append(
            Table(f"Reference, {name}", note, ("", *header[1:]), [(key, *row) for key, row in reference.items()])
        )
        for key, title, note in (
            ("cosine", "Cosine of one estimate with the truth", EQUAL_ROLLOUTS),
            ("expectation", "Cosine of the expectation with the truth", "1 without bias, but for noise and a factor"),
        ):
            note += (
                ". Noise of the reference is taken out; +- standard error, by the jackknife over estimates and reference; "
                "- where either is not above zero by two standard errors"
            )
            rows = [
                (
                    method,
                    *(_pair(point["methods"][method][key], point["methods"][method][f"{key}_se"]) for point in points),
                )
                for method in points[0]["methods"]
            ]
            tables.append(Table(f"{title}, {name}", note, header, rows))
        rows = [
            (method, *(_number(point["methods"][method]["snr"]) for point in points)) for method in points[0]["methods"]
        ]
        note = "|E g|^2 over the variance of one estimate of 128 rollouts, from pairs of estimates; below zero by noise"
        tables.append(Table(f"Signal to noise, {name}", note, header, rows))
    return tables


def _pair(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:.3f} +- {error:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def command(config: dict[str, Any]) -> str:
    """The command line of a configuration, every option that is not the usual one."""
    return shlex.join(["python", "-m", "experiments", "gradients", *_options(config, to_json(Gradients()))])


def _options(config: dict[str, Any], usual: dict[str, Any], prefix: str = "--") -> Iterator[str]:
    for name, value in config.items():
        option = prefix + name.replace("_", "-")
        if isinstance(value, dict):
            yield from _options(value, usual[name], f"{option}.")
        elif value != usual.get(name):
            if isinstance(value, bool):
                yield option
            else:
                yield from (option, *map(str, value if isinstance(value, list) else [value]))


def markdown(tables: list[Table], pictures: list[str], facts: dict[str, Any]) -> str:
    """The report."""
    lines = [
        "# What a gradient is worth",
        "",
        f"`{command(facts['config'])}`, commit {facts['commit']}, {facts['machine']}. All figures: gradients.json.",
        "",
    ]
    lines += [f"![{picture.removesuffix('.png')}]({picture})" for picture in pictures]
    for table in tables:
        lines += ["", f"## {table.title}", "", f"{table.note}.", "", as_markdown(table.columns, table.rows)]
    return "\n".join(lines) + "\n"
