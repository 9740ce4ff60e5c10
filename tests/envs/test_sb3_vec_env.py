"""FusionVecEnv: what stable-baselines3 expects of a VecEnv, and handing out clips whole."""

import gymnasium
import numpy as np
import pytest
import torch
from fusion_cases import T, random_decisions, tiny_backbone, to_actions
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from envs import FusionVecEnv, FusionVectorEnv
from envs.clips.source import BrokenClip
from envs.spaces import ORDERS

each_order = pytest.mark.parametrize("order", ORDERS)
EPISODE = {"frame": 3 * T, "site": 3}


def make_env(clips, num_clips: int = 2, **kwargs) -> FusionVecEnv:
    settings = {"num_clips": num_clips, "order": "site", "reward": "log_prob", **kwargs}
    return FusionVecEnv(tiny_backbone(group_size=2), clips, **settings)


def random_actions(env: FusionVecEnv, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 3, (env.num_envs, len(env.action_space.nvec)))


def run_batch(env: FusionVecEnv, seed: int = 0) -> tuple[list[np.ndarray], list[dict]]:
    """Play random actions to the end of the batch under way: what came back, and the last infos."""
    rng, seen, dones = np.random.default_rng(seed), [], np.zeros(1, bool)
    while not dones.any():
        observations, rewards, dones, infos = env.step(random_actions(env, rng))
        seen += [observations, rewards]
    return seen, infos


def played(infos: list[dict]) -> list[int]:
    return [info["clip"]["clip"] for info in infos]


# -- stock algorithms ------------------------------------------------------------------------------------------------

SMALL = {"n_steps": 6, "device": "cpu", "policy_kwargs": {"net_arch": [8]}, "seed": 0}


@pytest.mark.usefixtures("sb3_logs")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("algorithm", "kwargs"),
    [
        (PPO, {"batch_size": 12, "n_epochs": 1}),
        (A2C, {}),
        (MaskablePPO, {"batch_size": 12, "n_epochs": 1}),
    ],
)
@each_order
def test_stock_algorithms_train_on_it_unmodified(clips, order, algorithm, kwargs):
    env = make_env(clips, order=order)
    model = algorithm("MlpPolicy", env, **SMALL, **kwargs)
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(24)
    assert model.num_timesteps == 24
    assert any((new != old).any() for new, old in zip(model.policy.parameters(), before, strict=True))


def test_a_masked_policy_never_decides_in_the_padding(clips):
    env = make_env(clips)
    model = MaskablePPO("MlpPolicy", env, batch_size=12, n_epochs=1, **SMALL)
    observations = env.reset()
    assert not get_action_masks(env).all()  # the first site is narrower than the widest
    for _ in range(3):
        masks = get_action_masks(env)
        actions, _ = model.predict(observations, action_masks=masks)
        assert np.take_along_axis(masks.reshape(*actions.shape, 3), actions[..., None], -1).all()
        observations, _, _, _ = env.step(actions)


@pytest.mark.usefixtures("sb3_logs")
def test_stock_evaluation_and_wrappers_run_on_it(clips):
    env = VecNormalize(VecMonitor(make_env(clips)), norm_reward=False)
    model = PPO("MlpPolicy", env, batch_size=12, n_epochs=1, **SMALL)
    model.learn(12)
    assert [episode["l"] for episode in model.ep_info_buffer] == [3] * 4
    mean, _ = evaluate_policy(model, env, n_eval_episodes=4, warn=False)
    assert np.isfinite(mean)


# -- the VecEnv interface --------------------------------------------------------------------------------------------


