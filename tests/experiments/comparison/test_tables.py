"""Rows and fronts over seeds and clips."""

from dataclasses import replace

import numpy as np
import pytest
from report_cases import CLIPS, TEST, fixed_of, results_of, runs_of, table_of, with_confusions

from experiments.analysis.confusion import to_matrix
from experiments.analysis.fronts import hull, hypervolume
from experiments.analysis.statistics import CLIPS as OVER_CLIPS
from experiments.analysis.statistics import RESAMPLES, SEEDS_AND_CLIPS
from experiments.comparison.tables import SELECTIONS, Key, fronts, tables_of

GUMBEL = [(0.9, 0.4), (0.8, 0.2)]


def test_a_row_has_the_figures_of_its_seeds():
    (row,) = table_of(gumbel=(0.9, 0.3), spread=0.02).rows.values()
    (first, *_) = runs_of("gumbel", 0.9, 0.3, spread=0.02)
    for name, array in {
        "accuracy": "correct",
        "sampled_accuracy": "sampled_correct",
        "swap_follows": "swap_follows",
    }.items():
        assert row.figures[name].shape == (RESAMPLES + 1, 3)
        assert row.figures[name][0, 0] == pytest.approx(100 * first.clips[array].mean())
        assert row.figure(name).kind == SEEDS_AND_CLIPS
    assert row.figure("cost").mean == pytest.approx(0.3, abs=0.03)
    assert row.figure("what nobody measured") is None
    assert row.trained("rollouts").mean == 1280
    assert row.trained("seconds").mean == 30
    assert row.trained("what nobody measured") is None


def test_every_figure_of_many_seeds_is_over_seeds_and_clips():
    """Those of the swap test and of pairs of classes as well."""
    (row,) = table_of(gumbel=(0.9, 0.3), spread=0.02).rows.values()
    assert len(row.figures) == 8
    assert {row.figure(name).kind for name in row.figures} == {SEEDS_AND_CLIPS}
    assert {row.pair(name).kind for name in row.pairs} == {SEEDS_AND_CLIPS}
    assert len(row.pairs) == 2


def test_one_seed_and_one_backbone_have_intervals_over_clips():
    table = table_of(gumbel=(0.9, 0.3), seeds=1)
    (row,) = table.rows.values()
    assert row.figure("accuracy").kind == OVER_CLIPS
    fixed = table.fixed["shift 1/4"].figure("accuracy")
    assert fixed.kind == OVER_CLIPS
    assert fixed.high - fixed.low > 3  # points: 400 clips are no more certain than that
    assert table.fixed["shift 1/4"].figure("sampled_accuracy") is None  # played one way


def test_the_accuracy_of_a_pair_is_that_of_its_clips():
    table = table_of(gumbel=(0.9, 0.3), seeds=1, spread=0)
    (row,) = table.rows.values()
    (run,) = runs_of("gumbel", 0.9, 0.3, seeds=1, spread=0)
    of_pair = np.arange(CLIPS) // 2 % 2 == 0
    found = row.pair("right / left")
    assert found.mean == pytest.approx(100 * run.clips["correct"][of_pair].mean())
    everything = row.figure("accuracy")
    assert (found.high - found.low) / (everything.high - everything.low) == pytest.approx(
        2**0.5, rel=0.2
    )  # half the clips


def test_the_accuracy_of_a_class_is_that_of_its_clips_and_the_mean_counts_classes_alike():
    (table,) = tables_of(with_confusions(results_of(gumbel=(0.9, 0.3), seeds=2)))
    (row,) = table.rows.values()
    runs = runs_of("gumbel", 0.9, 0.3, seeds=2)
    found = [100 * np.mean([run.clips["correct"][TEST.labels == label].mean() for run in runs]) for label in range(4)]
    assert [row.of_class(name).mean for name in TEST.classes] == pytest.approx(found)
    assert row.mean("class_accuracy") == pytest.approx(np.mean(found))
    assert to_matrix(row.confusion).sum() == 2 * CLIPS
    (older,) = tables_of(results_of(gumbel=(0.9, 0.3)))
    assert not next(iter(older.rows.values())).classes


def test_clips_of_one_source_are_drawn_together():
    results = results_of(gumbel=(0.9, 0.3), seeds=1)
    same = replace(TEST, groups=np.arange(CLIPS) // 2)
    (apart,), (together,), (few,) = (
        tables_of(replace(results, test=test)) for test in (TEST, same, replace(TEST, groups=np.arange(CLIPS) // 40))
    )
    figures = [next(iter(table.rows.values())).figure("accuracy") for table in (apart, together, few)]
    assert figures[0].to_json() == pytest.approx(figures[1].to_json())
    assert next(iter(few.rows.values())).units == 10
    assert figures[2].mean == figures[0].mean


def test_budgets_and_group_sizes_have_tables_of_their_own():
    one, two = results_of(gumbel=GUMBEL), results_of(gumbel=GUMBEL, arm="9 seconds each", group_size=8)
    one.runs.extend(two.runs), one.fixed.extend(two.fixed)
    first, second = tables_of(one)
    assert (first.title, second.title) == ("10 rollouts each, per channel", "9 seconds each, groups of 8 channels")
    assert list(second.fixed) == ["all use", "shift 1/4"]
    one.fixed.append(fixed_of("random thirds", 0.6, 0.6, group=8))
    assert len(tables_of(one)[1].fixed) == 3


def test_a_front_is_the_hull_of_every_cost_weight_under_every_selection():
    table = table_of(gumbel=GUMBEL, spread=0.01)
    front = fronts(table)["gumbel"]
    rows = [table.rows[Key("gumbel", weight, "log_prob")] for weight in (1.0, 2.0)]
    for seed in range(3):
        points = [
            [row.figures[f"{start}{name}"][0, seed] for row in rows for start in SELECTIONS.values()]
            for name in ("accuracy", "cost")
        ]
        by_hand = hypervolume(hull(np.array(points[0]) / 100, np.array(points[1])), 0.5)
        assert front.hypervolume().value[0, seed] == pytest.approx(by_hand)
    assert front.hull.cost.shape == (RESAMPLES + 1, 3, 6)
    assert front.cost_at(101).value[0] == pytest.approx([np.nan] * 3, nan_ok=True)
    dear, cheap = (row.figure("accuracy").mean for row in rows)
    assert cheap + 2 < front.accuracy_at(0.3).value[0].mean() < dear - 2


def test_a_front_needs_every_cost_weight():
    table = table_of(gumbel=GUMBEL, ppo=[(0.9, 0.6), (0.8, 0.4)], once=[(0.9, 0.5)])
    assert list(fronts(table)) == ["gumbel", "ppo"]


def test_a_method_without_some_selection_has_a_front_of_the_others():
    results = results_of(mine=GUMBEL)
    for run in results.runs:
        run.clips.pop("top_k_correct"), run.clips.pop("top_k_macs_ratio")
    (table,) = tables_of(results)
    assert fronts(table)["mine"].hull.cost.shape[-1] == 4
