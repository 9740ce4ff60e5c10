"""FusionVectorEnv: the same episodes many at a time, with SAME_STEP autoreset."""

import gymnasium
import numpy as np
import pytest
from fusion_cases import T, random_decisions, tiny_backbone, to_actions
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from envs import ENV_ID, FusionEnv, FusionVectorEnv
from envs.spaces import ORDERS

each_order = pytest.mark.parametrize("order", ORDERS)
EPISODE = {"frame": 3 * T, "site": 3}


def make_env(clips, num_envs: int = 4, **kwargs) -> FusionVectorEnv:
    return FusionVectorEnv(num_envs, tiny_backbone(group_size=2), clips, **kwargs)


def assert_equal(one, other) -> None:
    """Nested tuples and dicts of arrays, objects among them."""
    if isinstance(one, tuple):
        assert_equal(dict(enumerate(one)), dict(enumerate(other)))
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, np.ndarray) and one.dtype.kind == "O":
        assert_equal(dict(enumerate(one)), dict(enumerate(other)))
    elif isinstance(one, np.ndarray) and one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("error")
def test_make_vec_needs_no_further_argument():
    envs = gymnasium.make_vec(ENV_ID, num_envs=2)
    assert isinstance(envs, FusionVectorEnv)
    observations, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observations)
    observations, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert envs.observation_space.contains(observations)
    assert rewards.shape == terminated.shape == truncated.shape == (2,)


def test_make_vec_passes_arguments_on(clips):
    envs = gymnasium.make_vec(ENV_ID, num_envs=4, backbone=tiny_backbone(), clips=clips, rollouts_per_clip=2)
    envs.reset()
    assert len(envs.unwrapped.episodes.indices) == 2


@each_order
def test_it_equals_gymnasiums_vector_of_single_envs(clips, order):
    """All arrays and infos of SyncVectorEnv under the same seeds and actions, over more than one episode."""

    def single() -> FusionEnv:
        return FusionEnv(tiny_backbone(group_size=2), clips, order=order, train=False, reward="log_prob")

    sync = SyncVectorEnv([single], autoreset_mode=AutoresetMode.SAME_STEP)
    batched = make_env(clips, 1, order=order, train=False, reward="log_prob")
    assert batched.metadata["autoreset_mode"] == sync.metadata["autoreset_mode"]
    assert batched.single_observation_space == sync.single_observation_space
    assert batched.action_space == sync.action_space
    assert_equal(batched.reset(seed=5), sync.reset(seed=5))
    sync.action_space.seed(0)
    for _ in range(2 * EPISODE[order] + 1):
        actions = sync.action_space.sample()
        (*one, info), (*other, sync_info) = batched.step(actions), sync.step(actions)
        for array, expected in zip(one, other, strict=True):
            assert_equal(array, expected)
            assert array.dtype == expected.dtype
        # what Gymnasium adds to the last step's info and nobody needs: the mask of a site that will not come
        for name in ("action_mask", "_action_mask"):
            sync_info.get("final_info", {}).pop(name, None)
        assert_equal(info, sync_info)


@each_order
def test_batched_equals_single(clips, order):
    batched = make_env(clips, 3, order=order, train=False, reward="log_prob")
    decisions = random_decisions(batched.episodes.backbone, rows=3)
    observations, rewards = [batched.reset()[0]], []
    over = np.zeros(3, bool)
    while not over.any():
        observation, reward, over, _, info = batched.step(to_actions(batched.episodes, decisions))
        observations.append(observation)
        rewards.append(reward)
    single = FusionEnv(tiny_backbone(group_size=2), clips, order=order, train=False, reward="log_prob")
    for row in range(3):
        np.testing.assert_allclose(observations[0][row], single.reset()[0], rtol=0, atol=1e-5)
        for step, reward in enumerate(rewards):
            actions = to_actions(single.episodes, [d[row : row + 1] for d in decisions])
            observation, alone, terminated, _, alone_info = single.step(actions[0])
            assert alone == pytest.approx(reward[row], abs=1e-5)
            if not terminated:
                np.testing.assert_allclose(observations[step + 1][row], observation, rtol=0, atol=1e-5)
        facts = info["final_info"]["clip"]
        for name, value in alone_info["clip"].items():
            exact = name in ("clip", "label", "prediction", "correct", "macs_ratio")
            assert facts[name][row] == (value if exact else pytest.approx(value, abs=1e-5)), name


