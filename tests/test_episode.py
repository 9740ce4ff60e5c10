"""EpisodeRecord and the wrapper that makes it."""

import gymnasium
import numpy as np
import pytest
from conftest import T, random_decisions, tiny_backbone, to_actions

from backbone import Decision
from envs import ENV_ID, EpisodeRecord, FusionEnv, RecordEpisode
from envs.layout import ORDERS
from envs.render import draw_episode

each_order = pytest.mark.parametrize("order", ORDERS)


def record_episode(clips, order: str, clip: int = 2, seed: int = 0, **kwargs) -> tuple[EpisodeRecord, dict, list]:
    """Follow random decisions: the record, the last info, the decisions."""
    env = RecordEpisode(FusionEnv(tiny_backbone(group_size=2), clips, order=order, train=False, **kwargs))
    return play_on(env, clip, seed)


def play_on(env: gymnasium.Env, clip: int, seed: int) -> tuple[EpisodeRecord, dict, list]:
    episodes = env.unwrapped.episodes
    decisions = random_decisions(episodes.backbone, rows=1, seed=seed)
    env.reset(options={"clip": clip})
    terminated = False
    while not terminated:
        _, _, terminated, _, info = env.step(to_actions(episodes, decisions, padding=Decision.SKIP)[0])
        assert ("episode_record" in info) == terminated
    return info["episode_record"], info, decisions


@each_order
def test_a_record_holds_all_decisions_without_padding(clips, order):
    record, _, decisions = record_episode(clips, order)
    step_frames = 1 if order == "frame" else T
    assert len(record.decisions) == 3 * T // step_frames
    for site, first, chosen in record.decisions:
        expected = decisions[site][0, first : first + step_frames].numpy()
        np.testing.assert_array_equal(chosen, expected)


@each_order
def test_a_record_holds_frames_rewards_and_outcome(clips, order):
    record, info, _ = record_episode(clips, order, reward="log_prob")
    np.testing.assert_array_equal(record.frames, clips.frames([2])[0])
    assert record.outcome == info["clip"]
    assert record.outcome["clip"] == 2
    assert sum(record.rewards) == pytest.approx(record.outcome["reward"], abs=1e-5)
    assert record.classes == clips.classes


@each_order
def test_shares_count_every_decision_once(clips, order):
    record, _, decisions = record_episode(clips, order)
    every = np.concatenate([chosen.numpy().ravel() for chosen in decisions])
    assert record.shares() == {decision: pytest.approx((every == decision).mean()) for decision in Decision}
    assert sum(record.shares().values()) == pytest.approx(1)


def test_both_orders_record_the_same_picture(clips):
    frame, site = (record_episode(clips, order)[0] for order in ORDERS)
    np.testing.assert_array_equal(frame.draw(), site.draw())


def test_the_drawing_is_captioned_and_differs_between_decisions(clips):
    one, other = (record_episode(clips, "site", seed=seed)[0] for seed in (0, 1))
    assert (one.draw() != other.draw()).any()
    bare = draw_episode(one.frames, one.sites, one.decisions)
    assert one.draw().shape[0] > bare.shape[0]
    np.testing.assert_array_equal(one.draw()[-bare.shape[0] :], bare)


@each_order
def test_records_of_following_episodes_are_their_own(clips, order):
    env = RecordEpisode(FusionEnv(tiny_backbone(group_size=2), clips, order=order, train=False))
    first, _, decisions = play_on(env, clip=1, seed=0)
    picture = first.draw()
    second, _, _ = play_on(env, clip=3, seed=1)
    assert first is not second
    assert len(first.rewards) == len(first.decisions) == len(second.rewards)
    assert (first.outcome["clip"], second.outcome["clip"]) == (1, 3)
    np.testing.assert_array_equal(first.draw(), picture)
    np.testing.assert_array_equal(first.decisions[0][2][0], decisions[0][0, 0].numpy())


def test_a_record_does_not_change_with_the_callers_action_array(clips):
    env = RecordEpisode(FusionEnv(tiny_backbone(group_size=2), clips, order="site"))
    env.reset()
    action = np.full(len(env.action_space.nvec), Decision.SKIP)
    terminated = False
    while not terminated:
        _, _, terminated, _, info = env.step(action)
    action[:] = Decision.USE
    assert info["episode_record"].shares()[Decision.SKIP] == 1


def test_it_wraps_what_gymnasium_makes(clips):
    env = RecordEpisode(gymnasium.make(ENV_ID, backbone=tiny_backbone(group_size=2), clips=clips))
    record, info, _ = play_on(env, clip=0, seed=0)
    assert record.outcome == info["clip"]
