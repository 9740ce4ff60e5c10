"""Results: gathered from the folders of runs, kept in two small files, and the same when they are read again."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from report_cases import CLASSES, CLIPS, JUDGED_ON, TEST, Listed, arrays_of, facts_of, results_of, runs_of

from experiments.analysis.confusion import MANY
from experiments.comparison.results import COST_QUANTUM, JudgedClips, Results, gather, load_results
from experiments.comparison.tables import tables_of
from experiments.config import Train
from experiments.run import Fixed

CURVE = [{"rollouts": 0, "clips_drawn": 0, "updates": 0, "accuracy": 50.0, "cost": 1.0, "log_prob": -2.0}]
RESULT = {"rollouts": 96, "clips_drawn": 12, "updates": 6, "clipped_updates": 0.5, "seconds": 10.0, "more": 1}


def finished_run(folder, arrays):
    folder.mkdir()
    np.savez(folder / "clips.npz", **arrays, of_a_later_version=np.zeros(2))
    (folder / "evaluation.json").write_text("{}")
    (folder / "result.json").write_text(json.dumps(RESULT))
    (folder / "learning.json").write_text(json.dumps(CURVE))
    return folder


def test_what_runs_left_is_gathered(tmp_path):
    learned = Train(
        method="ppo", seed=3, cost_weight=2.0, learning_rate=0.1, run=finished_run(tmp_path / "a", arrays_of(0.9, 0.3))
    )
    played = {name: values for name, values in arrays_of(0.5, 1.0).items() if name in ("correct", "macs_ratio")}
    fixed = Fixed(Path("b.pt"), run=finished_run(tmp_path / "f", {f"all use/{k}": v for k, v in played.items()}))
    (fixed.run / "evaluation.json").write_text(json.dumps({"all use": {}}))
    found = gather([SimpleNamespace(title="arm", jobs=[learned])], [fixed], JUDGED_ON, {"a": "fact"})
    (run,), (dense,) = found.runs, found.fixed
    assert (run.arm, run.method, run.cost_weight, run.seed) == ("arm", "ppo", 2.0, 3)
    assert set(run.clips) == set(arrays_of(0.9, 0.3))
    assert run.curve == CURVE
    assert {**RESULT, **run.training, "learning_rate": 0.1} == {**run.training, "more": 1}
    assert (dense.method, set(dense.clips)) == ("all use", set(played))
    assert found.test.pairs().keys() == TEST.pairs().keys()
    assert (found.test.cluster, found.test.floor, len(found.test)) == (2, 0.5, CLIPS)
    assert found.facts == {"a": "fact"}


def test_sources_of_test_clips_and_what_runs_took_them_for_are_gathered_and_kept(tmp_path):
    job = Train(method="ppo", run=finished_run(tmp_path / "a", arrays_of(0.9, 0.3)))
    few, many = ({f"c{k}": {"c0": 1} for k in range(classes)} for classes in (MANY, MANY + 1))
    groups = np.arange(CLIPS) // 4
    judged_on = Listed(
        classes=CLASSES, labels=np.arange(CLIPS) // 200 * 2, names=["x"] * CLIPS, num_frames=8, size=32, data_hash="f00d",
        groups=groups,
    )  # fmt: skip
    for confusion, kept in ((few, few), (many, {})):
        (job.run / "evaluation.json").write_text(json.dumps({"confusion": confusion}))
        found = gather([SimpleNamespace(title="arm", jobs=[job])], [], judged_on, facts_of())
        assert found.runs[0].confusion == kept
        found.save(tmp_path / "kept")
        again = load_results(tmp_path / "kept")
        assert again.runs[0].confusion == kept
        np.testing.assert_array_equal(again.test.together, groups)
        assert again.test.floor == 0.5  # what is gained by always answering the largest class
    assert JudgedClips(TEST.labels, CLASSES, None, 1, 0.25, 0).together == 1


def test_what_a_run_does_not_know_of_its_training_is_left_out(tmp_path):
    job = Train(method="ppo", run=finished_run(tmp_path / "a", arrays_of(0.9, 0.3)))
    (job.run / "result.json").write_text(json.dumps({**RESULT, "updates": None, "clipped_updates": None}))
    (run,) = gather([SimpleNamespace(title="arm", jobs=[job])], [], JUDGED_ON, {}).runs
    assert not {"updates", "clipped_updates"} & set(run.training)
    assert run.training["clips_drawn"] == RESULT["clips_drawn"]


def test_runs_that_were_judged_on_other_clips_are_refused(tmp_path):
    job = Train(method="ppo", run=finished_run(tmp_path / "a", {n: v[:6] for n, v in arrays_of(0.9, 0.3).items()}))
    with pytest.raises(ValueError, match="the 400 clips of the test split, found 6"):
        gather([SimpleNamespace(title="arm", jobs=[job])], [], JUDGED_ON, {})


def test_nothing_but_the_last_digits_of_costs_is_lost_in_the_files(tmp_path):
    before = results_of(gumbel=[(0.9, 0.3), (0.8, 0.2)], facts=facts_of())
    before.runs[0].clips.pop("top_k_correct"), before.runs[0].clips.pop("top_k_macs_ratio")  # what a method lacks
    before.save(tmp_path)
    after = load_results(tmp_path)
    assert after.facts == before.facts
    assert replace(after.test, labels=None) == replace(TEST, labels=None)
    assert (after.test.labels == TEST.labels).all()
    for one, other in zip((*before.runs, *before.fixed), (*after.runs, *after.fixed), strict=True):
        assert replace(one, clips={}) == replace(other, clips={})
        assert list(one.clips) == list(other.clips)
        for name, values in one.clips.items():
            assert np.abs(values - other.clips[name].astype(float)).max() <= 0.51 * COST_QUANTUM * (
                values.dtype != bool
            )
    after.save(tmp_path / "again")
    assert (tmp_path / "again" / "results.json").read_bytes() == (tmp_path / "results.json").read_bytes()


def test_the_files_of_a_full_comparison_are_small(tmp_path):
    """Two arms of 125 runs on 2000 clips are five hundred times these clips' ten runs."""
    rng = np.random.default_rng(0)
    (run,) = runs_of("gumbel", 0.9, 0.3, seeds=1)
    arrays = {name: values.repeat(2000 // CLIPS) for name, values in run.clips.items()}
    runs = []
    for _ in range(10):
        own = {
            n: v ^ (rng.random(2000) < 0.1) if v.dtype == bool else v * rng.normal(1, 0.05, 2000)
            for n, v in arrays.items()
        }
        runs.append(replace(run, clips=own))
    Results(runs, [], replace(TEST, labels=np.zeros(2000, int)), {}).save(tmp_path)
    assert 25 * (tmp_path / "results.npz").stat().st_size < 3e6
    assert 25 * (tmp_path / "results.json").stat().st_size < 0.5e6


def test_costs_that_cannot_be_kept_are_refused(tmp_path):
    results = results_of(gumbel=(0.9, 0.3))
    results.runs[0].clips["macs_ratio"][0] = 7
    with pytest.raises(ValueError, match=r"expected costs from 0 to 6\.5"):
        results.save(tmp_path)


def test_pairs_are_the_clips_of_two_classes_that_reverse_each_other():
    pairs = TEST.pairs()
    assert list(pairs) == ["right / left", "up / down"]
    assert (sum(pairs.values()) == 1).all()
    assert replace(TEST, reversed_class=None).pairs() == {}
    assert replace(TEST, reversed_class=(None, None, 3, 2)).pairs().keys() == {"up / down"}


def test_runs_of_more_seeds_in_any_order_make_the_same_table():
    results = results_of(gumbel=[(0.9, 0.4), (0.8, 0.2)], ppo=(0.7, 0.5))
    (first,) = tables_of(results)
    (second,) = tables_of(replace(results, runs=sorted(results.runs, key=lambda run: -run.seed)))
    for key, row in first.rows.items():
        assert row.seeds == second.rows[key].seeds == (0, 1, 2)
        np.testing.assert_array_equal(row.figures["accuracy"], second.rows[key].figures["accuracy"])