@each_order
def test_the_last_steps_observation_begins_the_next_episode(clips, order):
    envs, reference = make_env(clips, order=order, train=False), make_env(clips, order=order, train=False)
    envs.reset()
    for step in range(1, 2 * EPISODE[order] + 1):
        observations, _, terminated, truncated, info = envs.step(envs.action_space.sample())
        assert terminated.tolist() == [step % EPISODE[order] == 0] * 4
        assert not truncated.any()
        assert ("final_info" in info) == terminated.all()
        if terminated.all():
            assert info["final_info"]["clip"]["clip"].tolist() == [[0, 1, 2, 3], [4, 5, 0, 1]][step > EPISODE[order]]
            assert all(final.shape == observations[0].shape for final in info["final_obs"])
            np.testing.assert_array_equal(info["action_mask"][0], envs.spaces.action_mask(0))
            if step == EPISODE[order]:
                reference.reset()
                np.testing.assert_array_equal(observations, reference._start())


@each_order
def test_the_same_seed_gives_the_same_episodes(clips, order):
    def run(seed) -> list[np.ndarray]:
        envs = make_env(clips, order=order)
        envs.action_space.seed(0)
        seen = [envs.reset(seed=seed)[0]]
        for _ in range(2 * EPISODE[order]):
            seen.extend(envs.step(envs.action_space.sample())[:2])
        return seen

    for one, other in zip(run(3), run([3, 4, 5, 6]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((one != other).any() for one, other in zip(run(3), run(4), strict=True))


@each_order
def test_rollouts_of_a_clip_see_the_same_clip(clips, order):
    envs = make_env(clips, 6, order=order, rollouts_per_clip=3)
    observations, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observations)
    for clip in (observations[:3], observations[3:]):
        np.testing.assert_array_equal(clip, clip[:1].repeat(3, 0))
    assert (observations[0] != observations[3]).any()
    terminated = np.zeros(6, bool)
    while not terminated.any():
        _, _, terminated, _, info = envs.step(envs.action_space.sample())
    dealt = info["final_info"]["clip"]["clip"]
    assert dealt.tolist() == dealt[::3].repeat(3).tolist()
    assert dealt[0] != dealt[3]


def test_masks_have_a_fresh_row_for_each_env(clips):
    envs = make_env(clips)
    assert envs.action_masks().shape == (4, 9)  # known before the first reset
    _, info = envs.reset()
    assert info["action_mask"].shape == (4, 9)
    info["action_mask"][:] = False
    assert envs.action_masks().any()


def test_gymnasiums_statistics_wrapper_fits(clips):
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(make_env(clips, order="site"))
    envs.reset()
    for _ in range(3):
        *_, info = envs.step(envs.action_space.sample())
    np.testing.assert_allclose(info["episode"]["r"], info["final_info"]["clip"]["reward"], atol=1e-5)
    assert info["episode"]["l"].tolist() == [3] * 4


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"num_envs": 5, "rollouts_per_clip": 2}, "positive multiple of rollouts_per_clip = 2, got 5"),
        ({"num_envs": 0}, "positive multiple of rollouts_per_clip = 1, got 0"),
        ({"num_envs": 2, "rollouts_per_clip": 0}, "at least 1 rollout per clip, got 0"),
        ({"render_mode": "rgb_array"}, "render FusionEnv"),
    ],
)
def test_bad_arguments_are_refused(clips, kwargs, words):
    with pytest.raises(ValueError, match=words):
        make_env(clips, **kwargs)


def test_naming_a_clip_is_refused_as_rows_play_different_ones(clips):
    with pytest.raises(ValueError, match=r"options.*clip.*FusionEnv"):
        make_env(clips).reset(options={"clip": 1})


@pytest.mark.parametrize("actions", [np.zeros((3, 3), int), np.zeros((4, 2), int), np.zeros(3, int)])
def test_actions_of_a_wrong_shape_are_refused(clips, actions):
    envs = make_env(clips)
    envs.reset()
    with pytest.raises(ValueError, match=r"expected actions of shape \(4, 3\)"):
        envs.step(actions)


def test_a_step_before_reset_is_refused(clips):
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        make_env(clips).step(np.zeros((4, 3), int))


def test_workers_change_nothing_but_who_reads(clips):
    alone, helped = make_env(clips), make_env(clips, workers=1)
    rng = np.random.default_rng(0)
    for seed in (3, None, 4):
        assert_equal(alone.reset(seed=seed), helped.reset(seed=seed))
        for _ in range(5):
            actions = rng.integers(0, 3, (4, alone.action_space.shape[1]))
            assert_equal(alone.step(actions), helped.step(actions))
    helped.close()
