from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from agent_cases import build, env_for, noise_clips, tiny_backbone
from stable_baselines3 import PPO
from torch import nn

from agent import FIXED, Evaluation, GateOptions, evaluate, fixed_policy, pair_accuracy, swap_test
from agent.callbacks import record_episode
from agent.evaluation import accounted_cost, agent_macs, average_views, replay
from backbone import Decision
from envs.clips import ArrayClips
from envs.layout import Layout

ORDERS = ("site", "frame")


def varied(backbone, clips, order: str = "site", **kwargs):
    """A policy whose greedy decisions are of all three kinds, and differ between clips unless it is static."""
    model = build("ppo", env_for("ppo", backbone, clips, order=order), **kwargs)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for gate in model.policy.gates.gates:
            last = gate.logits if hasattr(gate, "logits") else gate.layers.out.weight
            last.copy_(torch.randn(last.shape, generator=generator))
    return model


@pytest.fixture(scope="module", params=ORDERS)
def case(request):
    backbone, clips = tiny_backbone(), noise_clips(7)
    return varied(backbone, clips, request.param), backbone, clips, request.param


def assert_same(one: Evaluation, other: Evaluation, but: tuple[str, ...] = ()) -> None:
    for field in fields(Evaluation):
        if field.name not in but:
            for found, expected in zip(
                np.atleast_1d(getattr(one, field.name)), np.atleast_1d(getattr(other, field.name))
            ):
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_case_is_not_trivial(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    assert result.shares.min() > 0.05
    assert all((actions != actions[0]).any() for actions in result.actions[-2:])


def test_two_greedy_evaluations_agree(case):
    model, backbone, clips, order = case
    one, other = (evaluate(model, backbone, clips, order=order, seed=seed) for seed in (0, 1))
    assert_same(one, other)


def test_sampled_evaluations_agree_with_the_same_seed_and_only_then(case):
    model, backbone, clips, order = case
    one, same, other = (
        evaluate(model, backbone, clips, order=order, deterministic=False, seed=seed) for seed in (1, 1, 2)
    )
    assert_same(one, same)
    assert any((a != b).any() for a, b in zip(one.actions, other.actions))


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_global_generator_is_left_alone(case, deterministic):
    model, backbone, clips, order = case
    before = torch.get_rng_state()
    evaluate(model, backbone, clips, order=order, deterministic=deterministic)
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_of_any_size_give_the_same(case):
    model, backbone, clips, order = case
    assert_same(*(evaluate(model, backbone, clips, order=order, batch_size=size) for size in (3, 64)))


def test_it_equals_a_loop_over_the_single_environment(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    for clip in range(len(clips)):
        record = record_episode(model, backbone, clips, clip, order=order)
        for name in ("correct", "prediction", "label"):
            assert record.outcome[name] == getattr(result, name)[clip]
        for name in ("macs_ratio", "log_prob"):
            assert record.outcome[name] == pytest.approx(getattr(result, name)[clip], rel=1e-4)
        for (site, _, chosen), actions in zip(record.decisions, result.actions, strict=True):
            found = actions[clip].reshape(len(chosen), -1)[:, : backbone.sites[site].decisions]
            np.testing.assert_array_equal(found, chosen)


def test_replaying_its_own_decisions_reproduces_it(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    again = replay(result, np.arange(len(clips)), backbone, clips, order=order, batch_size=3)
    assert_same(again, result, but=("macs_ratio",))
    own = sum(model.policy.gate_macs) / backbone.ledger.dense_macs
    np.testing.assert_allclose(again.macs_ratio + own, result.macs_ratio)


def test_replaying_other_clips_decisions_takes_theirs(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    sources = np.roll(np.arange(len(clips)), 2)
    swapped = replay(result, sources, backbone, clips, order=order, batch_size=4)
    for taken, actions in zip(swapped.actions, result.actions):
        np.testing.assert_array_equal(taken, actions[sources])
    np.testing.assert_array_equal(swapped.label, clips.labels)


def test_shares_count_decisions_and_no_padding(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    np.testing.assert_allclose(result.shares.sum(1), 1)
    layout = Layout(backbone.sites, clips.num_frames, order)
    for site in backbone.sites:
        steps = result.actions[site.index :: len(backbone.sites)]
        chosen = np.stack(steps).reshape(-1, layout.step_frames, layout.decisions)[..., : site.decisions]
        for decision in Decision:
            assert result.shares[site.index, decision] == pytest.approx((chosen == decision).mean())


def test_summaries_are_means():
    result = hand_made(label=[0, 1, 1, 0], correct=[1, 0, 1, 1])
    assert result.accuracy == 75
    assert result.cost == pytest.approx(0.25)


def hand_made(label, correct) -> Evaluation:
    label, correct = np.array(label), np.array(correct, bool)
    ratio = np.linspace(0.1, 0.4, len(label))
    return Evaluation(correct, ratio, -ratio, label, label, np.zeros((len(label), 2)), [], np.zeros((1, 3)))


# -- pairs and swaps ---------------------------------------------------------------------------------------------------


def paired_clips(num_pairs: int = 6) -> ArrayClips:
    """Clip 2i grows brighter (class 0), clip 2i + 1 is the same one backwards (class 1)."""
    rng = np.random.default_rng(0)
    forward = rng.integers(0, 60, (num_pairs, 1, 8, 8, 3)) + np.array([0, 150])[:, None, None, None]
    frames = np.stack([forward, forward[:, ::-1]], 1).reshape(-1, 2, 8, 8, 3).astype(np.uint8)
    labels, partners = np.arange(2 * num_pairs) % 2, np.arange(2 * num_pairs) ^ 1
    return ArrayClips(frames, labels, ["up", "down"], reversals=partners, reversed_class=(1, 0))


class Signaller:
    """Sees which way the clip runs, and tells the CNN by skipping all of the last site, or nothing."""

    gate_macs = (0, 0, 0)

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def predict(self, observation, deterministic=True):
        rows = self.layout.unpack(torch.from_numpy(observation))
        brightness = rows.v.mean(-1)
        if int(rows.site[0]) == 0:
            self.falls = (brightness[:, 1] < brightness[:, 0]).numpy()
        actions = np.full((len(observation), self.layout.step_frames * self.layout.decisions), int(Decision.USE))
        if int(rows.site[0]) == 2:
            actions[self.falls] = Decision.SKIP
        return actions, None


def listening_backbone(clips: ArrayClips):
    """Its class scores tell a last site that was skipped from one that was used."""
    backbone = tiny_backbone()
    with torch.no_grad():
        backbone.cnn.conv1.weight.abs_()  # so that brighter frames have larger features
        backbone.cnn.fc = nn.Identity()
        pixels = backbone.preprocess(torch.from_numpy(clips.frames(range(len(clips)))))

        def skip_last(observation):
            decisions = backbone.all_use(observation)
            return decisions.roll(int(Decision.SKIP), -1) if observation.site == 2 else decisions

        used, skipped = backbone(pixels).logits, backbone(pixels, skip_last).logits
        direction = (used - skipped).mean(0)
        fc = nn.Linear(64, 2)
        fc.weight.copy_(torch.stack([direction, -direction]))
        middle = ((used + skipped) / 2).mean(0) @ direction
        fc.bias.copy_(torch.stack([-middle, middle]))
        backbone.cnn.fc = fc
    return backbone


def test_a_policy_that_signals_the_class_is_caught():
    clips = paired_clips()
    backbone = listening_backbone(clips)
    result = evaluate(Signaller(Layout(backbone.sites, 2, "site")), backbone, clips)
    swapped = swap_test(result, backbone, clips)
    assert result.accuracy == 100
    assert swapped.accuracy == 0
    assert swapped.follows == 100


@pytest.mark.parametrize("name", [name for name in FIXED if not name.startswith("random")])
def test_fixed_decisions_signal_nothing(name):
    clips, backbone = paired_clips(), tiny_backbone()
    result = evaluate(fixed_policy(name, Layout(backbone.sites, 2, "site")), backbone, clips)
    swapped = swap_test(result, backbone, clips)
    assert swapped.accuracy == result.accuracy
    assert swapped.follows == 100 - result.accuracy


@pytest.mark.parametrize("order", ORDERS)
def test_static_decisions_signal_nothing(order):
    clips, backbone = paired_clips(), tiny_backbone()
    model = varied(backbone, clips, order, policy_kwargs={"gate": GateOptions(static=True)})
    result = evaluate(model, backbone, clips, order=order)
    assert swap_test(result, backbone, clips, order=order).accuracy == result.accuracy


def test_clips_without_their_reversal_are_left_out_of_the_swap():
    clips = paired_clips()
    backbone = listening_backbone(clips)
    part = clips.subset([0, 1, 2, 4, 7])  # one whole pair, three without partner
    result = evaluate(Signaller(Layout(backbone.sites, 2, "site")), backbone, part)
    swapped = swap_test(result, backbone, part)
    assert (swapped.accuracy, swapped.follows) == (0, 100)


def test_without_reversals_there_is_no_swap():
    backbone, clips = tiny_backbone(), noise_clips(2)
    result = evaluate(fixed_policy("all use", Layout(backbone.sites, 2, "site")), backbone, clips)
    assert swap_test(result, backbone, clips) is None
    assert pair_accuracy(result, clips) == {}


def test_pair_accuracy_by_hand():
    frames = np.zeros((2, 2, 8, 8, 3), np.uint8)
    clips = ArrayClips(frames, np.zeros(2), ["a", "b", "c", "d", "e", "f"], reversed_class=(1, 0, 4, 3, 2, 5))
    result = hand_made(label=[0, 0, 1, 1, 2, 4, 4, 3, 3], correct=[1, 0, 1, 1, 1, 0, 0, 1, 0])
    assert pair_accuracy(result, clips) == {"a / b": 75.0, "c / e": pytest.approx(100 / 3)}


# -- the agent's own cost ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_every_linear_layer_of_a_foreign_policy_counts_once_a_step(order):
    env = env_for("ppo", order=order)
    model = PPO("MlpPolicy", env, n_steps=3, batch_size=8, policy_kwargs={"net_arch": [10, 20]}, device="cpu")
    observations, actions = env.observation_space.shape[0], env.action_space.shape[0]
    body = observations * 10 + 10 * 20
    by_hand = 2 * body + 20 * 3 * actions + 20
    assert agent_macs(model, env.layout) == [pytest.approx(by_hand / env.layout.step_frames)] * 3


@pytest.mark.parametrize("order", ORDERS)
def test_a_foreign_policy_is_judged_with_its_own_macs(order):
    env = env_for("ppo", order=order)
    backbone, clips = env.episodes.backbone, env.episodes.clips
    model = PPO("MlpPolicy", env, n_steps=3, batch_size=8, device="cpu")
    result = evaluate(model, backbone, clips, order=order)
    again = replay(result, np.arange(len(clips)), backbone, clips, order=order)
    macs = sum(layer.weight.numel() for layer in model.policy.modules() if isinstance(layer, nn.Linear))
    own = macs * env.layout.num_steps / (backbone.ledger.dense_macs * clips.num_frames)
    np.testing.assert_allclose(result.macs_ratio, again.macs_ratio + own)


def test_a_model_of_unknown_cost_is_refused():
    class Mute:
        def predict(self, observation, deterministic=True):
            return np.zeros(1), None

    with pytest.raises(ValueError, match=r"gate_macs .*, got Mute"):
        evaluate(Mute(), tiny_backbone(), noise_clips())


def test_the_causal_accounting_of_the_decisions_is_the_cost_that_was_paid(case):
    model, backbone, clips, order = case
    found, layout = evaluate(model, backbone, clips, order=order), Layout(backbone.sites, clips.num_frames, order)
    own = agent_macs(model, layout)
    again = accounted_cost(found, backbone, layout, own, accounting="causal", batch_size=3)
    np.testing.assert_allclose(again, found.macs_ratio, rtol=1e-12)
    assert not np.allclose(accounted_cost(found, backbone, layout, own, accounting="adafuse"), again)


def test_views_of_a_video_are_judged_by_the_mean_of_their_logits(case):
    model, backbone, clips, order = case
    clips = clips.subset(range(6))
    found = evaluate(model, backbone, clips, order=order)
    averaged = average_views(replace(found, label=found.label[::3].repeat(3)), 3)
    for video in range(2):
        logits = torch.from_numpy(found.logits[3 * video : 3 * video + 3]).mean(0)
        assert averaged.prediction[video] == logits.argmax()
        assert averaged.correct[video] == (logits.argmax() == averaged.label[video])
        assert averaged.log_prob[video] == pytest.approx(logits.log_softmax(0)[averaged.label[video]].item(), abs=1e-5)
        assert averaged.macs_ratio[video] == pytest.approx(found.macs_ratio[3 * video : 3 * video + 3].mean())


def test_one_view_changes_nothing(case):
    model, backbone, clips, order = case
    found = evaluate(model, backbone, clips, order=order)
    assert_same(average_views(found, 1), found, but=("log_prob",))
