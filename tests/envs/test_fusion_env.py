"""FusionEnv as Gymnasium and stable-baselines3 see it."""

import gymnasium
import numpy as np
import pytest
import torch
from fusion_cases import NUM_CLASSES, T, play, random_decisions, small_clips, tiny_backbone, to_actions
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from backbone import Decision, FusionBackbone, create_cnn, save_backbone
from envs import ENV_ID, FusionEnv, RecordEpisode
from envs.spaces import ORDERS

each_order = pytest.mark.parametrize("order", ORDERS)
OURS = [spec.id for spec in gymnasium.registry.values() if str(spec.entry_point).startswith("envs.")]


def make_env(clips, **kwargs) -> FusionEnv:
    return FusionEnv(tiny_backbone(group_size=2), clips, **kwargs)


def run_random_episode(env: gymnasium.Env, seed: int | None = None, **reset) -> tuple[list, list, dict]:
    """Play random actions of the env's own seeded space: observations, rewards, the last info."""
    observation, info = env.reset(seed=seed, **reset)
    observations, rewards, terminated = [observation], [], False
    while not terminated:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert not truncated
        observations.append(observation)
        rewards.append(reward)
    return observations, rewards, info


# -- checkers --------------------------------------------------------------------------------------------------------


def test_our_environment_is_registered():
    assert OURS == [ENV_ID]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("check", [gymnasium_check, sb3_check])
@pytest.mark.parametrize("env_id", OURS)
@each_order
def test_every_registered_env_passes_the_checkers_without_a_warning(clips, env_id, order, check):
    env = gymnasium.make(env_id, backbone=tiny_backbone(), clips=clips, order=order, render_mode="rgb_array")
    check(env.unwrapped)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["bottleneck", "plain"])
def test_other_backbones_pass_the_checkers_too(clips, kind):
    sb3_check(FusionEnv(tiny_backbone(kind, history="fused"), clips))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("env_id", OURS)
def test_make_needs_no_further_argument(env_id):
    env = gymnasium.make(env_id)
    observations, rewards, info = run_random_episode(env, seed=0)
    layout = env.unwrapped.layout
    assert (layout.order, layout.num_frames, len(layout.sites)) == ("frame", 8, 3)
    assert len(rewards) == layout.num_steps == 24
    assert all(env.observation_space.contains(observation) for observation in observations)
    assert info["clip"]["macs_ratio"] < 1


def test_default_weights_do_not_depend_on_the_global_seed_nor_change_it():
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        env = FusionEnv()
        drawn.append((env.episodes.backbone.cnn.fc.weight.clone(), torch.rand(1)))
        torch.manual_seed(seed)
        assert torch.equal(torch.rand(1), drawn[-1][1])
    assert torch.equal(drawn[0][0], drawn[1][0])


@each_order
def test_make_passes_arguments_on_and_spaces_follow(clips, order):
    env = gymnasium.make(ENV_ID, backbone=tiny_backbone(group_size=2), clips=clips, order=order)
    assert len(env.action_space.nvec) == (3 if order == "frame" else 3 * T)


def test_weights_from_a_file_are_used(tmp_path):
    backbone = FusionBackbone(create_cnn("resnet_small", num_classes=NUM_CLASSES)).eval()
    save_backbone(tmp_path / "b.pt", backbone, architecture="resnet_small", classes=list("abcdefgh"))
    env = FusionEnv(weights=tmp_path / "b.pt")
    assert torch.equal(env.episodes.backbone.cnn.fc.weight, backbone.cnn.fc.weight)


# -- episodes --------------------------------------------------------------------------------------------------------


@each_order
@pytest.mark.parametrize("train", [True, False])
def test_the_same_seed_gives_the_same_episodes(clips, order, train):
    runs = []
    for _ in range(2):
        env = make_env(clips, order=order, train=train)
        env.action_space.seed(3)
        runs.append([run_random_episode(env, seed) for seed in (7, None, None)])
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]
        assert one[2]["clip"] == other[2]["clip"]


