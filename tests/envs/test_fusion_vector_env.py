"""FusionVectorEnv: the same episodes many at a time, and what happens at their end."""

import gymnasium
import numpy as np
import pytest
from fusion_cases import T, random_decisions, tiny_backbone, to_actions
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

from envs import ENV_ID, FusionEnv, FusionVectorEnv
from envs.spaces import ORDERS

each_order = pytest.mark.parametrize("order", ORDERS)
each_mode = pytest.mark.parametrize("mode", AutoresetMode)
NOT_SAME_STEP = (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED)
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
@each_mode
def test_it_equals_gymnasiums_vector_of_single_envs(clips, order, mode):
    """All arrays and infos of SyncVectorEnv under the same seeds and actions, over more than one episode."""

    def single() -> FusionEnv:
        return FusionEnv(tiny_backbone(group_size=2), clips, order=order, train=False, reward="log_prob")

    sync = SyncVectorEnv([single], autoreset_mode=mode)
    batched = make_env(clips, 1, order=order, train=False, reward="log_prob", autoreset_mode=mode)
    assert batched.metadata["autoreset_mode"] == sync.metadata["autoreset_mode"]
    assert batched.single_observation_space == sync.single_observation_space
    assert batched.action_space == sync.action_space
    assert_equal(batched.reset(seed=5), sync.reset(seed=5))
    sync.action_space.seed(0)
    for _ in range(2 * EPISODE[order] + 2):
        actions = sync.action_space.sample()
        (*one, info), (*other, sync_info) = batched.step(actions), sync.step(actions)
        for array, expected in zip(one, other, strict=True):
            assert_equal(array, expected)
            assert array.dtype == expected.dtype
        # what Gymnasium adds to the last step's info and nobody needs: the mask of a site that will not come
        for name in ("action_mask", "_action_mask"):
            sync_info.get("final_info", {}).pop(name, None)
        assert_equal(info, sync_info)
        if mode is AutoresetMode.DISABLED and one[2].all():
            chosen = {"reset_mask": np.ones(1, bool)}
            assert_equal(batched.reset(options=dict(chosen)), sync.reset(options=dict(chosen)))


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
            np.testing.assert_array_equal(info["action_mask"][0], envs.layout.action_mask(0))
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


# -- the end of an episode -------------------------------------------------------------------------------------------


def play_to_the_end(envs) -> tuple:
    """Play random actions: what the last step returned."""
    over = np.zeros(envs.num_envs, bool)
    while not over.any():
        result = envs.step(envs.action_space.sample())
        over = result[2]
    return result


@each_mode
def test_the_mode_is_named_by_enum_or_value_and_stands_in_the_instances_metadata(clips, mode):
    for name in (mode, mode.value):
        envs = make_env(clips, autoreset_mode=name)
        assert envs.metadata["autoreset_mode"] is envs.autoreset_mode is mode
        assert gymnasium.make_vec(ENV_ID, num_envs=1, autoreset_mode=name).metadata["autoreset_mode"] is mode
    assert FusionVectorEnv.metadata["autoreset_mode"] is make_env(clips).autoreset_mode is AutoresetMode.SAME_STEP


def test_an_unknown_mode_is_refused(clips):
    with pytest.raises(ValueError, match="sometimes"):
        make_env(clips, autoreset_mode="sometimes")


@each_order
@pytest.mark.parametrize("mode", NOT_SAME_STEP)
def test_the_last_step_keeps_its_own_facts_where_the_episode_does_not_begin_again_in_it(clips, order, mode):
    envs = make_env(clips, order=order, train=False, autoreset_mode=mode)
    envs.reset()
    observations, _, terminated, truncated, info = play_to_the_end(envs)
    assert terminated.all()
    assert not truncated.any()
    assert not observations.any()
    assert info["clip"]["clip"].tolist() == [0, 1, 2, 3]
    assert info["_clip"].all()
    assert "final_info" not in info


@each_order
def test_next_step_ignores_the_actions_after_an_end(clips, order):
    envs, reference = (make_env(clips, order=order, train=False, autoreset_mode=m) for m in ("NextStep", "Disabled"))
    envs.reset()
    reference.reset()
    play_to_the_end(envs)
    observations, rewards, terminated, truncated, info = envs.step(np.full((4, envs.action_space.shape[1]), 99))
    expected, expected_info = reference.reset()  # the second batch of clips
    np.testing.assert_array_equal(observations, expected)
    assert_equal(info, expected_info)
    assert not rewards.any()
    assert not terminated.any()
    assert not truncated.any()
    assert play_to_the_end(envs)[-1]["clip"]["clip"].tolist() == [4, 5, 0, 1]


def test_next_step_owes_nothing_after_a_reset(clips):
    envs = make_env(clips, order="site", autoreset_mode="NextStep")
    envs.reset()
    play_to_the_end(envs)
    envs.reset()
    _, rewards, *_ = envs.step(envs.action_space.sample())
    assert (rewards < 0).all()


def test_without_autoreset_a_step_after_the_end_is_refused(clips):
    envs = make_env(clips, order="site", autoreset_mode="Disabled")
    envs.reset()
    play_to_the_end(envs)
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        envs.step(envs.action_space.sample())


