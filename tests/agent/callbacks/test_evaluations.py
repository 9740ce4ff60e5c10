import json

import numpy as np
import pytest
from agent_cases import METHODS, WHOLE_CLIPS, build, env_for, learn, weights
from callback_cases import evaluations_in
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent import evaluate
from agent.callbacks.between_rollouts import effort
from agent.callbacks.evaluations import read_curve
from backbone import Decision

SHARED = {
    "rollout/reward",
    "rollout/accuracy",
    "rollout/cost",
    "train/entropy",
    "train/loss",
    "train/gradient_norm",
    "train/gradient_noise",
    "train/cost_weight",
    "train/learning_rate",
    "time/rollouts_per_second",
    "data/wait",
    "data/broken",
    *(f"decisions/layer{site}.0/{decision.name.lower()}" for site in (1, 2, 3) for decision in Decision),
    *(f"validation/{name}" for name in ("accuracy", "cost", "log_prob", "reward")),
}


def board(folder) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


@pytest.fixture(scope="module", params=METHODS)
def written(request, tmp_path_factory):
    """What six updates of a method on 16 clips each wrote to TensorBoard; and the clips of a batch."""
    folder = tmp_path_factory.mktemp("board")
    env = env_for(request.param, num_clips=16 if request.param in WHOLE_CLIPS else 4)
    model = build(request.param, env)
    model.set_logger(configure(str(folder), ["tensorboard"]))
    evaluations = evaluations_in(folder, every=32)
    learn(model, 6, evaluations)
    model.logger.close()
    return board(folder)


def test_every_method_writes_the_shared_tags(written):
    found = set(written.Tags()["scalars"])
    assert found >= SHARED
    extra = found - SHARED
    assert all(tag.startswith("train/") for tag in extra)


def test_steps_are_rollouts(written):
    for tag in ("rollout/reward", "train/entropy", "decisions/layer1.0/use", "time/rollouts_per_second"):
        assert [event.step for event in written.Scalars(tag)] == [16, 32, 48, 64, 80, 96]
    assert [event.step for event in written.Scalars("validation/cost")] == [0, 32, 64, 96]


def test_accuracy_is_in_percent_in_training_as_in_validation(written):
    counts = [48 * event.value / 100 for event in written.Scalars("rollout/accuracy")]
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)  # of 16 rollouts, or 12 that are sampled
    assert 3 <= max(counts) <= 48


def test_shares_of_a_sites_decisions_sum_to_one(written):
    for site in (1, 2, 3):
        shares = [
            [event.value for event in written.Scalars(f"decisions/layer{site}.0/{decision.name.lower()}")]
            for decision in Decision
        ]
        np.testing.assert_allclose(np.sum(shares, 0), 1, atol=1e-5)


def test_the_curve_holds_a_point_every_so_many_clips_and_one_at_the_end(tmp_path):
    evaluations = evaluations_in(tmp_path, every=16)
    learn(build("ppo"), 5, evaluations)  # 8 clips a batch
    assert [point["rollouts"] for point in evaluations.curve] == [0, 16, 32, 40]
    assert json.loads((tmp_path / "learning.json").read_text()) == evaluations.curve


def test_batches_larger_than_the_interval_get_a_point_each(tmp_path):
    evaluations = evaluations_in(tmp_path, every=3)
    learn(build("ppo"), 3, evaluations)
    assert [point["rollouts"] for point in evaluations.curve] == [0, 8, 16, 24]


def test_points_are_the_judges_own(tmp_path):
    evaluations = evaluations_in(tmp_path)
    model = learn(build("ppo"), 2, evaluations)
    result = evaluate(model, evaluations.backbone, evaluations.clips)
    log_prob = result.log_prob.mean()
    judged = {"accuracy": result.accuracy, "cost": result.cost, "log_prob": log_prob, "reward": log_prob - result.cost}
    expected = {**effort(model), **judged}
    assert evaluations.curve[-1] == pytest.approx(expected)


def test_evaluating_does_not_change_training(tmp_path):
    plain = weights(learn(build("ppo"), 3))
    judged = weights(learn(build("ppo"), 3, evaluations_in(tmp_path, every=1)))
    np.testing.assert_array_equal(judged, plain)


def test_points_beyond_the_checkpoint_are_dropped(tmp_path):
    points = [{"rollouts": rollouts, "accuracy": 1.0, "cost": 1.0, "log_prob": -1.0} for rollouts in (0, 8, 16, 24)]
    (tmp_path / "learning.json").write_text(json.dumps(points))
    evaluations = evaluations_in(tmp_path, every=8)
    model = build("ppo")
    model.num_timesteps = 8 * 3  # 8 clips of 3 steps: as a checkpoint leaves it
    learn(model, 1, evaluations, reset_num_timesteps=False)
    assert evaluations.curve[:2] == points[:2]
    assert [point["rollouts"] for point in evaluations.curve] == [0, 8, 16]
    assert evaluations.curve[2] != points[2]


def test_a_curve_of_an_older_run_counts_its_rollouts(tmp_path):
    (tmp_path / "learning.json").write_text('[{"clips": 8, "accuracy": 50.0}]')
    assert read_curve(tmp_path / "learning.json") == [{"rollouts": 8, "accuracy": 50.0}]
