"""The pictures of estimators: bias, variance and its price, direction over group sizes, rollouts and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments.analysis.pictures import BLUE, VERMILION, plt, save_figure

COLOURS = {False: BLUE, True: VERMILION, None: "#999999"}  # found unbiased, found biased, cannot be told
CASES = {"initial": "o", "perturbed": "s"}
MARKERS = "osD^vP*X<>ph"


def draw_bias(exact: dict[str, Any], path: Path) -> None:
    """The largest deviation from the exact gradient of each method's mean."""
    cases = exact["cases"]
    methods = list(cases["initial"]["methods"])
    figure, axes = plt.subplots(figsize=(8, 0.35 * len(methods) + 1.5))
    for case, marker in CASES.items():
        found = cases[case]["methods"]
        colours = [COLOURS[found[method]["biased"]] for method in methods]
        largest = [found[method]["max_t"] for method in methods]
        axes.scatter(largest, range(len(methods)), c=colours, marker=marker, label=f"{case} gates", zorder=3)
    axes.set_xscale("log")
    axes.set_yticks(range(len(methods)), methods)
    axes.invert_yaxis()
    total = exact["estimates"] * exact["rollouts"]
    axes.set_xlabel("largest deviation of a coordinate from the exact gradient, standard errors")
    axes.set_title(f"Bias, N = {total:,} rollouts each (orange: biased, grey: cannot be told)")
    axes.grid(alpha=0.3, axis="x", which="both")
    axes.legend(fontsize=8)
    save_figure(figure, path)


def draw_variance(exact: dict[str, Any], path: Path) -> None:
    """Variance of an estimate, and variance times CPU time, on the tiny problem; relative to leave-one-out."""
    methods = list(exact["cases"]["initial"]["methods"])
    figure, grid = plt.subplots(1, 2, figsize=(11, 0.35 * len(methods) + 1.5), sharey=True)
    titles = {"variance": "variance", "variance_times_seconds": "variance x CPU time"}
    for axes, (key, title) in zip(grid, titles.items()):
        for offset, case in zip((-0.2, 0.2), CASES):
            found = exact["cases"][case]["methods"]
            values = [found[method][key] / found["reinforce"][key] for method in methods]
            colours = [COLOURS[found[method]["biased"]] for method in methods]
            places = np.arange(len(methods)) + offset
            axes.barh(places, values, 0.38, color=colours, alpha=1.0 if case == "perturbed" else 0.5)
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log")
        axes.set_xlabel(f"{title}, leave-one-out = 1")
        axes.grid(alpha=0.3, axis="x", which="both")
    grid[0].set_yticks(range(len(methods)), methods)
    grid[0].invert_yaxis()
    figure.suptitle(
        "Tiny problem, equal rollouts (pale: initial gates, full: perturbed; orange: biased, grey: cannot be told)"
    )
    save_figure(figure, path)


def _lines(axes: Any, points: dict[str, list[tuple[float, dict[str, Any]]]]) -> None:
    """A line of cosines for each method."""
    colours = plt.get_cmap("tab20")
    for number, (method, along) in enumerate(points.items()):
        shown = [(x, row) for x, row in along if row["cosine"] is not None]
        if not shown:
            continue
        axes.errorbar(
            [x for x, _ in shown],
            [row["cosine"] for _, row in shown],
            yerr=[row["cosine_se"] for _, row in shown],
            color=colours(number % 20),
            marker=MARKERS[number % len(MARKERS)],
            linestyle="--" if all(row["backward_passes"] > 0 for _, row in shown) else "-",
            markersize=5,
            capsize=2,
            label=method,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def draw_groups(groups: dict[str, Any], path: Path) -> None:
    """Cosine of one estimate with the reference against the group size, at equal rollouts and at equal compute."""
    figure, grid = plt.subplots(1, 2, figsize=(12, 5), sharey=True)
    titles = {
        "equal_rollouts": "equal rollouts: 128",
        "equal_compute": "equal compute: CPU time of 128 leave-one-out rollouts",
    }
    for axes, (key, title) in zip(grid, titles.items()):
        methods = next(iter(groups.values()))[key]
        _lines(axes, {name: [(int(size), group[key][name]) for size, group in groups.items()] for name in methods})
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("group size, channels a decision")
    grid[0].set_ylabel("cosine of one estimate with the reference")
    grid[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.suptitle("Direction of one gradient on real clips (dashed: through the CNN; bars: standard errors)")
    save_figure(figure, path)


def draw_rollouts(groups: dict[str, Any], path: Path) -> None:
    """Cosine of one estimate against rollouts per clip, 128 rollouts in all."""
    size, group = next((size, group) for size, group in groups.items() if group["rollouts_per_clip"])
    sweep = group["rollouts_per_clip"]
    figure, axes = plt.subplots(figsize=(7, 4.5))
    methods = next(iter(sweep.values()))
    _lines(axes, {name: [(int(count), found[name]) for count, found in sweep.items()] for name in methods})
    axes.set_xlabel("rollouts per clip, 128 in all")
    axes.set_ylabel("cosine of one estimate with the reference")
    axes.set_title(f"Few clips or few rollouts of each, groups of {size}")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    save_figure(figure, path)


def draw_along(along: dict[str, Any], path: Path) -> None:
    """Cosines of one estimate and of the expectation with the truth against the share of training, a column a run."""
    figure, grid = plt.subplots(2, len(along), figsize=(5.5 * len(along) + 1.5, 8), sharey="row", squeeze=False)
    keys = {
        "cosine": "cosine of one estimate with the truth",
        "expectation": "cosine of the expectation with the truth",
    }
    colours = plt.get_cmap("tab10")
    for column, (folder, run) in zip(grid.T, along.items()):
        column[0].set_title(
            f"{folder} ({run['method']}, w = {run['cost_weight']:g}, groups of {run['group_size']})", fontsize=9
        )
        for axes, key in zip(column, keys):
            for number, method in enumerate(run["points"][0]["methods"]):
                shown = [point for point in run["points"] if point["methods"][method][key] is not None]
                rows = [point["methods"][method] for point in shown]
                axes.errorbar(
                    [point["share"] + 0.006 * number for point in shown],  # side by side: bars can be told apart
                    [row[key] for row in rows],
                    yerr=[row[f"{key}_se"] for row in rows],
                    color=colours(number % 10),
                    marker=MARKERS[number % len(MARKERS)],
                    markersize=5,
                    capsize=2,
                    label=method,
                )
            axes.axhline(0, color="black", linewidth=0.8)
            axes.set_xlim(-0.04, 1.08)  # the whole of training, though what drowned is left out
            axes.grid(alpha=0.3)
        column[1].axhline(1, color="black", linewidth=0.8, linestyle=":")
        column[1].set_xlabel("share of training")
    for axes, label in zip(grid[:, 0], keys.values()):
        axes.set_ylabel(label)
    grid[0, -1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.suptitle("Gradients along training (bars: standard errors)")
    save_figure(figure, path)
