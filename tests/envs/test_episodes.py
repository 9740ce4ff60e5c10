"""The decision process itself: equivalences of its orders and batches, rewards, bad input."""

import numpy as np
import pytest
import torch
from fusion_cases import T, constant_decisions, follow, play, random_decisions, small_clips, tiny_backbone, to_actions

from backbone import Decision
from backbone.fusion.backbone import HISTORIES
from envs.episodes import Episodes, Outcome
from envs.spaces import ORDERS

each_order = pytest.mark.parametrize("order", ORDERS)
each_history = pytest.mark.parametrize("history", HISTORIES)
each_kind = pytest.mark.parametrize("kind", ["basic", "plain"])
each_reward = pytest.mark.parametrize("reward", ["correctness", "log_prob"])


def make_episodes(clips, kind: str = "basic", history: str = "raw", **kwargs) -> Episodes:
    return Episodes(tiny_backbone(kind, history=history, group_size=2), clips, **kwargs)


def assert_same_outcome(one: Outcome, other: Outcome) -> None:
    """MACs exactly; what derives from logits within 1e-5."""
    for name in ("clip", "label", "prediction", "correct", "macs_ratio"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("log_prob", "reward"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-5, err_msg=name)


# -- equivalences ----------------------------------------------------------------------------------------------------


@each_kind
@each_history
@each_reward
def test_frame_order_equals_site_order(clips, kind, history, reward):
    frame, site = (make_episodes(clips, kind, history, order=order, reward=reward) for order in ("frame", "site"))
    decisions = random_decisions(frame.backbone)
    assert_same_outcome(play(frame, decisions)[0], play(site, decisions)[0])
    torch.testing.assert_close(frame.logits, site.logits, rtol=0, atol=1e-5)


@each_order
@each_history
def test_batched_equals_single(clips, order, history):
    episodes = make_episodes(clips, history=history, order=order, reward="log_prob")
    decisions = random_decisions(episodes.backbone, rows=3)
    batched, rewards, _ = play(episodes, decisions, clips=(4, 0, 2))
    logits = episodes.logits
    for row, clip in enumerate((4, 0, 2)):
        alone, alone_rewards, _ = play(episodes, [d[row : row + 1] for d in decisions], clips=(clip,))
        assert_same_outcome(Outcome(**{k: v[row : row + 1] for k, v in vars(batched).items()}), alone)
        torch.testing.assert_close(logits[row : row + 1], episodes.logits, rtol=0, atol=1e-5)
        np.testing.assert_allclose(rewards[:, row], alone_rewards[:, 0], rtol=0, atol=1e-5)


@each_order
@each_history
@each_kind
def test_rollouts_of_a_clip_equal_repeated_clips(clips, order, history, kind):
    rolled = make_episodes(clips, kind, history, order=order, rollouts_per_clip=3)
    repeated = make_episodes(clips, kind, history, order=order)
    decisions = random_decisions(rolled.backbone, rows=6)
    one, one_rewards, one_seen = play(rolled, decisions, clips=(5, 1))
    other, other_rewards, other_seen = play(repeated, decisions, clips=(5, 5, 5, 1, 1, 1))
    assert_same_outcome(one, other)
    np.testing.assert_allclose(one_rewards, other_rewards, rtol=0, atol=1e-5)
    np.testing.assert_allclose(one_seen, other_seen, rtol=0, atol=1e-5)


@each_order
@each_history
def test_an_episode_is_the_backbones_own_walk(clips, order, history):
    episodes = make_episodes(clips, history=history, order=order)
    decisions = random_decisions(episodes.backbone)
    outcome, _, _ = play(episodes, decisions, clips=(3, 1))
    with torch.no_grad():
        walked = episodes.backbone(
            episodes.backbone.preprocess(torch.from_numpy(clips.frames([3, 1]))), follow(decisions)
        )
    torch.testing.assert_close(episodes.logits, walked.logits, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(outcome.macs_ratio, walked.macs.numpy() / episodes.clip_dense_macs)


@each_order
def test_padding_does_nothing(clips, order):
    episodes = make_episodes(clips, order=order)
    decisions = random_decisions(episodes.backbone)
    played = [play(episodes, decisions, padding=padding) for padding in Decision]
    for outcome, rewards, seen in played[1:]:
        assert_same_outcome(outcome, played[0][0])
        np.testing.assert_array_equal(rewards, played[0][1])
        np.testing.assert_array_equal(seen, played[0][2])


def test_control_real_decisions_do_something(clips):
    episodes = make_episodes(clips)
    use, skip = (
        play(episodes, constant_decisions(episodes.backbone, decision, rows=2))[0]
        for decision in (Decision.USE, Decision.SKIP)
    )
    assert (use.macs_ratio > skip.macs_ratio).all()
    assert (use.log_prob != skip.log_prob).all()


# -- rewards ---------------------------------------------------------------------------------------------------------


def expected_return(outcome: Outcome, reward: str, cost_weight: float) -> np.ndarray:
    return (
        getattr(outcome, {"correctness": "correct", "log_prob": "log_prob"}[reward]) - cost_weight * outcome.macs_ratio
    )


@each_order
@each_reward
@pytest.mark.parametrize("cost_weight", [0.0, 1.0, 2.5])
def test_rewards_sum_to_outcome_minus_weighted_cost(clips, order, reward, cost_weight):
    episodes = make_episodes(clips, order=order, reward=reward, cost_weight=cost_weight, agent_macs=[7.0, 11.0, 13.0])
    outcome, rewards, _ = play(episodes, random_decisions(episodes.backbone))
    np.testing.assert_allclose(rewards.sum(0), expected_return(outcome, reward, cost_weight), atol=1e-5)
    np.testing.assert_allclose(outcome.reward, expected_return(outcome, reward, cost_weight), atol=1e-6)


def test_control_another_cost_weight_or_outcome_gives_another_sum(clips):
    episodes = make_episodes(clips, reward="log_prob", cost_weight=1.0)
    outcome, rewards, _ = play(episodes, random_decisions(episodes.backbone))
    for reward, cost_weight in (("log_prob", 0.9), ("correctness", 1.0)):
        assert (abs(rewards.sum(0) - expected_return(outcome, reward, cost_weight)) > 1e-3).all()


@each_order
def test_all_use_costs_one_dense_clip(clips, order):
    episodes = make_episodes(clips, order=order)
    outcome, _, _ = play(episodes, constant_decisions(episodes.backbone, Decision.USE, rows=2))
    assert outcome.macs_ratio.tolist() == [1.0, 1.0]


@each_order
def test_the_agents_macs_are_charged_once_a_site_and_frame(clips, order):
    agent_macs = [10.0, 200.0, 3000.0]
    free, charged = make_episodes(clips, order=order), make_episodes(clips, order=order, agent_macs=agent_macs)
    decisions = random_decisions(free.backbone)
    extra = play(charged, decisions)[0].macs_ratio - play(free, decisions)[0].macs_ratio
    np.testing.assert_allclose(extra, T * sum(agent_macs) / free.clip_dense_macs, rtol=1e-9)


@each_order
def test_every_step_before_the_last_pays_only_its_cost(clips, order):
    episodes = make_episodes(clips, order=order, reward="log_prob")
    outcome, rewards, _ = play(episodes, random_decisions(episodes.backbone))
    assert (rewards[:-1] <= 0).all()
    assert (rewards[0] < 0).all()  # the stem runs in the first step
    last_cost = -outcome.macs_ratio - rewards[:-1].sum(0)
    np.testing.assert_allclose(rewards[-1], outcome.log_prob + last_cost, atol=1e-5)


@each_order
def test_observations_report_the_share_spent_so_far(clips, order):
    episodes = make_episodes(clips, order=order)
    _, rewards, observations = play(episodes, random_decisions(episodes.backbone))
    spent = np.array([o.reshape(2, episodes.layout.step_frames, -1)[:, 0, -3] for o in observations])
    np.testing.assert_allclose(spent[1:], -np.cumsum(rewards[:-1], 0), atol=1e-6)
    assert (spent[0] == 0).all()


@each_order
def test_an_outcome_tells_clip_label_and_prediction(clips, order):
    episodes = make_episodes(clips, order=order, rollouts_per_clip=2)
    outcome, _, _ = play(episodes, random_decisions(episodes.backbone, rows=6), clips=(5, 3, 0))
    assert outcome.clip.tolist() == [5, 5, 3, 3, 0, 0]
    assert outcome.label.tolist() == clips.labels[outcome.clip].tolist()
    assert outcome.correct.tolist() == (outcome.label == outcome.prediction).tolist()
    assert set(outcome.per_episode()[0]) == set(vars(outcome))
    assert isinstance(outcome.per_episode()[0]["log_prob"], float)


# -- what episodes leave alone ---------------------------------------------------------------------------------------


def test_episodes_put_the_backbone_into_eval_mode_and_keep_its_batch_norm_still(clips):
    backbone = tiny_backbone().train()
    before = {name: value.clone() for name, value in backbone.cnn.state_dict().items()}
    play(Episodes(backbone, clips), random_decisions(backbone))
    assert not backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.cnn.state_dict().items())


@each_order
def test_arrays_handed_out_are_never_written_again(clips, order):
    episodes = make_episodes(clips, order=order)
    decisions, kept, copies = random_decisions(episodes.backbone), [], []
    for _ in range(2):
        outcome = None
        kept.append(episodes.start(np.array([0, 1])))
        while outcome is None:
            kept.append(episodes.action_masks())
            copies.extend(array.copy() for array in kept[len(copies) :])
            observation, reward, outcome = episodes.step(to_actions(episodes, decisions))
            kept.extend(array for array in (observation, reward) if array is not None)
        kept.extend(vars(outcome).values())
        copies.extend(array.copy() for array in kept[len(copies) :])
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@each_order
def test_masks_are_those_of_the_current_site(clips, order):
    episodes = make_episodes(clips, order=order, rollouts_per_clip=3)
    episodes.start(np.array([0, 1]))
    decisions = random_decisions(episodes.backbone, rows=6)
    for step in range(episodes.layout.num_steps - 1):
        masks = episodes.action_masks()
        assert masks.shape == (6, episodes.layout.action_space.nvec.sum())
        assert (masks == episodes.layout.action_mask(step % 3)).all()
        masks[:] = False
        assert episodes.action_masks().any()
        episodes.step(to_actions(episodes, decisions))


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a[:, :-1], "expected actions of shape"),
        (lambda a: a[:1], "expected actions of shape"),
        (lambda a: a[0], "expected actions of shape"),
        (lambda a: a + 3, "0 = use, 1 = reuse, 2 = skip; got 3 to 3"),
        (lambda a: a - 1, "got -1 to -1"),
        (lambda a: a + 0.5, "whole numbers as actions, got float64"),
        (lambda a: a * np.nan, "whole numbers as actions"),
        (lambda a: a + np.inf, "finite whole numbers as actions"),
        (lambda a: np.full(a.shape, "use"), "whole numbers as actions"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_bad_actions_are_refused_and_change_nothing(clips, change, words):
    episodes = make_episodes(clips)
    decisions = random_decisions(episodes.backbone)
    clean = play(episodes, decisions)[0]
    episodes.start(np.array([0, 1]))
    good = to_actions(episodes, decisions)
    with pytest.raises(ValueError, match=words):
        episodes.step(change(np.zeros_like(good)))
    outcome = None
    while outcome is None:
        _, _, outcome = episodes.step(to_actions(episodes, decisions))
    assert_same_outcome(outcome, clean)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float32, np.float64])
