"""Speeds as ratios, measured side by side: the only place where speed is judged."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from backbone.common.files import write_json
from backbone.common.naming import did_you_mean
from experiments.bench.cnn import cnn_ratios
from experiments.bench.data import data_ratios, report_fuzz
from experiments.bench.dataset import dataset_ratios
from experiments.bench.environment import environment_ratios
from experiments.bench.episodes import episode_ratios
from experiments.bench.measure import Ratio
from experiments.bench.rollouts import rollout_ratios
from experiments.bench.scaling import scaling_ratios
from experiments.config import Bench
from experiments.machine import provenance, set_up_cpu

PARTS: dict[str, Callable[[Bench], list[Ratio]]] = {
    "environment": lambda config: environment_ratios(config.clips, config.repeats),
    "rollouts": lambda config: rollout_ratios(config.repeats),
    "episodes": lambda config: episode_ratios(config.repeats),
    "cnn": lambda config: cnn_ratios(config.repeats, config.size),
    "data": lambda config: data_ratios(config.repeats),
    "dataset": lambda config: dataset_ratios(config.videos, config.repeats),
    "scaling": lambda config: scaling_ratios(config.repeats),
    "fuzz": lambda config: report_fuzz(config.files),
}
ON_REQUEST = ("scaling", "fuzz")  # the first takes all cores, the other many minutes


def run(config: Bench) -> None:
    """Measure the parts asked for, print, and write JSON if a file is named. One thread."""
    if unknown := [part for part in config.parts if part not in PARTS]:
        raise ValueError(
            f"expected parts among {', '.join(PARTS)}; got {', '.join(unknown)}{did_you_mean(unknown, PARTS)}"
        )
    set_up_cpu(1)
    parts = config.parts or [part for part in PARTS if part not in ON_REQUEST]
    ratios = [ratio for part in parts for ratio in PARTS[part](config)]
    table = Table(title=f"one thread, medians of up to {config.repeats} interleaved pairs")
    for column in ("measure", "ratio", "quartiles", "wanted", "met"):
        table.add_column(column)
    for found in ratios:
        quartiles = f"{found.low:.3g} to {found.high:.3g}"
        table.add_row(found.name, f"{found.ratio:.3g}", quartiles, found.wanted, "yes" if found.met else "no")
    Console().print(table)
    if config.json is not None:
        write_json(config.json, {"ratios": [found._asdict() for found in ratios], **provenance()})
