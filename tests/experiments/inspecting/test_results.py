"""What is read from the folders of runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_cases import JUDGED_ON, arrays_of, table_of

from experiments.config import Train, to_json
from experiments.inspecting.results import (
    curves_table,
    find_runs,
    front_picture,
    grids_of,
    judged_tables,
    learning_picture,
)

FIGURES = {"swap": None, "pairs": {}}


def write_run(
    folder, method="gumbel", seed=0, weight=1.0, *, judged=True, checkpoint=True, suffix="", **kwargs
) -> Path:
    """A run's folder as a comparison leaves it, without weights."""
    run = folder / f"{method}-w{weight:g}-s{seed}{suffix}"
    run.mkdir(parents=True)
    config = Train(backbone=Path("b.pt"), method=method, cost_weight=weight, seed=seed, run=Path("elsewhere"), **kwargs)
    (run / "config.json").write_text(json.dumps(to_json(config)))
    if checkpoint:
        (run / "checkpoint.pt").write_bytes(b"")
    (run / "learning.json").write_text(json.dumps([{"rollouts": 0, "accuracy": 50, "cost": 1}]))
    if judged:
        arrays = arrays_of(0.9, 0.3, (0.01 * seed, 0.0))
        names = ("all use", "shift 1/4") if method == "fixed" else ()
        stored = {f"{name}/{key}": value for name in names for key, value in arrays.items()} or arrays
        np.savez(run / "clips.npz", **stored)
        (run / "evaluation.json").write_text(json.dumps(dict.fromkeys(names, FIGURES) or FIGURES))
        (run / "result.json").write_text(json.dumps({"rollouts": 10, "seconds": 1.0}))
    return run


def comparison(folder) -> Path:
    for method in ("gumbel", "ppo"):
        for seed in (0, 1):
            write_run(folder, method, seed)
    write_run(folder, "fixed", checkpoint=False)
    return folder


def test_runs_are_found_where_they_lie_now(tmp_path):
    found = find_runs(comparison(tmp_path))
    assert [job.run for job in found.trained] == sorted(
        tmp_path / f"{m}-w1-s{s}" for m in ("gumbel", "ppo") for s in (0, 1)
    )
    assert [job.run.name for job in found.fixed] == ["fixed-w1-s0"]
    alone = find_runs(tmp_path / "ppo-w1-s1")
    assert [job.run.name for job in alone.trained] == ["ppo-w1-s1"]
    assert len(alone.fixed) == 1  # beside it


def test_fixed_policies_of_another_backbone_or_group_are_not_set_beside_a_run(tmp_path):
    comparison(tmp_path)
    run = write_run(tmp_path, "ppo", 7, group_size=8)
    assert find_runs(run).fixed == []


@pytest.mark.parametrize(
    "what", ["nothing", "empty", "a backbone", "fixed policies", "no checkpoint", "runs without checkpoints"]
)
def test_what_is_no_run_is_told_in_a_sentence(tmp_path, what):
    folder = tmp_path / "x"
    if what != "nothing":
        folder.mkdir()
    if what == "a backbone":
        (folder / "config.json").write_text("{}")
    if what == "fixed policies":
        folder = write_run(folder, "fixed")
    if what == "no checkpoint":
        folder = write_run(folder, checkpoint=False)
    if what == "runs without checkpoints":
        write_run(folder, checkpoint=False)
    with pytest.raises(ValueError, match=r"^expected") as caught:
        find_runs(folder)
    assert str(folder) in str(caught.value)


def test_an_unfinished_comparison_counts_the_seeds_that_every_row_has(tmp_path):
    comparison(tmp_path)
    write_run(tmp_path, "ppo", 2)  # gumbel has none of seed 2
    write_run(tmp_path, "gumbel", 3, judged=False)
    write_run(tmp_path, "gumbel", 4, checkpoint=False)
    found = find_runs(tmp_path)
    assert found.unfinished == 1
    (table,) = judged_tables(found, lambda: JUDGED_ON)
    assert {key.method for key in table.rows} == {"gumbel", "ppo"}
    assert {len(row.curves) for row in table.rows.values()} == {2}
    assert set(table.fixed) == {"all use", "shift 1/4"}
    assert front_picture([table]).startswith(b"\x89PNG")


def test_a_cnn_that_learns_too_has_a_row_of_its_own(tmp_path):
    write_run(comparison(tmp_path), "ppo", 0, suffix="-joint", regime="joint")  # and none of seed 1
    (table,) = judged_tables(find_runs(tmp_path), lambda: JUDGED_ON)
    assert {key.method for key in table.rows} == {"gumbel", "ppo", "ppo-joint"}
    assert {len(row.curves) for row in table.rows.values()} == {1}


def test_equal_time_has_a_table_of_its_own(tmp_path):
    comparison(tmp_path)
    for method in ("gumbel", "ppo"):
        write_run(tmp_path, method, suffix="-30seconds", rollouts=999)
    tables = judged_tables(find_runs(tmp_path), lambda: JUDGED_ON)
    assert [table.arm for table in tables] == ["24,000 rollouts each", "30 seconds each"]


def test_without_judged_runs_or_fixed_policies_there_is_no_front(tmp_path):
    run = write_run(tmp_path, judged=False)
    assert judged_tables(find_runs(run), lambda: JUDGED_ON) == []
    assert front_picture([]) is None
    alone = write_run(tmp_path / "other")
    assert judged_tables(find_runs(alone), lambda: JUDGED_ON) == []


def test_a_run_has_its_own_learning_curve(tmp_path):
    (job,) = find_runs(write_run(tmp_path, judged=False)).trained
    assert learning_picture([curves_table(job)]).startswith(b"\x89PNG")
    (job.run / "learning.json").unlink()
    assert curves_table(replace(job)) is None
    assert learning_picture([]) is None


def test_fronts_are_shown_where_there_are_several_cost_weights():
    one, many = table_of(gumbel=(0.9, 0.3)), table_of(gumbel=[(0.9, 0.3), (0.8, 0.2)])
    assert [title.split(",")[0] for title in grids_of([one])] == ["Policies"]
    assert [title.split(",")[0] for title in grids_of([many])] == ["Fronts", "Policies"]
