"""EpisodeRecord and the wrapper that makes it."""

import gymnasium
import numpy as np
import pytest
import torch
from fusion_cases import T, random_decisions, tiny_backbone, to_actions, walk_in_chunks

from backbone import Decision
from envs import ENV_ID, EpisodeRecord, FusionEnv, RecordEpisode
from envs.decisions import UNDECIDED, Decisions
from envs.episode import record_rollout
from envs.episodes import Episodes
from envs.rendering.episodes import draw_episode
from envs.rollout import rollout
from envs.spaces import ORDERS

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
    assert len(record.rewards) == 3 * T // (1 if order == "frame" else T)
    for chosen, expected in zip(record.maps(), decisions, strict=True):
        np.testing.assert_array_equal(chosen, expected[0].numpy())


@each_order
def test_a_record_holds_frames_rewards_and_outcome(clips, order):
    record, info, _ = record_episode(clips, order, reward="log_prob")
    np.testing.assert_array_equal(record.frames, clips.frames([2])[0])
    assert record.outcome == info["clip"]
    assert record.outcome["clip"] == 2
    assert record.name == clips.names[2]
    assert sum(record.rewards) == pytest.approx(record.outcome["reward"], abs=1e-5)
    assert record.classes == clips.classes


@each_order
def test_shares_count_every_decision_once(clips, order):
    record, _, decisions = record_episode(clips, order)
    every = np.concatenate([chosen.numpy().ravel() for chosen in decisions])
    assert record.shares() == {decision: pytest.approx((every == decision).mean()) for decision in Decision}
    assert sum(record.shares().values()) == pytest.approx(1)


def test_both_orders_record_the_same_but_for_the_steps(clips):
    frame, site = (record_episode(clips, order)[0] for order in ORDERS)
    for one, other in zip(frame.maps(), site.maps(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(frame.probabilities, site.probabilities, atol=1e-5)
    np.testing.assert_array_equal(frame.frame_costs, site.frame_costs)
    assert frame.outcome_reward == pytest.approx(site.outcome_reward, abs=1e-4)


@each_order
def test_probabilities_are_those_of_the_running_mean_of_logits(clips, order):
    record, info, decisions = record_episode(clips, order)
    backbone = tiny_backbone(group_size=2)
    frames = backbone.preprocess(torch.from_numpy(clips.frames([2])))
    with torch.no_grad():
        for t in range(1, T + 1):
            cut = [chosen[:, :t] for chosen in decisions]
            logits, _ = walk_in_chunks(backbone, frames[:, :t], cut, [t])
            expected = logits.softmax(-1)[0].numpy()
            np.testing.assert_allclose(record.probabilities[t - 1], expected, atol=1e-5)
    assert np.log(record.probabilities[-1, info["clip"]["label"]]) == pytest.approx(info["clip"]["log_prob"], abs=1e-5)


@each_order
def test_the_mean_of_the_frames_costs_is_the_clips_and_the_agents_own_is_in_each(clips, order):
    plain, _, _ = record_episode(clips, order)
    charged, info, _ = record_episode(clips, order, agent_macs=[1e3] * 3)
    assert charged.frame_costs.mean() == pytest.approx(info["clip"]["macs_ratio"], rel=1e-9)
    own = 3e3 / tiny_backbone().ledger.dense_macs
    np.testing.assert_allclose(charged.frame_costs - plain.frame_costs, own, rtol=1e-9)


@pytest.mark.parametrize("reward", ["correctness", "log_prob"])
def test_the_outcomes_reward_is_what_the_rewards_hold_beside_cost(clips, reward):
    record, info, _ = record_episode(clips, "site", reward=reward, cost_weight=3.0)
    expected = info["clip"]["log_prob"] if reward == "log_prob" else float(info["clip"]["correct"])
    assert record.outcome_reward == pytest.approx(expected, abs=1e-4)
    assert record.reward.cost_weight == 3


def test_without_its_label_an_episode_keeps_its_costs_alone(clips):
    record, info, _ = record_episode(clips, "site", reward="log_prob")
    bare = record.unlabelled()
    assert (bare.label, bare.outcome["correct"], record.label) == (None, None, clips.classes[clips.labels[2]])
    assert sum(bare.rewards) == pytest.approx(-info["clip"]["macs_ratio"], abs=1e-5)
    assert set(record.facts()) - set(bare.facts()) == {"label"}


def test_its_table_names_clip_classes_cost_and_return(clips):
    record, info, _ = record_episode(clips, "site")
    record.name = "a|b\nc"
    lines = record.to_markdown().splitlines()[2:]
    found = dict(line.strip("| ").split(" | ", 1) for line in lines)
    assert found["clip"] == "a/b c"  # a table that stays one
    assert found["label"].startswith(record.label)
    assert found["prediction"].startswith(record.prediction)
    assert ("wrong" in found["prediction"]) == (not info["clip"]["correct"])
    assert f"{info['clip']['macs_ratio']:.3f}" in found["cost"]
    assert f"{info['clip']['reward']:.3f}" in found["return"]


def test_maps_of_an_episode_under_way_have_gaps():
    decisions = Decisions.undecided(tiny_backbone().sites, 1, T)
    decisions.write(1, 2, np.ones((1, 1, 6), int))
    record = EpisodeRecord(np.zeros((T, 8, 8, 3), np.uint8), ("a",), decisions)
    maps = record.maps()
    assert record.shares() == {Decision.USE: 0, Decision.REUSE: 1, Decision.SKIP: 0}
    assert (maps[0] == UNDECIDED).all()
    assert (maps[1][2] == 1).all()
    assert (np.delete(maps[1], 2, 0) == UNDECIDED).all()


def test_rows_of_a_batch_are_recorded_each_as_if_alone(clips):
    backbone = tiny_backbone(group_size=2)
    episodes = Episodes(backbone, clips, order="site", rollouts_per_clip=2)
    decisions = random_decisions(backbone, rows=4, seed=3)
    played = rollout(episodes, lambda *_: to_actions(episodes, decisions), [1, 3], detailed=True)
    records = record_rollout(episodes, played)
    assert [record.outcome["clip"] for record in records] == [1, 1, 3, 3]
    for row, record in enumerate(records):
        np.testing.assert_array_equal(record.frames, clips.frames([[1, 1, 3, 3][row]])[0])
        np.testing.assert_array_equal(record.maps()[0], decisions[0][row].numpy())
        assert sum(record.rewards) == pytest.approx(played.outcome.reward[row], abs=1e-5)
        assert record.frame_costs.mean() == pytest.approx(played.outcome.macs_ratio[row], rel=1e-9)


@each_order
def test_records_of_following_episodes_are_their_own(clips, order):
    env = RecordEpisode(FusionEnv(tiny_backbone(group_size=2), clips, order=order, train=False))
    first, _, decisions = play_on(env, clip=1, seed=0)
    picture = draw_episode(first)
    second, _, _ = play_on(env, clip=3, seed=1)
    assert first is not second
    assert len(first.rewards) == len(second.rewards) == env.unwrapped.layout.num_steps
    assert (first.outcome["clip"], second.outcome["clip"]) == (1, 3)
    np.testing.assert_array_equal(draw_episode(first), picture)
    np.testing.assert_array_equal(first.maps()[0], decisions[0][0].numpy())


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
