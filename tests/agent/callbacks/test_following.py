import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from agent_cases import build, env_for, learn, noise_clips, tiny_backbone, weights

from agent.callbacks import following
from agent.callbacks.following import FollowStatistics
from agent.statistics import fit
from backbone import fold_batchnorm
from backbone.weights.recalibrate import read_statistics

METHODS = ("reinforce, leave_one_out", "ppo", "gumbel", "rebar")


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(following, "EVERY", 8)
    monkeypatch.setattr(following, "BATCH", 4)


def following_learner(method: str, clips=None):
    """A learner on a folded CNN, and the callback that keeps its statistics."""
    source, clips = tiny_backbone(), clips or noise_clips(24)
    played = fold_batchnorm(source).requires_grad_(False)
    return build(method, env_for(method, played, clips)), FollowStatistics(source, played, clips)


@pytest.mark.parametrize("method", METHODS)
def test_before_training_they_are_those_of_the_first_policy(method):
    model, callback = following_learner(method)
    learn(model, 1, callback)
    expected = fit(build(method), tiny_backbone(), noise_clips(24), selection="sampled")
    found, wanted = read_statistics(callback.source), read_statistics(expected)
    for name in found:  # all of the same clips, but in another order, with other draws: alike, not equal
        torch.testing.assert_close(found[name], wanted[name], atol=0.1, rtol=0.35)


@pytest.mark.parametrize("method", METHODS)
def test_the_environment_runs_what_was_estimated(method):
    model, callback = following_learner(method)
    learn(model, 6, callback)
    frames = callback.source.preprocess(torch.from_numpy(noise_clips(4).draw(np.arange(4))[0]))
    with torch.no_grad():
        torch.testing.assert_close(callback.played(frames).logits, callback.source(frames).logits, atol=1e-5, rtol=1e-4)
    assert any(
        not torch.allclose(part, read_statistics(tiny_backbone())[name])
        for name, part in read_statistics(callback.source).items()
    )


@pytest.mark.parametrize("method", METHODS)
def test_observations_come_from_the_statistics_of_now(method):
    """What a rollout learns from is what the updated CNN shows: begun again, the clips look the same."""
    model, callback = following_learner(method)
    looked = []

    class Look(following.BetweenRollouts):
        def act(self) -> None:
            if hasattr(self.model, "rollout_buffer"):
                again = np.stack(self.training_env.env_method("begin_again"))
                looked.append(np.array_equal(again, self.model._last_obs))

    learn(model, 4, [callback, Look()])
    assert all(looked)


def test_they_are_updated_every_so_many_rollouts_and_not_in_between():
    model, callback = following_learner("gumbel")
    found = []

    class Look(following.BetweenRollouts):
        def act(self) -> None:
            found.append(next(iter(read_statistics(callback.source).values())).clone())

    learn(model, 9, [callback, Look()])  # 2 clips a batch, every 8 rollouts
    changed = [not torch.equal(one, other) for one, other in pairwise(found)]
    assert changed == [False, False, False, True, False, False, False, True]


@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "gumbel"])
def test_taken_up_again_they_go_on_as_they_would_have(method):
    first, begun = following_learner(method)
    learn(first, 4, begun)
    second, again = following_learner(method)
    second.set_parameters(copy.deepcopy(first.get_parameters()), device="cpu")
    second.num_timesteps = first.num_timesteps
    again.take_up(begun.statistics, begun.at)
    assert all(torch.equal(again.statistics[name], part) for name, part in begun.statistics.items())
    position = first.env.env_method("state_dict", indices=[0])[0]
    second.env.env_method("load_state_dict", position, indices=[0])
    random = torch.get_rng_state()
    learn(first, 4, begun, reset_num_timesteps=False)
    torch.set_rng_state(random)
    learn(second, 4, again, reset_num_timesteps=False)
    for name, part in begun.statistics.items():
        torch.testing.assert_close(again.statistics[name], part)


def test_without_norms_nothing_happens():
    plain = weights(learn(build("ppo"), 2))
    backbone = fold_batchnorm(tiny_backbone()).requires_grad_(False)
    model = build("ppo", env_for("ppo", backbone))
    callback = FollowStatistics(backbone, backbone, noise_clips())
    followed = weights(learn(model, 2, callback))
    torch.testing.assert_close(followed, plain, atol=1e-4, rtol=1e-3)
    assert callback.statistics == {}
