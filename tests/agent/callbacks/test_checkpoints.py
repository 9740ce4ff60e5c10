import os
import signal
import threading

import numpy as np
import pytest
from agent_cases import build, learn, weights
from callback_cases import Each, evaluations_in

from agent.callbacks.checkpoints import Checkpoints
from agent.callbacks.evaluations import Evaluations
from agent.checkpoint import load_agent
from backbone.common.interruption import Interrupted


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


def test_each_new_evaluation_saves(tmp_path, handler):
    evaluations = evaluations_in(tmp_path, every=16)
    checkpoints, saved = Checkpoints(tmp_path / "checkpoint.pt", evaluations, facts={}), []
    save, checkpoints.save = checkpoints.save, lambda: (saved.append(checkpoints.rollouts), save())
    learn(build("ppo"), 5, [evaluations, checkpoints])
    assert saved == [0, 16, 32, 40]


def test_the_checkpoint_of_the_highest_reward_is_kept_beside_the_last(tmp_path):
    evaluations = evaluations_in(tmp_path, every=1)
    checkpoints = Checkpoints(tmp_path / "checkpoint.pt", evaluations, facts={}, best=tmp_path / "best.pt")
    measure, rewards, kept = evaluations.measure, iter([0.0, 2.0, 1.0, 0.5]), []

    def measured(**how) -> None:
        measure(**how)
        evaluations.curve[-1]["reward"] = next(rewards)
        kept.append(weights(evaluations.model))

    evaluations.measure = measured
    learn(build("gumbel"), 3, [evaluations, checkpoints])
    best, last = build("gumbel", seed=9), build("gumbel", seed=8)
    load_agent(tmp_path / "best.pt", best)
    load_agent(tmp_path / "checkpoint.pt", last)
    np.testing.assert_array_equal(weights(best), kept[1])
    np.testing.assert_array_equal(weights(last), kept[3])
