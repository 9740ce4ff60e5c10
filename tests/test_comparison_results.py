import json

import numpy as np
import pytest
from report_cases import row_of, table_of

from experiments.comparison.results import Key, collect, differences, fronts, gap
from experiments.config import Train
from experiments.statistics import interval


def finished_run(folder, correct, seconds):
    folder.mkdir()
    np.savez(folder / "clips.npz", correct=correct, macs_ratio=0.5 * np.ones(4), sampled_correct=correct,
             sampled_macs_ratio=np.ones(4), of_a_later_version=np.zeros(2))  # fmt: skip
    judged = {"swap": {"accuracy": 10.0, "follows": 80.0, "more": 1}, "pairs": {"right / left": 50.0}, "more": {}}
    (folder / "evaluation.json").write_text(json.dumps(judged))
    (folder / "result.json").write_text(json.dumps({"seconds": seconds, "clips": 96}))
    (folder / "learning.json").write_text("[]")
    return folder


def fixed_run(folder):
    folder.mkdir()
    arrays = {
        "correct": np.ones(4),
        "macs_ratio": np.ones(4),
        "sampled_correct": np.ones(4),
        "sampled_macs_ratio": np.ones(4),
    }
    np.savez(folder / "clips.npz", **{f"all use/{name}": values for name, values in arrays.items()})
    (folder / "evaluation.json").write_text(json.dumps({"all use": {"swap": None, "pairs": {}}}))
    return folder


def test_runs_are_grouped_over_seeds_and_apart_by_group_size(tmp_path):
    jobs = [
        Train(
            method="ppo",
            seed=seed,
            group_size=group,
            run=finished_run(tmp_path / f"{seed}-{group}", correct, 10.0 * seed),
        )
        for seed, correct in ((1, np.ones(4, bool)), (2, np.array([1, 0, 1, 0], bool)))
        for group in (1, 8)
    ]
    fixed = [Train(method="fixed", group_size=group, run=fixed_run(tmp_path / f"fixed{group}")) for group in (1, 8)]
    first, second = collect("arm", jobs, fixed, cluster=2, floor=0.5)
    assert (first.group_size, second.group_size) == (1, 8)
    (row,) = first.rows.values()
    assert row.figure("accuracy").mean == 75
    assert row.figure("seconds").mean == 15
    assert row.figure("swap_follows").mean == 80
    assert row.figure("what nobody measured") is None
    assert row.clips == 96
    assert row.runs["accuracy"].shape == (2001, 2)
    assert first.fixed["all use"].figure("accuracy") == (100, 100, 100)
    assert first.fixed["all use"].figure("swap_follows") is None


def test_methods_are_compared_at_the_same_cost_weight_only():
    table = table_of(gumbel=(0.8, 0.4))._replace(
        rows={Key("gumbel", 0.5, "log_prob"): row_of(0.8, 0.4), Key("ppo", 1.0, "log_prob"): row_of(0.9, 0.4)}
    )
    assert differences(table) == []


def test_a_difference_is_paired_by_clip_and_seed():
    table = table_of(gumbel=(0.80, 0.4), ppo=(0.83, 0.4), spread=0.1)
    (found,) = differences(table)
    apart = interval((table.rows[found.key].runs["accuracy"]).mean(-1))
    assert found.accuracy.mean == pytest.approx(3, abs=1)
    assert found.accuracy.high - found.accuracy.low < 0.3 * (apart.high - apart.low)
    assert found.cost == (0, 0, 0)


def test_a_front_needs_every_cost_weight():
    table = table_of(gumbel=[(0.9, 0.5), (0.8, 0.3)], ppo=[(0.9, 0.6), (0.8, 0.4)], once=[(0.9, 0.5)])
    assert list(fronts(table)) == ["gumbel", "ppo"]


def test_a_fronts_figures_are_those_of_its_points():
    front = fronts(table_of(gumbel=[(0.9, 0.5), (0.8, 0.3)], spread=0))["gumbel"]
    accuracy, cost = front.accuracy[0, 0], front.cost[0, 0]  # of the first seed
    by_hand = (accuracy[1] - 0.5) * (cost[0] - cost[1]) + (accuracy[0] - 0.5) * (1 - cost[0])
    assert front.volume()[0, 0] == pytest.approx(by_hand)
    assert front.cost_at(1.1)[0] == pytest.approx([np.inf] * 3)
    assert front.iqm()[0].mean == pytest.approx(accuracy.mean(), rel=1e-2)
    assert front.best_within(np.array([0.4, 0.9]))[0, 0] == pytest.approx(accuracy[::-1])


def test_a_gap_counts_the_seeds_that_agree():
    first, second = np.array([[3.0, 2.0, 0.0]] * 9), np.array([[1.0] * 3] * 9)
    assert gap(first, second)[:2] == ((2 / 3, 2 / 3, 2 / 3), 2)
    assert gap(first, second[:, :1]) is None
    assert gap(first, np.where(first == 2, np.inf, first)) is None