@each_order
@pytest.mark.parametrize("rollouts_per_clip", [1, 3])
def test_it_equals_the_vector_env_of_gymnasium(clips, order, rollouts_per_clip):
    kwargs = {"order": order, "rollouts_per_clip": rollouts_per_clip, "train": False, "reward": "log_prob"}
    env = make_env(clips, **kwargs)
    vector = FusionVectorEnv(2 * rollouts_per_clip, tiny_backbone(group_size=2), clips, **kwargs)
    np.testing.assert_array_equal(env.reset(), vector.reset()[0])
    rng = np.random.default_rng(0)
    for _ in range(2 * EPISODE[order]):
        actions = random_actions(env, rng)
        observations, rewards, dones, infos = env.step(actions)
        others, other_rewards, terminated, _, info = vector.step(actions)
        np.testing.assert_array_equal(observations, others)
        np.testing.assert_array_equal(rewards, other_rewards)
        np.testing.assert_array_equal(dones, terminated)
        np.testing.assert_array_equal(env.action_masks(), info["action_mask"])
        if dones.any():
            clip = info["final_info"]["clip"]
            assert [i["clip"] for i in infos] == [
                {name: clip[name][row].item() for name in infos[row]["clip"]} for row in range(env.num_envs)
            ]


@each_order
def test_only_the_last_step_is_done_and_carries_what_sb3_asks_for(clips, order):
    env = make_env(clips, order=order)
    env.reset()
    rng = np.random.default_rng(0)
    for step in range(1, 2 * EPISODE[order] + 1):
        observations, rewards, dones, infos = env.step(random_actions(env, rng))
        last = step % EPISODE[order] == 0
        assert dones.tolist() == [last] * 2
        assert rewards.dtype == np.float32
        for info, observation in zip(infos, observations, strict=True):
            assert set(info) == ({"terminal_observation", "TimeLimit.truncated", "clip"} if last else set())
            if last:
                assert info["TimeLimit.truncated"] is False
                assert info["terminal_observation"].shape == observation.shape


def test_arrays_handed_out_are_never_written_again(clips):
    env, rng = make_env(clips), np.random.default_rng(0)
    kept = [env.reset()]
    copies = [kept[0].copy()]
    for _ in range(7):
        observations, rewards, dones, _ = env.step(random_actions(env, rng))
        for array in (observations, rewards, dones, env.action_masks()):
            kept.append(array)
            copies.append(array.copy())
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_attributes_are_answered_for_each_row_asked_for(clips):
    env = make_env(clips, rollouts_per_clip=2)
    assert env.get_attr("num_clips") == [2] * 4
    assert env.get_attr("cost_weight", [0, 2]) == [1.0, 1.0]
    assert env.has_attr("action_masks")
    assert not env.has_attr("no_such_thing")
    assert env.env_is_wrapped(gymnasium.Wrapper, [1]) == [False]
    assert env.get_attr("render_mode") == [None] * 4


def test_the_cost_weight_is_set_for_all_rows_or_none(clips):
    env = make_env(clips)
    env.set_attr("cost_weight", 0.25)
    assert env.episodes.reward.cost_weight == env.cost_weight == 0.25
    with pytest.raises(ValueError, match="share their attributes"):
        env.set_attr("cost_weight", 0.5, [0])


def test_masks_are_answered_before_and_after_reset_a_row_each(clips):
    env = make_env(clips, rollouts_per_clip=2)
    assert is_masking_supported(env)
    assert get_action_masks(env).shape == (4, env.action_space.nvec.sum())
    env.reset()
    assert get_action_masks(env).shape == (4, env.action_space.nvec.sum())
    row, other = env.env_method("action_masks", indices=[1, 3])
    np.testing.assert_array_equal(row, env.layout.action_mask(0))
    np.testing.assert_array_equal(other, row)


def test_rollouts_of_a_clip_stand_side_by_side(clips):
    env = make_env(clips, rollouts_per_clip=3)
    observations = env.reset()
    np.testing.assert_array_equal(observations[:3], observations[:1].repeat(3, 0))
    indices = played(run_batch(env)[1])
    assert indices == [indices[0]] * 3 + [indices[3]] * 3
    assert indices[0] != indices[3]


