"""Every registered environment as Gymnasium's own ``test_envs`` looks at it: checker, determinism, every argument."""

import inspect
import re

import gymnasium
import numpy as np
import pytest
from fusion_cases import tiny_backbone
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import HumanRendering

from envs import FusionEnv, FusionVecEnv, FusionVectorEnv
from envs.spaces import ORDERS

OURS = [spec.id for spec in gymnasium.registry.values() if str(spec.entry_point).startswith("envs.")]
each_env = pytest.mark.parametrize("env_id", OURS)
each_order = pytest.mark.parametrize("order", ORDERS)

pytestmark = pytest.mark.filterwarnings("error")


def default(function, name: str):
    return inspect.signature(function).parameters[name].default


def every_argument(clips) -> dict:
    """Of FusionEnv, none at its default but ``weights``, which stands in place of a backbone."""
    given = {"backbone": tiny_backbone(group_size=2), "clips": clips, "order": "site", "reward": "log_prob"}
    given |= {"cost_weight": 0.5, "agent_macs": [10.0, 20.0, 30.0], "train": False}
    assert all(default(FusionEnv, name) != value for name, value in given.items())
    return given


# -- the registered ids ----------------------------------------------------------------------------------------------


@each_env
@each_order
@pytest.mark.parametrize("mode", [None, *FusionEnv.metadata["render_modes"]])
def test_it_passes_the_checker_in_every_render_mode(clips, env_id, order, mode):
    env = gymnasium.make(env_id, backbone=tiny_backbone(), clips=clips, order=order, render_mode=mode)
    check_env(env.unwrapped)
    assert env.spec.id == env_id


@each_env
@each_order
def test_two_of_a_seed_agree_step_for_step(clips, env_id, order):
    one, other = (gymnasium.make(env_id, backbone=tiny_backbone(), clips=clips, order=order) for _ in range(2))
    assert data_equivalence(one.reset(seed=0), other.reset(seed=0), exact=True)
    one.action_space.seed(0)
    for _ in range(2 * one.unwrapped.layout.num_steps):
        action = one.action_space.sample()
        result = one.step(action)
        assert data_equivalence(result, other.step(action), exact=True)
        assert result[0] in one.observation_space
        if result[2]:
            assert data_equivalence(one.reset(), other.reset(), exact=True)


@each_env
def test_make_takes_every_argument(clips, env_id):
    given = every_argument(clips)
    assert {*given, "weights", "render_mode"} == {*inspect.signature(FusionEnv).parameters}
    env = gymnasium.make(env_id, **given, render_mode="ansi").unwrapped
    assert (env.layout.order, env.train, env.render_mode) == ("site", False, "ansi")
    assert env.episodes.agent_macs == [10.0, 20.0, 30.0]
    assert env.episodes.clips is clips
    assert env.episodes.backbone is given["backbone"]
    env.reset()
    for _ in range(3):
        *_, info = env.step(env.action_space.sample())
    clip = info["clip"]
    assert clip["reward"] == pytest.approx(clip["log_prob"] - 0.5 * clip["macs_ratio"], abs=1e-5)


@each_env
@pytest.mark.parametrize("mode", AutoresetMode)
def test_make_vec_takes_every_argument(clips, env_id, mode):
    given = {**every_argument(clips), "num_envs": 4, "rollouts_per_clip": 2, "workers": 0, "autoreset_mode": mode}
    assert {*given, "weights", "render_mode"} == {*inspect.signature(FusionVectorEnv).parameters}
    envs = gymnasium.make_vec(env_id, **given)
    assert isinstance(envs, FusionVectorEnv)
    assert (envs.num_envs, envs.layout.order, envs.train, envs.autoreset_mode) == (4, "site", False, mode)
    assert envs.episodes.rollouts_per_clip == 2
    assert envs.reset(seed=0)[0] in envs.observation_space
    for _ in range(3):
        *_, info = envs.step(envs.action_space.sample())
    clip = info["final_info"]["clip"] if mode is AutoresetMode.SAME_STEP else info["clip"]
    np.testing.assert_allclose(clip["reward"], clip["log_prob"] - 0.5 * clip["macs_ratio"], atol=1e-5)
    assert envs.spec.id == env_id


@each_env
def test_gymnasiums_own_vector_takes_it_too(clips, env_id):
    mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
    envs = gymnasium.make_vec(env_id, 2, "sync", mode, backbone=tiny_backbone(), clips=clips, order="site")
    envs.reset(seed=0)
    for _ in range(4):
        observations, *_ = envs.step(envs.action_space.sample())
    assert observations in envs.observation_space