def test_whole_numbers_of_any_type_are_actions(clips, dtype):
    episodes = make_episodes(clips)
    decisions = random_decisions(episodes.backbone)
    observations = []
    for kind in (np.int64, dtype):
        episodes.start(np.array([0, 1]))
        observations.append(episodes.step(to_actions(episodes, decisions).astype(kind))[0])
    np.testing.assert_array_equal(*observations)


def test_a_step_before_the_start_or_after_the_end_is_refused(clips):
    episodes = make_episodes(clips)
    actions = np.zeros((2, episodes.layout.decisions), int)
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        episodes.step(actions)
    play(episodes, random_decisions(episodes.backbone))
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        episodes.step(actions)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_told(clips, value):
    episodes = make_episodes(clips, order="site")
    with torch.no_grad():
        episodes.backbone.cnn.fc.weight[0, 0] = value
    decisions = random_decisions(episodes.backbone)
    with pytest.raises(ValueError, match=r"finite class scores.*check its weights"):
        play(episodes, decisions)
    with pytest.raises(RuntimeError, match=r"call reset\(\)"):
        episodes.step(np.zeros((2, T * episodes.layout.decisions), int))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"order": "zigzag"}, "frame, site, got 'zigzag'"),
        ({"reward": "f1"}, "correctness, log_prob, got 'f1'"),
        ({"rollouts_per_clip": 0}, "at least 1 rollout per clip, got 0"),
        ({"agent_macs": [1.0]}, "agent_macs for 3 sites, got 1"),
    ],
)
def test_bad_arguments_are_refused(clips, kwargs, words):
    with pytest.raises(ValueError, match=words):
        make_episodes(clips, **kwargs)


def test_clips_of_another_size_are_refused():
    with pytest.raises(ValueError, match="16 x 16 pixels, as the backbone takes, got 12 x 12"):
        make_episodes(small_clips(size=12))


def test_no_clips_are_refused(clips):
    with pytest.raises(ValueError, match="at least one clip, got an empty source"):
        make_episodes(clips.subset([]))


def test_clips_of_other_classes_are_refused(clips):
    backbone = tiny_backbone()
    backbone.cnn.fc = torch.nn.Linear(6, 3)
    with pytest.raises(ValueError, match=r"scores for 8 classes.*got 3"):
        Episodes(backbone, clips)


def test_a_two_way_shift_is_refused_in_frame_order(clips):
    backbone = tiny_backbone(temporal="tsm")
    with pytest.raises(ValueError, match='expected order="site", as temporal="tsm" looks at the next frame'):
        Episodes(backbone, clips, order="frame")
    Episodes(backbone, clips, order="site").start(np.arange(2))