def test_another_seed_gives_other_clips(clips):
    env = make_env(clips)
    orders = []
    for seed in range(3):
        orders.append([run_random_episode(env, seed if i == 0 else None)[2]["clip"]["clip"] for i in range(len(clips))])
        assert sorted(orders[-1]) == list(range(len(clips)))
    assert orders[0] != orders[1] or orders[1] != orders[2]


def test_without_training_clips_come_in_their_order_and_centred(clips):
    env = make_env(clips, train=False)
    for clip in (0, 1, 2):
        env.reset()
        np.testing.assert_array_equal(env.episodes.pixels, clips.frames([clip]))
        assert env.episodes.indices.tolist() == [clip]


def test_training_draws_random_segments_and_crops():
    clips = small_clips(count=1, num_frames=2, size=16)
    env = make_env(clips)
    seen = {(env.reset(), env.episodes.pixels.tobytes())[1] for _ in range(8)}
    assert len(seen) > 1


@each_order
def test_it_plays_as_the_batched_episodes_do(clips, order):
    env = make_env(clips, order=order, train=False, reward="log_prob")
    decisions = random_decisions(env.episodes.backbone, rows=1)
    outcome, rewards, observations = play(env.episodes, decisions, clips=(4,))
    own_rewards, own_observations = [], [env.reset(options={"clip": 4})[0]]
    terminated = False
    while not terminated:
        observation, reward, terminated, _, info = env.step(to_actions(env.episodes, decisions)[0])
        own_rewards.append(reward)
        own_observations.append(observation)
    np.testing.assert_array_equal(own_rewards, rewards[:, 0])
    np.testing.assert_array_equal(own_observations[:-1], [o[0] for o in observations])
    assert info["clip"] == outcome.per_episode()[0]
    assert info["clip"]["reward"] == pytest.approx(sum(own_rewards), abs=1e-5)


def test_a_clip_can_be_named_without_disturbing_the_order(clips):
    plain, disturbed = make_env(clips), make_env(clips)
    for env in (plain, disturbed):
        env.reset(seed=1)
    disturbed.reset(options={"clip": 2})
    assert disturbed.episodes.indices.tolist() == [2]
    plain.reset()
    disturbed.reset()
    assert disturbed.episodes.indices.tolist() == plain.episodes.indices.tolist()


def test_a_reset_in_the_middle_starts_afresh(clips):
    env = make_env(clips, train=False)
    first, _ = env.reset(options={"clip": 1})
    for _ in range(5):
        env.step(env.action_space.sample())
    again, _ = env.reset(options={"clip": 1})
    np.testing.assert_array_equal(first, again)
    assert not env.episodes.decisions.counts().any()


# -- masks -----------------------------------------------------------------------------------------------------------


@each_order
def test_masks_come_with_every_info_and_are_fresh(clips, order):
    env = make_env(clips, order=order)
    _, info = env.reset()
    for step in range(env.layout.num_steps - 1):
        expected = env.layout.action_mask(step % 3)
        np.testing.assert_array_equal(info["action_mask"], expected)
        np.testing.assert_array_equal(env.action_masks(), expected)
        info["action_mask"][:] = False
        env.action_masks()[:] = False
        np.testing.assert_array_equal(env.action_masks(), expected)
        _, _, _, _, info = env.step(env.action_space.sample())


def test_masks_are_known_before_the_first_reset(clips):
    env = make_env(clips)
    np.testing.assert_array_equal(env.action_masks(), env.layout.action_mask(0))


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ([0, 0], r"shape \(1, 3\).*got \(1, 2\)"),
        (0, "expected actions of shape"),
        ([0, 0, 3], "0 = use, 1 = reuse, 2 = skip; got 0 to 3"),
        ([0, 0, 0.5], "whole numbers"),
        ([0, 0, float("nan")], "whole numbers"),
        (None, "expected actions of shape"),
        ([None] * 3, "whole numbers"),
    ],
)
def test_a_bad_action_is_refused_and_not_recorded(clips, action, words):
    env = make_env(clips)
    env.reset()
    with pytest.raises(ValueError, match=words):
        env.step(action)
    assert not env.episodes.decisions.counts().any()


def test_a_step_before_reset_or_after_the_end_is_refused(clips):
    env = make_env(clips)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
            env.step(env.action_space.sample())
        run_random_episode(env)


