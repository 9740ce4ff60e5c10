"""Made-up results of a comparison, shared by the tests of its report."""

import numpy as np

from experiments.results import Key, Row
from experiments.statistics import bootstrap

FIXED = {
    name: {
        "greedy": {"accuracy": [accuracy] * 3, "cost": [cost] * 3},
        "sampled": {"accuracy": [accuracy] * 3, "cost": [cost] * 3},
        "swap": None,
        "pairs": {},
    }
    for name, accuracy, cost in (("all use", 50.0, 1.0), ("shift 1/4", 90.0, 0.97))
}


def row_of(accuracy, cost, seeds=3, clips=400):
    rng = np.random.default_rng(0)
    arrays = {
        "correct": rng.random((seeds, clips)) < accuracy,
        "macs_ratio": cost + 0.01 * rng.standard_normal((seeds, clips)),
    }
    figures = {"accuracy": bootstrap(100 * arrays["correct"]), "cost": bootstrap(arrays["macs_ratio"])}
    curve = [{"clips": clips, "accuracy": 50 + clips, "cost": 1.0} for clips in (0, 10)]
    return Row(figures, arrays, {}, [curve] * seeds, 10)


def rows_of(**methods):
    return {Key(name, 1.0, "log_prob"): row_of(*figures) for name, figures in methods.items()}
