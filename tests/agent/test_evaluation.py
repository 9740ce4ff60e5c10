from dataclasses import replace

import numpy as np
import pytest
import torch
from agent_cases import env_for, noise_clips, tiny_backbone
from evaluation_cases import ORDERS, assert_same, hand_made, varied
from stable_baselines3 import PPO
from torch import nn

from agent import SELECTIONS, evaluate, evaluate_selections, fixed_policy
from agent.evaluation import accounted_cost, agent_macs, average_views, selections_of
from agent.probes import replay
from backbone import Decision
from envs import EpisodeRecord, FusionEnv, RecordEpisode
from envs.spaces import StepLayout


@pytest.fixture(scope="module", params=ORDERS)
def case(request):
    backbone, clips = tiny_backbone(), noise_clips(7)
    return varied(backbone, clips, request.param), backbone, clips, request.param


def test_the_case_is_not_trivial(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    assert result.shares.min() > 0.05
    assert all((chosen != chosen[0]).any() for chosen in result.decisions.by_site[-2:])


def test_two_greedy_evaluations_agree(case):
    model, backbone, clips, order = case
    one, other = (evaluate(model, backbone, clips, order=order, seed=seed) for seed in (0, 1))
    assert_same(one, other)


def test_sampled_evaluations_agree_with_the_same_seed_and_only_then(case):
    model, backbone, clips, order = case
    one, same, other = (
        evaluate(model, backbone, clips, order=order, selection="sampled", seed=seed) for seed in (1, 1, 2)
    )
    assert_same(one, same)
    assert any((a != b).any() for a, b in zip(one.decisions.by_site, other.decisions.by_site))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_global_generator_is_left_alone(case, selection):
    model, backbone, clips, order = case
    before = torch.get_rng_state()
    evaluate(model, backbone, clips, order=order, selection=selection)
    assert torch.equal(torch.get_rng_state(), before)


def test_selections_side_by_side_are_those_made_alone(case):
    model, backbone, clips, order = case
    together = evaluate_selections(model, backbone, clips, selections=("greedy", "top_k"), order=order)
    for selection, found in together.items():
        assert_same(found, evaluate(model, backbone, clips, order=order, selection=selection))


def test_the_top_k_spend_what_samples_do(case):
    model, backbone, clips, order = case
    played = evaluate_selections(model, backbone, clips, order=order)
    np.testing.assert_allclose(played["top_k"].shares, played["sampled"].shares, atol=0.1)
    again = evaluate(model, backbone, clips, order=order, selection="top_k", seed=7)
    assert_same(played["top_k"], again)


def test_an_unknown_selection_and_one_that_a_policy_cannot_make_are_refused(case):
    model, backbone, clips, _ = case
    with pytest.raises(ValueError, match="did you mean 'greedy'"):
        evaluate(model, backbone, clips, selection="gredy")
    fixed = fixed_policy("all use", StepLayout(backbone.sites, clips.num_frames, "site"))
    assert selections_of(fixed) == ("greedy", "sampled")
    with pytest.raises(ValueError, match="top k"):
        evaluate(fixed, backbone, clips, selection="top_k")


def test_batches_of_any_size_give_the_same(case):
    model, backbone, clips, order = case
    assert_same(*(evaluate(model, backbone, clips, order=order, batch_size=size) for size in (3, 64)))


def play_alone(model, backbone, clips, clip: int, order: str) -> EpisodeRecord:
    """One clip in the single environment, greedily."""
    plain = FusionEnv(backbone, clips, order=order, train=False, reward="log_prob")
    plain.episodes.agent_macs = agent_macs(model, plain.layout)
    env = RecordEpisode(plain)
    observation, _ = env.reset(options={"clip": clip})
    while True:
        observation, _, terminated, _, info = env.step(model.predict(observation, deterministic=True)[0])
        if terminated:
            return info["episode_record"]


def test_it_equals_a_loop_over_the_single_environment(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    for clip in range(len(clips)):
        record = play_alone(model, backbone, clips, clip, order)
        for name in ("correct", "prediction", "label"):
            assert record.outcome[name] == getattr(result, name)[clip]
        for name in ("macs_ratio", "log_prob"):
            assert record.outcome[name] == pytest.approx(getattr(result, name)[clip], rel=1e-4)
        for chosen, found in zip(record.maps(), result.decisions.by_site, strict=True):
            np.testing.assert_array_equal(found[clip], chosen)


def test_shares_count_decisions_and_no_padding(case):
    model, backbone, clips, order = case
    result = evaluate(model, backbone, clips, order=order)
    np.testing.assert_allclose(result.shares.sum(1), 1)
    for site, chosen in zip(backbone.sites, result.decisions.by_site):
        assert chosen.shape == (len(clips), clips.num_frames, site.decisions)
        for decision in Decision:
            assert result.shares[site.index, decision] == pytest.approx((chosen == decision).mean())


def test_summaries_are_means():
    result = hand_made(label=[0, 1, 1, 0], correct=[1, 0, 1, 1])
    assert result.accuracy == 75
    assert result.cost == pytest.approx(0.25)


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
    again = replay(result.decisions, backbone, clips, order=order)
    macs = sum(layer.weight.numel() for layer in model.policy.modules() if isinstance(layer, nn.Linear))
    own = macs * env.layout.num_steps / (backbone.ledger.dense_macs * clips.num_frames)
    np.testing.assert_allclose(result.macs_ratio, again.macs_ratio + own)


def test_the_former_name_of_a_models_macs_goes_on_with_a_warning():
    class Former:
        gate_macs = (1, 2, 3)

    with pytest.warns(DeprecationWarning, match="Former.gate_macs is called agent_macs now"):
        assert agent_macs(Former(), env_for("ppo").layout) == [1, 2, 3]


def test_a_model_of_unknown_cost_is_refused():
    class Mute:
        def predict(self, observation, deterministic=True):
            return np.zeros(1), None

    with pytest.raises(ValueError, match=r"agent_macs .*, got Mute"):
        evaluate(Mute(), tiny_backbone(), noise_clips())


def test_the_causal_accounting_of_the_decisions_is_the_cost_that_was_paid(case):
    model, backbone, clips, order = case
    found, layout = evaluate(model, backbone, clips, order=order), StepLayout(backbone.sites, clips.num_frames, order)
    own = agent_macs(model, layout)
    again = accounted_cost(found, backbone, own, accounting="causal")
    np.testing.assert_allclose(again, found.macs_ratio, rtol=1e-12)
    assert not np.allclose(accounted_cost(found, backbone, own, accounting="adafuse"), again)


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