@pytest.mark.parametrize("clip", [-1, 6, 1.5, "first", True])
def test_a_clip_that_is_not_there_is_refused(clips, clip):
    with pytest.raises(ValueError, match=r"expected options\['clip'\] from 0 to 5, got"):
        make_env(clips).reset(options={"clip": clip})


@pytest.mark.parametrize("clip", [3, np.int64(3)])
def test_any_integer_names_a_clip(clips, clip):
    env = make_env(clips)
    env.reset(options={"clip": clip})
    assert env.episodes.indices.tolist() == [3]


def test_a_backbone_and_weights_together_are_refused(clips):
    with pytest.raises(ValueError, match="got both: leave one out"):
        FusionEnv(tiny_backbone(), clips, weights="b.pt")


def test_a_missing_weights_file_is_told(clips, tmp_path):
    with pytest.raises(ValueError, match="found no such file"):
        FusionEnv(weights=tmp_path / "none.pt")


def test_clips_of_another_size_are_refused():
    with pytest.raises(ValueError, match="set the size of one to the other's"):
        make_env(small_clips(size=12))


# -- rendering -------------------------------------------------------------------------------------------------------


def test_rendering_grows_with_the_episode_and_is_none_unless_asked_for(clips):
    env = make_env(clips, render_mode="rgb_array")
    env.reset()
    before = env.render()
    env.step(np.full(3, Decision.SKIP))
    after = env.render()
    assert before.shape == after.shape
    assert before.dtype == np.uint8
    assert (before != after).any()
    silent = make_env(clips)
    silent.reset()
    assert silent.render() is None


def test_rendering_before_reset_is_refused(clips):
    with pytest.raises(RuntimeError, match=r"call reset\(\) before render\(\)"):
        make_env(clips, render_mode="rgb_array").render()


@each_order
def test_text_tells_each_steps_decisions_and_the_cost_so_far(clips, order):
    env = make_env(clips, order=order, train=False, render_mode="ansi")
    env.reset(options={"clip": 2})
    assert (
        env.render()
        == f"clip {clips.names[2]}, step 0: nothing decided yet\ncost so far: 0.000 of the clip's dense MACs"
    )
    steps, terminated, macs_ratio, sites, frames = 0, False, 0.0, env.layout.sites, env.layout.step_frames
    while not terminated:
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        head, *rows, cost = env.render().splitlines()[: 2 + frames]
        chunk, site = divmod(steps, len(sites))
        first, steps = chunk * frames, steps + 1
        chosen = env.episodes.decisions.by_site[site][0, first : first + frames]
        assert f"step {steps}: {sites[site].name} (site {site + 1} of 3), frame" in head
        assert f"{first + len(chosen)} of {T}" in head
        assert [row.split()[-1] for row in rows] == ["".join("UR."[decision] for decision in row) for row in chosen]
        macs_ratio -= reward - (info["clip"]["correct"] if terminated else 0)
        assert cost == f"cost so far: {macs_ratio:.3f} of the clip's dense MACs"
    assert env.render().splitlines()[-1].startswith(f"predicted: {clips.classes[info['clip']['prediction']]} (")
    env.reset()
    assert "nothing decided yet" in env.render()


@pytest.mark.parametrize("mode", ["human", "text"])
def test_an_unknown_render_mode_is_refused(clips, mode):
    with pytest.raises(ValueError, match=rf"None, rgb_array or ansi, got '{mode}'"):
        make_env(clips, render_mode=mode)


def test_who_asks_for_a_window_is_told_what_to_use_instead(clips):
    with pytest.raises(ValueError, match=r"rgb_array.*got 'human'.*HumanRendering.*RecordVideo.*inspect.*TensorBoard"):
        make_env(clips, render_mode="human")


@each_order
def test_gymnasiums_own_wrappers_fit(clips, order):
    env = gymnasium.wrappers.RecordEpisodeStatistics(RecordEpisode(make_env(clips, order=order)))
    _, rewards, info = run_random_episode(env)
    assert info["episode"]["r"] == pytest.approx(sum(rewards), abs=1e-5)
    assert info["episode"]["l"] == env.unwrapped.layout.num_steps
    assert info["episode_record"].outcome == info["clip"]