def test_a_mask_of_all_rows_is_a_reset(clips):
    envs, reference = make_env(clips), make_env(clips)
    options = {"reset_mask": np.ones(4, bool)}
    assert_equal(envs.reset(seed=1, options=options), reference.reset(seed=1))
    assert list(options) == ["reset_mask"]  # the caller's dict stays as it was


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.array([True, False, True, True]), "all 4 rows, as they play in lockstep and end together, got 3 of them"),
        (np.zeros(4, bool), "got 0 of them"),
        (np.ones(3, bool), r"bool of shape \(4,\), got bool of shape \(3,\)"),
        (np.ones(4), r"bool of shape \(4,\), got float64 of shape \(4,\)"),
        ([True] * 4, r"bool of shape \(4,\), got list"),
    ],
)
def test_a_mask_that_lockstep_cannot_follow_is_refused_and_nothing_reset(clips, mask, words):
    envs = make_env(clips, train=False, autoreset_mode="Disabled")
    envs.reset()
    with pytest.raises(ValueError, match=words):
        envs.reset(options={"reset_mask": mask})
    envs.step(envs.action_space.sample())
    assert envs.episodes.indices.tolist() == [0, 1, 2, 3]


# -- other people's wrappers -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@each_mode
def test_gymnasiums_statistics_wrapper_fits(clips, mode):
    envs = wrappers.RecordEpisodeStatistics(make_env(clips, order="site", autoreset_mode=mode))
    for _ in range(2):
        envs.reset()
        info = play_to_the_end(envs)[-1]
        clip = info["final_info"]["clip"] if mode is AutoresetMode.SAME_STEP else info["clip"]
        np.testing.assert_allclose(info["episode"]["r"], clip["reward"], atol=1e-5)
        assert info["episode"]["l"].tolist() == [3] * 4


@pytest.mark.filterwarnings("error")
def test_gymnasium_normalises_observations_over_next_step(clips):
    envs = wrappers.NormalizeObservation(make_env(clips, 3, order="site", autoreset_mode=AutoresetMode.NEXT_STEP))
    observations, _ = envs.reset(seed=0)
    for _ in range(9):
        assert np.isfinite(observations).all()
        observations, *_ = envs.step(envs.action_space.sample())
    assert envs.obs_rms.count > 3


OBSERVATIONS = {
    "NormalizeObservation": wrappers.NormalizeObservation,
    "TransformObservation": lambda env: wrappers.TransformObservation(env, lambda observations: 2 * observations),
    "FlattenObservation": wrappers.FlattenObservation,
}
OTHERS = {
    "NormalizeReward": wrappers.NormalizeReward,
    "ClipReward": lambda env: wrappers.ClipReward(env, -0.1, 0.1),
    "TransformReward": lambda env: wrappers.TransformReward(env, lambda reward: 2 * reward),
    "TransformAction": lambda env: wrappers.TransformAction(env, lambda actions: actions),
    "DictInfoToList": wrappers.DictInfoToList,
}
WRAPPERS = [(name, mode) for name in OTHERS for mode in AutoresetMode]
WRAPPERS += [(name, AutoresetMode.NEXT_STEP) for name in OBSERVATIONS]
WRAPPERS += [(name, AutoresetMode.DISABLED) for name in OBSERVATIONS if name != "NormalizeObservation"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "mode"), WRAPPERS)
def test_gymnasiums_wrappers_fit(clips, name, mode):
    envs = {**OBSERVATIONS, **OTHERS}[name](make_env(clips, order="site", autoreset_mode=mode))
    for _ in range(2):
        envs.reset(seed=0)
        for step in range(8):
            observations, rewards, terminated, *_ = envs.step(envs.action_space.sample())
            assert len(observations) == len(rewards) == 4
            assert terminated.all() == (step % (4 if mode is AutoresetMode.NEXT_STEP else 3) == 2)
            if terminated.all() and mode is AutoresetMode.DISABLED:
                envs.reset()


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_gymnasium_changes_observations_over_no_same_step(clips, name):
    """Its own rule, in its own words: NormalizeObservation wants NEXT_STEP."""
    with pytest.raises(ValueError, match=r"NEXT_STEP or DISABLED, got AutoresetMode\.SAME_STEP"):
        OBSERVATIONS[name](make_env(clips))


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_torchrl_plays_it(clips, mode):
    """TorchRL takes these two modes; what it hands on is what the environment gives itself."""
    gym, kwargs = pytest.importorskip("torchrl.envs.libs.gym"), {"order": "site", "train": False}
    envs, single = (
        make_env(clips, 2, autoreset_mode=mode, **kwargs),
        FusionEnv(tiny_backbone(group_size=2), clips, **kwargs),
    )
    steps = gym.GymWrapper(envs, device="cpu").rollout(5, break_when_any_done=False)
    assert steps["next", "done"][:, :, 0].tolist() == [[False, False, True, False, False]] * 2
    for row, clip in enumerate(envs.episodes.indices):
        observation, _ = single.reset(options={"clip": clip})
        for step in (3, 4):  # the second episode, which is still under way
            np.testing.assert_allclose(steps["observation"][row, step], observation, atol=1e-5)
            observation, reward, *_ = single.step(steps["action"][row, step].numpy())
            assert steps["next", "reward"][row, step, 0].item() == pytest.approx(reward, abs=1e-5)
        np.testing.assert_allclose(steps["next", "observation"][row, 4], observation, atol=1e-5)


# -- bad input -------------------------------------------------------------------------------------------------------


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
