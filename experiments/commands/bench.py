"""Speeds as ratios, measured side by side: the only place where speed is judged."""

from __future__ import annotations

from collections.abc import Callable

import torch
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
from experiments.bench.operators import operator_ratios
from experiments.bench.rollouts import rollout_ratios
from experiments.bench.sparse import sparse_ratios
from experiments.config import Bench
from experiments.machine import provenance, set_up_cpu

PARTS: dict[str, Callable[[Bench], list[Ratio]]] = {
    "environment": lambda config: environment_ratios(config.clips, config.repeats),
    "rollouts": lambda config: rollout_ratios(config.repeats),
    "episodes": lambda config: episode_ratios(config.repeats),
    "cnn": lambda config: cnn_ratios(config.repeats, config.size),
    "cpu-ops": lambda config: operator_ratios(),
    "data": lambda config: data_ratios(config.repeats),
    "dataset": lambda config: dataset_ratios(config.videos, config.repeats),
    "sparse": lambda config: sparse_ratios(
        config.architectures, config.groups, config.runs, config.repeats, config.size, torch.get_num_threads()
    ),
    "fuzz": lambda config: report_fuzz(config.files),
}
ON_REQUEST = ("sparse", "fuzz")  # take many minutes


def run(config: Bench) -> None:
    """Measure the parts asked for, print, and write JSON if a file is named. One thread, but for sparse."""
    if unknown := [part for part in config.parts if part not in PARTS]:
        raise ValueError(
            f"expected parts among {', '.join(PARTS)}; got {', '.join(unknown)}{did_you_mean(unknown, PARTS)}"
        )
    parts = config.parts or [part for part in PARTS if part not in ON_REQUEST]
    alone = list(parts) == ["sparse"]
    if config.threads != 1 and not alone:
        raise ValueError(f"expected sparse alone with --threads, got {', '.join(parts)}: the others take one thread")
    set_up_cpu(config.threads)
    ratios = [ratio for part in parts for ratio in PARTS[part](config)]
    threads = torch.get_num_threads()
    table = Table(
        title=f"{'one thread' if threads == 1 else f'{threads} threads'}, medians of up to {config.repeats} interleaved pairs"
    )
    for column in ("measure", "ratio", "quartiles", "wanted", "met"):
        table.add_column(column)
    for found in ratios:
        quartiles = f"{found.low:.3g} to {found.high:.3g}"
        table.add_row(found.name, f"{found.ratio:.3g}", quartiles, found.wanted, "yes" if found.met else "no")
    Console().print(table)
    if config.json is not None:
        write_json(config.json, {"ratios": [found._asdict() for found in ratios], **provenance()})