@each_env
def test_a_spec_written_down_makes_the_same_environment(env_id):
    spec = gymnasium.make(env_id, order="site", cost_weight=0.5).spec
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(spec.to_json())).unwrapped
    assert (again.layout.order, again.episodes.reward.cost_weight) == ("site", 0.5)


@each_env
@pytest.mark.parametrize("mode", FusionEnv.metadata["render_modes"])
def test_make_collects_what_is_rendered(clips, env_id, mode):
    env = gymnasium.make(env_id, backbone=tiny_backbone(), clips=clips, order="site", render_mode=f"{mode}_list")
    env.reset()
    env.step(env.action_space.sample())
    assert len(env.render()) == 2


@each_env
def test_make_puts_gymnasiums_window_around_it(clips, env_id):
    """As for any environment that gives pixels; opening it is pygame's job."""
    with pytest.warns(UserWarning, match="HumanRendering"):
        env = gymnasium.make(env_id, backbone=tiny_backbone(), clips=clips, render_mode="human")
    assert isinstance(env, HumanRendering)


# -- defaults and their page -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batched", [FusionVectorEnv, FusionVecEnv])
def test_batched_environments_have_the_single_ones_defaults(batched):
    for name in ("order", "reward", "cost_weight", "agent_macs", "train"):
        assert default(batched, name) == default(FusionEnv, name), name
    assert default(batched, "rollouts_per_clip") == 1
    assert default(batched, "workers") == 0


def test_the_specification_has_gymnasiums_sections():
    headings = re.findall(r"^## (.*)$", inspect.getdoc(FusionEnv), re.MULTILINE)
    expected = "Description, Action Space, Observation Space, Rewards, Starting State, Episode End, Arguments, "
    assert ", ".join(headings) == expected + "Vectorized environment, Version History"


def test_the_specification_tells_every_argument_with_its_default():
    section = inspect.getdoc(FusionEnv).partition("## Arguments")[2]
    told = dict(re.findall(r"^\| `(\w+)` \|[^|]+\| `(.+?)` \|", section, re.MULTILINE))
    parameters = inspect.signature(FusionEnv).parameters.values()
    assert told == {parameter.name: repr(parameter.default).replace("'", '"') for parameter in parameters}


@each_order
def test_the_specifications_columns_are_the_observations(clips, order):
    """The table's rows in their order, with the values that they tell at the start and later."""
    env = FusionEnv(tiny_backbone(), clips, order=order)
    frames, total = env.layout.step_frames, env.layout.num_frames
    v, d, s = env.layout.v_width, env.layout.decisions, len(env.layout.sites)
    assert env.observation_space.shape == (frames * (2 * v + d + s + 4),)
    assert env.action_space.nvec.tolist() == [3] * frames * d

    def columns(observation: np.ndarray) -> list[np.ndarray]:
        return np.split(observation.reshape(frames, -1), np.cumsum([v, v, d, s, 1, 1, 1]), -1)

    observation, _ = env.reset(seed=0)
    terminated, steps = False, 0
    while not terminated:
        now, before, ready, site, time, spent, live, live_before = columns(observation)
        first = steps // s if order == "frame" else 0
        np.testing.assert_allclose(time[:, 0], (first + np.arange(frames)) / total)
        np.testing.assert_array_equal(site, np.eye(s)[[steps % s] * frames])
        assert now.min() >= 0
        assert not before[time[:, 0] == 0].any()
        assert not live_before[time[:, 0] == 0].any()
        assert not ready[1:].any()
        assert np.isin(ready, (0, 1)).all()
        assert (spent >= 0).all()
        assert (spent <= 1).all()
        assert (spent == spent[0]).all()
        assert (live <= max(site.channels for site in env.layout.sites)).all()
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        assert truncated is False
        steps += 1
    assert steps == env.layout.num_steps == (total * s if order == "frame" else s)
    assert not observation.any()
    assert list(info["clip"]) == ["clip", "label", "prediction", "correct", "log_prob", "macs_ratio", "reward"]


@each_order
@pytest.mark.parametrize("agent_macs", [None, [100.0, 0.0, 0.0]])
def test_computing_everything_costs_the_cost_weight_and_the_agents_own(clips, order, agent_macs):
    env = FusionEnv(tiny_backbone(), clips, order=order, cost_weight=2.0, agent_macs=agent_macs, train=False)
    env.reset()
    terminated, rewards = False, []
    while not terminated:
        _, reward, terminated, _, info = env.step(np.zeros(env.action_space.shape, int))
        rewards.append(reward)
    extra = sum(agent_macs or []) * env.layout.num_frames / env.episodes.clip_dense_macs
    assert sum(rewards) == pytest.approx(info["clip"]["correct"] - 2 * (1 + extra), abs=1e-5)
