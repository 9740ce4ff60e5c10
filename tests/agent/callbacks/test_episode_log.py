"""Episodes in TensorBoard: which, what of them, and that training does not notice."""

import io

import numpy as np
import pytest
import torch
from agent_cases import ALGORITHMS, WHOLE_CLIPS, build, env_for, learn, noise_clips, tiny_backbone, weights
from evaluation_cases import ORDERS, hand_made, varied
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent import evaluate, fixed_policy
from agent.callbacks.episode_log import EpisodeLog, extremes, failures, fixed_clips, record_episodes
from agent.callbacks.evaluations import Evaluations
from agent.policies.gate import GateOptions
from agent.policies.imported import ImportedPolicy
from backbone import Decision
from envs.spaces import StepLayout

VALIDATION = 6


def board(folder) -> EventAccumulator:
    everything = dict.fromkeys(("scalars", "images", "tensors", "histograms"), 0)
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def log_of(folder, clips=None, every: int = 32, **kwargs) -> list:
    clips = noise_clips(VALIDATION, seed=1) if clips is None else clips
    evaluations = Evaluations(tiny_backbone(), clips, every=every, path=folder / "learning.json")
    return [evaluations, EpisodeLog(evaluations, **kwargs)]


# -- which -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1, 0, 1], [0, 1]),
        (np.repeat(np.arange(8), 3), [0, 6, 12, 18]),
        ([5, 4, 3, 2, 1, 0], [5, 4, 2, 1]),
        ([7] * 9, [0]),
        (np.arange(174)[::-1], [173, 130, 86, 43]),
    ],
)
def test_fixed_clips_are_the_first_of_classes_spread_evenly(labels, expected):
    assert list(fixed_clips(np.array(labels), 4).values()) == expected
    assert len({int(labels[clip]) for clip in expected}) == len(expected)


def test_failures_are_those_whose_label_is_least_probable():
    result = hand_made([0, 1, 0, 1, 0], [True, False, False, True, False])
    result.log_prob = np.array([-9.0, -1.0, -3.0, -0.1, -2.0])
    assert failures(result) == {"failure_0": 2}
    assert failures(result, count=9) == {"failure_0": 2, "failure_1": 4, "failure_2": 1}
    assert failures(hand_made([0, 1], [True, True])) == {}


def test_of_equal_extremes_the_first_is_shown():
    result = hand_made([0, 1, 0], [True] * 3)
    assert extremes(result) == {"cheapest": 0, "dearest": 2}
    result.macs_ratio[:] = 0.5
    assert extremes(result) == {"cheapest": 0, "dearest": 0}


# -- what --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_recorded_episodes_are_those_of_evaluate(order):
    backbone, clips = tiny_backbone(), noise_clips(7)
    model = varied(backbone, clips, order)
    result = evaluate(model, backbone, clips, order=order)
    chosen = [3, 5, 0]
    records = record_episodes(model, backbone, clips, chosen, order=order, cost_weight=2.0)
    for clip, record in zip(chosen, records, strict=True):
        assert record.outcome["clip"] == clip
        assert len(record.rewards) == model.layout.num_steps
        for chosen, expected in zip(record.maps(), result.decisions.by_site, strict=True):
            np.testing.assert_array_equal(chosen, expected[clip])
        for name in ("correct", "prediction", "label", "macs_ratio"):
            assert record.outcome[name] == pytest.approx(getattr(result, name)[clip])
        assert record.frame_costs.mean() == pytest.approx(result.macs_ratio[clip])
        assert record.outcome_reward == pytest.approx(result.log_prob[clip], abs=1e-4)
        np.testing.assert_array_equal(record.frames, clips.frames([clip])[0])


@pytest.mark.parametrize("order", ORDERS)
def test_greedy_decisions_are_the_most_probable(order):
    backbone, clips = tiny_backbone(), noise_clips()
    for record in record_episodes(varied(backbone, clips, order), backbone, clips, [0, 1], order=order):
        for chosen, probabilities in zip(record.maps(), record.decision_probabilities, strict=True):
            assert probabilities.shape == (*chosen.shape, len(Decision))
            np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
            np.testing.assert_array_equal(probabilities.argmax(-1), chosen)


