import json
import os
import signal
import threading

import numpy as np
import pytest
from agent_cases import METHODS, WHOLE_CLIPS, build, env_for, learn, noise_clips, tiny_backbone, weights
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent import evaluate
from agent.callbacks.checkpoint import load_agent
from agent.callbacks.training import (
    Checkpoints,
    CostWarmup,
    Evaluations,
    Interrupted,
    Progress,
    effort,
    read_curve,
)
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
    *(f"validation/{name}" for name in ("accuracy", "cost", "log_prob")),
}


class Each(BaseCallback):
    """Calls a function at the start of each rollout, or at each step."""

    def __init__(self, at_rollout=None, at_step=None) -> None:
        super().__init__()
        self.at_rollout, self.at_step = at_rollout, at_step

    def _on_rollout_start(self) -> None:
        if self.at_rollout:
            self.at_rollout(self.model)

    def _on_step(self) -> bool:
        if self.at_step:
            self.at_step(self.model)
        return True


def evaluations_in(folder, every: int = 16, order: str = "site") -> Evaluations:
    return Evaluations(tiny_backbone(), noise_clips(4, seed=1), every=every, path=folder / "learning.json")


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


@pytest.mark.parametrize("method", METHODS)
def test_the_cost_weight_rises_linearly_then_stays(method):
    seen = []
    env = env_for(method, cost_weight=99.0)
    learn(build(method, env), 8, [CostWarmup(3.0, 0.5), Each(lambda model: seen.append(model.reward.cost_weight))])
    np.testing.assert_allclose(seen, [0, 0.75, 1.5, 2.25, 3, 3, 3, 3])


def test_without_warmup_the_cost_weight_is_constant():
    seen = []
    learn(build("ppo"), 3, [CostWarmup(3.0, 0.0), Each(lambda model: seen.append(model.reward.cost_weight))])
    assert seen == [3, 3, 3]


def test_the_warmed_up_weight_is_what_rewards_charge():
    model = learn(build("ppo", env_for("ppo", cost_weight=99.0)), 1, CostWarmup(3.0, 0.5))
    assert (model.rollout_buffer.rewards[:-1] == 0).all()


# -- evaluations -------------------------------------------------------------------------------------------------------


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
    judged = {"accuracy": result.accuracy, "cost": result.cost, "log_prob": result.log_prob.mean()}
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


# -- stopping ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def handler():
    """The handler of Ctrl-C before the test; put back after it, whatever happened."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    signal.signal(signal.SIGINT, before)


def checkpoints_in(folder, **kwargs) -> tuple[Evaluations, Checkpoints]:
    evaluations = evaluations_in(folder, every=1000)
    return evaluations, Checkpoints(folder / "checkpoint.pt", evaluations, facts={"note": 1}, **kwargs)


def loads(folder, method: str = "ppo"):
    model = build(method, seed=9)
    facts = load_agent(folder / "checkpoint.pt", model)
    assert facts.pop("seconds") > 0
    assert facts == {"note": 1}
    return model


@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "ppo", "gumbel"])
def test_training_that_is_asked_to_stop_saves_first(method, tmp_path, handler):
    model, asked = build(method), []
    evaluations, checkpoints = checkpoints_in(tmp_path, stop=lambda: len(asked) == 3 or asked.append(1))
    with pytest.raises(Interrupted):
        learn(model, 10, [evaluations, checkpoints])
    loaded = loads(tmp_path, method)
    assert loaded.rollouts == model.rollouts == 3 * model.env.num_envs
    np.testing.assert_array_equal(weights(loaded), weights(model))
    assert signal.getsignal(signal.SIGINT) is handler


def interrupt_once(at_step: int):
    """Sends this process Ctrl-C at one environment step."""
    steps = []

    def at(model) -> None:
        steps.append(1)
        if len(steps) == at_step:
            os.kill(os.getpid(), signal.SIGINT)

    return at


@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "ppo", "gumbel"])
def test_ctrl_c_waits_for_the_rollout_and_saves(method, tmp_path, handler):
    model = build(method)
    evaluations, checkpoints = checkpoints_in(tmp_path)
    steps = 2 if method == "gumbel" else 5  # amid the second rollout
    with pytest.raises(Interrupted):
        learn(model, 10, [evaluations, checkpoints, Each(at_step=interrupt_once(steps))])
    assert model.rollouts == 2 * model.env.num_envs
    np.testing.assert_array_equal(weights(loads(tmp_path, method)), weights(model))
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_does_not_wait(tmp_path, handler):
    model = build("ppo")

    def twice(model) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    evaluations, checkpoints = checkpoints_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn(model, 10, [evaluations, checkpoints, Each(at_step=twice)])
    assert model.num_timesteps == model.env.num_envs
    assert signal.getsignal(signal.SIGINT) is handler


def test_away_from_the_main_thread_ctrl_c_is_left_alone(tmp_path, handler):
    evaluations, checkpoints = checkpoints_in(tmp_path)
    thread = threading.Thread(target=lambda: learn(build("ppo"), 1, [evaluations, checkpoints]))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is handler
    assert loads(tmp_path).rollouts == 8


def test_a_finished_training_is_saved_and_gives_ctrl_c_back(tmp_path, handler):
    evaluations, checkpoints = checkpoints_in(tmp_path)
    model = learn(build("ppo"), 2, [evaluations, checkpoints])
    np.testing.assert_array_equal(weights(loads(tmp_path)), weights(model))
    assert signal.getsignal(signal.SIGINT) is handler


def test_seconds_go_on_from_those_of_earlier_sittings(tmp_path, handler):
    evaluations, checkpoints = checkpoints_in(tmp_path, seconds=1000.0)
    learn(build("ppo"), 1, [evaluations, checkpoints])
    assert 1000 < load_agent(tmp_path / "checkpoint.pt", build("ppo"))["seconds"] < 1100


@pytest.mark.parametrize(
    ("method", "rollouts_per_clip", "updates"), [("reinforce, leave_one_out", 4, 1), ("ppo", 4, 4), ("gumbel", 1, 1)]
)
def test_effort_counts_rollouts_the_clips_drawn_for_them_and_updates(method, rollouts_per_clip, updates):
    model = learn(build(method), 3)
    rollouts = 3 * model.env.num_envs
    assert effort(model) == {"rollouts": rollouts, "clips_drawn": rollouts // rollouts_per_clip, "updates": 3 * updates}


def test_a_curve_of_an_older_run_counts_its_rollouts(tmp_path):
    (tmp_path / "learning.json").write_text('[{"clips": 8, "accuracy": 50.0}]')
    assert read_curve(tmp_path / "learning.json") == [{"rollouts": 8, "accuracy": 50.0}]


def test_each_new_evaluation_saves(tmp_path, handler):
    evaluations = evaluations_in(tmp_path, every=16)
    checkpoints, saved = Checkpoints(tmp_path / "checkpoint.pt", evaluations, facts={}), []
    save, checkpoints.save = checkpoints.save, lambda: (saved.append(checkpoints.rollouts), save())
    learn(build("ppo"), 5, [evaluations, checkpoints])
    assert saved == [0, 16, 32, 40]


# -- progress ----------------------------------------------------------------------------------------------------------


def test_progress_reports_rollouts():
    reported = []
    learn(build("ppo"), 3, Progress(24, report=reported.append))
    assert reported == [0, 8, 16, 24]
