import json
from dataclasses import replace

import pytest

from experiments.config import Data, Tune
from experiments.tuning import command
from experiments.tuning.command import GRIDS, _choose, rebuild, tune


@pytest.fixture
def tuned(videos, backbone_file, tmp_path, monkeypatch):
    """A search in which a run's reward is known: the best num_clips is 4, the best learning rate 0.02, no warm-up."""
    played = []

    def reward(job):
        return -abs(job.num_clips - 4) - abs(job.learning_rate - 0.02) - job.warmup - 0.1 * job.cost_weight

    def run_jobs(jobs, workers, **_):
        for _, job in jobs:
            played.append(job)
            job.run.mkdir(parents=True)
            found = {"reward": reward(job), "accuracy": 50.0, "cost": 1.0, "updates": job.rollouts // job.num_clips}
            (job.run / "validation.json").write_text(json.dumps(found))

    monkeypatch.setattr(command, "run_jobs", run_jobs)
    config = Tune(
        methods=("reinforce",),
        rollouts=64,
        backbone=backbone_file,
        data=Data(root=videos),
        device="cpu",
        run=tmp_path / "tune",
    )
    return config, tune(config), played


def test_options_are_chosen_one_after_the_other(tuned):
    config, text, _ = tuned
    found = json.loads((config.run / "tuning.json").read_text())
    assert found["chosen"]["reinforce"] == {"num_clips": 4, "learning_rate": 0.02, "warmup": 0.0}
    grid = GRIDS["reinforce"]
    assert len(found["tried"]["reinforce"]) == sum(map(len, grid.values())) - (
        len(grid) - 1
    )  # each step holds the best
    assert text.count("chosen |") == 1
    assert "| 4 | 0.02 | 0 |" in text


def test_learning_rates_of_ones_own_take_the_place_of_the_list(tuned, tmp_path):
    config, _, played = tuned
    tune(replace(config, learning_rates=(0.003, 0.018), run=tmp_path / "other"))
    assert {job.learning_rate for job in played if job.run.parent == tmp_path / "other"} == {0.003, 0.018, 0.01}
    assert {job.backbone for job in played} == {config.backbone}


def test_what_is_done_is_not_repeated_and_the_page_needs_no_runs(tuned, tmp_path):
    config, text, played = tuned
    count = len(played)
    assert tune(config) == text
    assert len(played) == count == len({job.run for job in played})
    (tmp_path / "out").mkdir()
    assert rebuild(config.run, tmp_path / "out") == (tmp_path / "out" / "tuning.md").read_text() == text


def test_a_tie_goes_to_the_fewest_updates_and_then_to_the_reward():
    rows = [
        {"reward": reward, "updates": updates}
        for reward, updates in ((0.50, 400), (0.48, 200), (0.475, 200), (0.4, 100))
    ]
    assert _choose(rows) == {"reward": 0.48, "updates": 200}


def test_updates_that_are_not_known_are_a_dash_and_win_no_tie(tuned, tmp_path):
    known, unknown = {"reward": 0.48, "updates": 200}, {"reward": 0.5, "updates": None}
    assert _choose([unknown, known]) == known
    found = json.loads((tuned[0].run / "tuning.json").read_text())
    found["tried"]["reinforce"][0]["updates"] = None
    (tmp_path / "tuning.json").write_text(json.dumps(found))
    assert rebuild(tmp_path, tmp_path).count("| - |") == 1


def test_no_comparison_uses_its_seed(tuned):
    assert {job.seed for job in tuned[2]} == {100}


@pytest.mark.parametrize(
    ("method", "said"), [("reinmax", "got reinmax$"), ("gumbell", "got gumbell: did you mean 'gumbel'[?]$")]
)
def test_a_method_without_a_grid_is_named_and_one_that_was_meant_suggested(tmp_path, method, said):
    with pytest.raises(ValueError, match=rf"^expected --methods among reinforce, .*; {said}"):
        tune(Tune(methods=(method,), run=tmp_path))
