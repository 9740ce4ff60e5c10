"""The runs of a comparison, grouped and put between intervals."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.config import Train
from experiments.statistics import Interval, bootstrap, over_seeds

RELAXATION = "gumbel"


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
