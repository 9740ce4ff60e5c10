import json

import numpy as np
import pytest
from report_cases import row_of

from experiments.config import Train
from experiments.results import Key, collect, compare_methods


def finished_run(folder, correct, seconds):
    folder.mkdir()
    np.savez(folder / "clips.npz", correct=correct, macs_ratio=0.5 * np.ones(4), sampled_correct=correct,
             sampled_macs_ratio=np.ones(4))  # fmt: skip
    judged = {"swap": {"accuracy": 10.0, "follows": 80.0}, "pairs": {"right / left": 50.0}}
    (folder / "evaluation.json").write_text(json.dumps(judged))
    (folder / "result.json").write_text(json.dumps({"seconds": seconds, "clips": 96}))
    (folder / "learning.json").write_text("[]")
    return folder


def test_runs_are_grouped_over_seeds(tmp_path):
    jobs = [
        Train(method="ppo", seed=seed, run=finished_run(tmp_path / str(seed), correct, 10.0 * seed))
        for seed, correct in ((1, np.ones(4, bool)), (2, np.array([1, 0, 1, 0], bool)))
    ]
    (row,) = collect(jobs, cluster=2).values()
    assert row.figures["accuracy"].mean == 75
    assert row.figures["seconds"].mean == 15
    assert row.figures["swap_follows"].mean == 80
    assert row.clips == 96
    assert row.arrays["correct"].shape == (2, 4)


def test_methods_are_compared_at_the_same_cost_weight_only():
    rows = {Key("gumbel", 0.5, "log_prob"): row_of(0.8, 0.4), Key("ppo", 1.0, "log_prob"): row_of(0.9, 0.4)}
    assert compare_methods(rows, 1) == []


def test_a_difference_is_paired_clip_by_clip():
    same = row_of(0.8, 0.4)
    better = same._replace(arrays={**same.arrays, "correct": same.arrays["correct"] | (np.arange(400) < 40)})
    rows = {Key("gumbel", 1.0, "log_prob"): same, Key("ppo", 1.0, "log_prob"): better}
    (found,) = compare_methods(rows, 1)
    assert found["accuracy"].mean == pytest.approx(
        100 * (better.arrays["correct"].mean() - same.arrays["correct"].mean())
    )
    assert found["cost"] == (0, 0, 0)