def test_the_ledger_is_that_of_the_backbone(clips):
    env = make_env(clips)
    assert env.ledger is env.episodes.backbone.ledger


# -- seeds, clips and resuming ---------------------------------------------------------------------------------------


@each_order
def test_the_same_seed_gives_the_same_episodes(clips, order):
    def run(seed: int, seeded_by_sb3: bool) -> list[np.ndarray]:
        env = make_env(clips, order=order, seed=0 if seeded_by_sb3 else seed)
        if seeded_by_sb3:
            env.seed(seed)
        return [env.reset(), *run_batch(env)[0], *run_batch(env)[0]]

    for one, other in zip(run(3, False), run(3, True), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any((one != other).any() for one, other in zip(run(3, False), run(4, False), strict=True))


def test_a_reset_without_a_seed_deals_on(clips):
    env, seen = make_env(clips), []
    for _ in range(3):
        env.reset()
        seen += env.episodes.indices.tolist()
    assert sorted(seen) == list(range(6))


def test_every_pass_plays_each_clip_once(clips):
    env = make_env(clips)
    env.reset()
    seen = [index for _ in range(3) for index in played(run_batch(env)[1])]
    assert sorted(seen) == list(range(6))


@pytest.mark.parametrize("train", [True, False])
def test_take_clips_hands_out_what_episodes_would_play(clips, train):
    env, taker = make_env(clips, train=train), make_env(clips, train=train)
    env.reset()
    for _ in range(4):
        frames, labels = taker.take_clips()
        assert torch.equal(frames, env.episodes.frames)
        assert torch.equal(labels, env.episodes.labels)
        run_batch(env)


def test_take_clips_after_reset_begins_with_the_clips_nobody_played(clips):
    env = make_env(clips)
    env.reset()
    untouched = env.episodes.frames.clone()
    assert torch.equal(env.take_clips()[0], untouched)
    assert not torch.equal(env.take_clips()[0], untouched)


def test_take_clips_skips_clips_that_are_being_played(clips):
    env = make_env(clips)
    env.reset()
    playing = env.episodes.frames.clone()
    env.step(random_actions(env, np.random.default_rng(0)))
    assert not torch.equal(env.take_clips()[0], playing)


def test_control_another_seed_hands_out_other_clips(clips):
    assert not torch.equal(make_env(clips, seed=0).take_clips()[0], make_env(clips, seed=1).take_clips()[0])


@pytest.mark.parametrize("batches", [0, 1, 2, 5])
@pytest.mark.parametrize("whole", [True, False])
def test_a_saved_state_resumes_with_the_clips_that_would_have_come(clips, batches, whole):
    """By episodes or by clips handed out whole, in the middle of a pass and past its end."""
    env = make_env(clips, seed=3)
    env.reset()
    for _ in range(batches):
        if whole:
            env.take_clips()
        else:
            run_batch(env)
    resumed = make_env(clips, seed=8)
    resumed.reset()
    resumed.load_state_dict(env.state_dict())
    if whole:
        assert torch.equal(env.take_clips()[0], resumed.take_clips()[0])
        return
    resumed.reset()
    for one, other in zip(run_batch(env)[0], run_batch(resumed)[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loaded_state_is_not_undone_by_a_seed_given_before(clips):
    env, resumed = make_env(clips, seed=3), make_env(clips)
    env.take_clips()
    resumed.seed(5)
    resumed.load_state_dict(env.state_dict())
    resumed.reset()
    assert torch.equal(resumed.episodes.frames, env.take_clips()[0])


@pytest.mark.parametrize("whole", [True, False])
def test_workers_change_nothing_but_who_reads(clips, whole):
    env, helped = make_env(clips), make_env(clips, workers=1)
    for one in (env, helped):
        one.reset()
    for _ in range(3):
        if whole:
            assert torch.equal(env.take_clips()[0], helped.take_clips()[0])
        else:
            for one, other in zip(run_batch(env)[0], run_batch(helped)[0], strict=True):
                np.testing.assert_array_equal(one, other)
        assert env.state_dict() == helped.state_dict()
    state = env.state_dict()
    run_batch(helped)
    for one in (env, helped):
        one.load_state_dict(state)
        one.reset()
    assert torch.equal(env.episodes.frames, helped.episodes.frames)
    assert 0 <= helped.data_facts()["wait"] <= 1
    helped.close()


def test_a_broken_clip_is_replaced_and_counted(clips, monkeypatch, capsys):
    def read(indices, rng=None):
        if 2 in indices:
            raise BrokenClip("clip 2 is cut off", 2)
        return frames(indices, rng)

    frames = clips.frames
    monkeypatch.setattr(clips, "frames", read)
    env = make_env(clips)
    env.reset()
    seen = {index for _ in range(6) for index in played(run_batch(env)[1])}
    assert seen == {0, 1, 3, 4, 5}
    assert env.data_facts()["broken"] == 1
    assert "clip 2 is cut off" in capsys.readouterr().err
    with pytest.raises(BrokenClip):
        make_env(clips, num_clips=3, train=False).reset()


# -- bad input -------------------------------------------------------------------------------------------------------


def test_no_clips_at_a_time_are_refused(clips):
    with pytest.raises(ValueError, match="at least one clip at a time, got num_clips = 0"):
        make_env(clips, 0)


def test_a_step_before_reset_is_refused(clips):
    env = make_env(clips)
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        env.step(random_actions(env, np.random.default_rng(0)))


def test_actions_of_a_wrong_shape_are_refused(clips):
    env = make_env(clips)
    env.reset()
    with pytest.raises(ValueError, match=r"expected actions of shape \(2, 12\)"):
        env.step(np.zeros((2, 11), int))


def test_decisions_reach_the_backbone_row_by_row(clips):
    """Row i's outcome depends on row i's actions alone."""
    env = make_env(clips, rollouts_per_clip=2, train=False)
    decisions = random_decisions(env.episodes.backbone, rows=4)
    changed = [d.clone() for d in decisions]
    for d in changed:
        d[2] = (d[2] + 1) % 3
    outcomes = []
    for chosen in (decisions, changed):
        env.sampler.position = 0
        env.reset()
        for _ in range(3):
            *_, infos = env.step(to_actions(env.episodes, chosen))
        outcomes.append([info["clip"] for info in infos])
    assert [one == other for one, other in zip(*outcomes, strict=True)] == [True, True, False, True]


# -- a backbone that learns --------------------------------------------------------------------------------------------


@each_order
@pytest.mark.parametrize("rollouts_per_clip", [1, 3])
def test_episodes_that_nobody_stepped_begin_again_with_new_weights_on_the_same_clips(clips, order, rollouts_per_clip):
    env = make_env(clips, order=order, rollouts_per_clip=rollouts_per_clip, seed=4)
    before, place = env.reset(), env.state_dict()
    np.testing.assert_array_equal(env.begin_again(), before)
    with torch.no_grad():
        for parameter in env.episodes.backbone.parameters():
            parameter.mul_(1.5)
    after = env.begin_again()
    assert not np.allclose(after, before)
    assert env.state_dict() == place
    again, infos = run_batch(env)
    kwargs = {"order": order, "reward": "log_prob", "rollouts_per_clip": rollouts_per_clip, "seed": 4}
    other = FusionVecEnv(env.episodes.backbone, clips, num_clips=2, **kwargs)
    np.testing.assert_array_equal(other.reset(), after)
    wanted, other_infos = run_batch(other)
    for one, two in zip(again, wanted, strict=True):
        np.testing.assert_array_equal(one, two)
    assert played(infos) == played(other_infos)


def test_episodes_under_way_are_not_begun_again(clips):
    env = make_env(clips)
    env.reset()
    env.step(random_actions(env, np.random.default_rng(0)))
    with pytest.raises(RuntimeError, match="under way"):
        env.begin_again()