def test_agents_of_any_class_are_recorded_and_tell_their_probabilities_if_they_have_any():
    backbone, clips = tiny_backbone(), noise_clips()
    env, layout = env_for("ppo"), StepLayout(backbone.sites, clips.num_frames, "site")
    foreign = PPO("MlpPolicy", env, n_steps=3, batch_size=8, seed=0, device="cpu")
    imported = ImportedPolicy(layout, GateOptions())
    for model in (foreign, imported):
        record = record_episodes(model, backbone, clips, [1])[0]
        for chosen, probabilities in zip(record.maps(), record.decision_probabilities, strict=True):
            np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
            assert (probabilities.argmax(-1) == chosen).all()
    assert record_episodes(fixed_policy("all use", layout), backbone, clips, [1])[0].decision_probabilities is None


@pytest.fixture(scope="module", params=ALGORITHMS)
def written(request, tmp_path_factory):
    """What six updates of a method wrote."""
    folder = tmp_path_factory.mktemp("board")
    model = build(request.param, env_for(request.param, num_clips=16 if request.param in WHOLE_CLIPS else 4))
    model.set_logger(configure(str(folder), ["tensorboard"]))
    learn(model, 6, log_of(folder))
    model.logger.close()
    return board(folder)


def test_every_method_shows_the_same(written):
    tags = written.Tags()
    shown = ["clip_0", "clip_1", "cheapest", "dearest"]  # two classes
    images = set(tags["images"])
    assert images >= {f"{kind}/{name}" for kind in ("episodes", "animations") for name in shown[:2]}
    assert {tag.split("/")[1].split("_")[0] for tag in images} <= {"clip", "failure", "cheapest", "dearest"}
    cards = {tag.removesuffix("/text_summary") for tag in tags["tensors"] if tag.startswith("episodes/")}
    assert cards == {tag for tag in images if tag.startswith("episodes/")}
    expected = {f"probabilities/layer{s}.0/{d.name.lower()}" for s in (1, 2, 3) for d in Decision}
    assert set(tags["histograms"]) == expected


def test_a_picture_at_every_evaluation_and_an_animation_after_the_last(written):
    for tag in ("episodes/clip_0", "episodes/cheapest", "episodes/dearest"):
        images = written.Images(tag)
        assert [image.step for image in images] == [0, 32, 64, 96]
        opened = Image.open(io.BytesIO(images[0].encoded_image_string))
        assert (opened.format, opened.size) == ("PNG", (images[0].width, images[0].height))
    (last,) = written.Images("animations/clip_1")
    moving = Image.open(io.BytesIO(last.encoded_image_string))
    assert (last.step, moving.format, moving.n_frames) == (96, "GIF", 2)


def test_histograms_count_every_decision_of_the_fixed_clips(written):
    clips, frames, widths = 2, 2, (2, 4, 8)
    for site, width in zip((1, 2, 3), widths):
        per_step = [written.Histograms(f"probabilities/layer{site}.0/{d.name.lower()}") for d in Decision]
        assert [event.step for event in per_step[0]] == [0, 32, 64, 96]
        for events in zip(*per_step):
            assert {event.histogram_value.num for event in events} == {clips * frames * width}
            assert sum(event.histogram_value.sum for event in events) == pytest.approx(clips * frames * width, rel=1e-4)


def test_returns_are_those_of_the_runs_own_reward(tmp_path):
    model = build("ppo")
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    learn(model, 1, log_of(tmp_path, reward="correctness", cost_weight=4.0))
    model.logger.close()
    card = board(tmp_path).Tensors("episodes/clip_0/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert "at cost weight 4" in card


# -- training does not notice ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ALGORITHMS)
def test_showing_episodes_does_not_change_training(method, tmp_path):
    plain = weights(learn(build(method), 3))
    after = torch.get_rng_state()
    model = build(method)
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    shown = weights(learn(model, 3, log_of(tmp_path, every=1)))
    assert torch.equal(torch.get_rng_state(), after)
    np.testing.assert_array_equal(shown, plain)


def test_a_resumed_run_does_not_show_its_last_evaluation_again(tmp_path):
    first = build("ppo")
    first.set_logger(configure(str(tmp_path), ["tensorboard"]))
    evaluations, log = log_of(tmp_path, every=8)
    learn(first, 2, [evaluations, log])
    first.logger.close()
    shown = len(board(tmp_path).Images("episodes/clip_0"))
    second = build("ppo")
    second.num_timesteps = first.num_timesteps
    second.set_logger(configure(str(tmp_path / "again"), ["tensorboard"]))
    learn(second, 1, log_of(tmp_path, every=8), reset_num_timesteps=False)
    second.logger.close()
    assert shown == 3
    assert [image.step for image in board(tmp_path / "again").Images("episodes/clip_0")] == [24]


def test_without_tensorboard_nothing_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.callbacks.episode_log.record_episodes", None)  # would fail if it were called
    learn(build("ppo"), 1, log_of(tmp_path))
