"""Made-up results of a comparison, shared by the tests of its report."""

import numpy as np

from experiments.comparison.results import Key, Row, Table, runs_of
from experiments.statistics import over_seeds

CLIPS = 400


def arrays_of(accuracy, cost, seeds, spread, seed=0):
    """Per seed, what clips.npz holds: each run's accuracy and cost moved by the luck of its seed."""
    rng = np.random.default_rng(seed)
    easy = rng.random(CLIPS)  # the same clips are hard for every run
    luck = spread * rng.standard_normal((seeds, 2))
    return [
        {
            "correct": easy < accuracy + a,
            "macs_ratio": cost + c + 0.01 * rng.standard_normal(CLIPS),
            "sampled_correct": easy < accuracy + a,
            "sampled_macs_ratio": np.full(CLIPS, cost),
        }
        for a, c in luck
    ]


def row_of(accuracy, cost, *, seeds=3, spread=0.002, seed=0, pairs=()):
    curve = [{"clips": clips, "accuracy": 50 + clips, "cost": 1.0} for clips in (0, 10)]
    pairs = {name: over_seeds([100 * accuracy] * seeds) for name in pairs}
    runs = runs_of(arrays_of(accuracy, cost, seeds, spread, seed), cluster=2)
    return Row(runs, {"seconds": over_seeds([30.0] * seeds)}, pairs, [curve] * seeds, 10)


def table_of(*, arm="10 clips each", group_size=1, seeds=3, spread=0.002, **methods):
    """A table in which each method has (accuracy, cost) at cost weights 1, 2, ..."""
    rows = {
        Key(name, float(weight), "log_prob"): row_of(*point, seeds=seeds, spread=spread)
        for name, points in methods.items()
        for weight, point in enumerate(points if isinstance(points, list) else [points], start=1)
    }
    fixed = {"all use": row_of(0.5, 1.0, seeds=1), "shift 1/4": row_of(0.9, 0.97, seeds=1)}
    return Table(arm, group_size, rows, fixed, 0.5)
