"""Made-up results of a comparison, shared by the tests of its report."""

from dataclasses import replace

import numpy as np

from envs.clips import ClipSource
from experiments.analysis.confusion import count
from experiments.comparison.results import ComparedRun, JudgedClips, Results
from experiments.comparison.tables import Table, tables_of
from experiments.config import Compare, to_json

CLIPS = 400
CLASSES = ("right", "left", "up", "down")
TEST = JudgedClips(np.arange(CLIPS) // 2 % 2 * 2 + np.arange(CLIPS) % 2, CLASSES, (1, 0, 3, 2), 2, 0.5, 0)
TRAINING = {
    "learning_rate": 0.01, "warmup": 0.2, "num_clips": 8, "rollouts_per_clip": 8, "batch_size": 32,
    "rollouts": 1280, "clips_drawn": 160, "updates": 20, "clipped_updates": 0.1, "seconds": 30.0,
}  # fmt: skip


class Listed(ClipSource):
    """Test clips as far as a report asks: nobody looks at them."""

    def frames(self, indices):
        raise NotImplementedError


JUDGED_ON = Listed(
    classes=CLASSES, labels=TEST.labels, names=["x"] * CLIPS, num_frames=8, size=32, data_hash="f00d",
    reversals=np.arange(CLIPS) ^ 1, reversed_class=TEST.reversed_class,
)  # fmt: skip
BETTER = {"": (0.0, 0.0), "sampled_": (-0.005, 0.002), "top_k_": (0.002, 0.001)}  # than greedy, made-up as well


def arrays_of(accuracy, cost, luck=(0.0, 0.0), seed=0):
    """What clips.npz holds of one run."""
    rng = np.random.default_rng(seed)
    easy, dear = rng.random(CLIPS), 0.01 * rng.standard_normal(CLIPS)  # the same clips are hard, or dear, for every run
    arrays = {}
    for start, (more, dearer) in BETTER.items():
        arrays[f"{start}correct"] = easy < accuracy + luck[0] + more
        arrays[f"{start}macs_ratio"] = np.maximum(cost + dearer + luck[1] + dear, 0)
    return {**arrays, "swap_correct": easy < accuracy + luck[0] - 0.1, "swap_follows": easy > accuracy + luck[0]}


def runs_of(method, accuracy, cost, *, weight=1.0, seeds=3, spread=0.002, seed=0, arm="10 rollouts each", group=1):
    """A run of each seed, moved by its luck."""
    luck = spread * np.random.default_rng(seed).standard_normal((seeds, 2))
    curve = [
        {
            "rollouts": 8 * clips,
            "clips_drawn": clips,
            "updates": clips,
            "accuracy": 50 + clips,
            "cost": 1.0,
            "log_prob": -1,
        }
        for clips in (0, 10)
    ]
    return [
        ComparedRun(
            arm, method, group, float(weight), "log_prob", number, dict(TRAINING), curve, arrays_of(accuracy, cost, own)
        )
        for number, own in enumerate(luck)
    ]


def fixed_of(name, accuracy, cost, group=1):
    played = {
        key: values for key, values in arrays_of(accuracy, cost).items() if not key.startswith(("sampled", "top_k"))
    }
    return ComparedRun("", name, group, 0.0, "", 0, clips={**played, "macs_ratio": np.full(CLIPS, cost)})


def results_of(*, arm="10 rollouts each", group_size=1, seeds=3, spread=0.002, facts=None, **methods):
    """Results in which each method has (accuracy, cost) at cost weights 1, 2, ..."""
    runs = [
        run
        for name, points in methods.items()
        for weight, point in enumerate(points if isinstance(points, list) else [points], start=1)
        for run in runs_of(name, *point, weight=weight, seeds=seeds, spread=spread, arm=arm, group=group_size)
    ]
    fixed = [fixed_of("all use", 0.5, 1.0, group_size), fixed_of("shift 1/4", 0.9, 0.97, group_size)]
    return Results(runs, fixed, TEST, facts or {})


def table_of(**kwargs) -> Table:
    """The table of ``results_of``."""
    (table,) = tables_of(results_of(**kwargs))
    return table


def facts_of(**options) -> dict:
    """What a comparison writes about itself."""
    return {
        "config": to_json(replace(Compare(**options).settled(), workers=2)),
        "packages": {"torch": "2"},
        "machine": "a machine",
        "seconds": 60.0,
        "python": "3.11",
        "commit": "c0ffee",
        "data": {"test": "f00d"},
        "rates": {"gumbel-g1": {"rollouts_per_second": 500.0}},
    }


def with_confusions(results: Results) -> Results:
    """The same, as it is since runs keep what clips of each class were taken for: whatever is wrong is the next class."""
    labels = results.test.labels

    def confused(run: ComparedRun) -> ComparedRun:
        answers = np.where(run.clips["correct"], labels, (labels + 1) % len(CLASSES))
        return replace(run, confusion=count(labels, answers, CLASSES))

    return replace(results, runs=list(map(confused, results.runs)), fixed=list(map(confused, results.fixed)))
