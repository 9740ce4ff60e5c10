import numpy as np
import pytest
import torch
from agent_cases import ALGORITHMS, POLICY_GRADIENTS, build, env_for, learn, tiny_backbone, tiny_env
from stable_baselines3 import A2C
from stable_baselines3.common.vec_env import VecMonitor
from torch.nn import functional as F

from agent import GateOptions, evaluate
from agent.algorithms import joint
from agent.algorithms.joint import JointTraining, check_joint
from backbone import one_hot
from envs.decisions import Decisions
from envs.spaces import ORDERS

JOINT = [method for method in ALGORITHMS if method != "rebar"]  # of which the CNN can learn


def state_of(backbone) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in backbone.state_dict().items()}


def changed(backbone, before: dict[str, torch.Tensor]) -> list[str]:
    return [key for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])]


class Watched(JointTraining):
    """Keeps what each step stepped along, and what had been played."""

    def __init__(self, backbone, rate: float = 0.05, **kwargs) -> None:
        super().__init__(backbone, learning_rate=lambda _: rate, **kwargs)
        self.gradients: list[list[torch.Tensor]] = []
        self.played: list[tuple] = []

    def step(self) -> None:
        self.gradients.append([parameter.grad.clone() for parameter in self.backbone.parameters()])
        if self.plays:
            outcomes = np.array([info["clip"]["log_prob"] for info in self.model.last_infos])
            outcomes = outcomes.reshape(-1, self.model.rollouts_per_clip)[:, -self.rollouts :]
            self.played.append((*self.batch, self.played_decisions(), outcomes))
        super().step()


def joint_run(method: str, updates: int = 1, watched: type = Watched, rate: float = 0.05, **kwargs):
    """(model, callback, backbone) after some batches."""
    backbone = tiny_backbone()
    callback = watched(backbone, rate)
    model = build(method, env_for(method, backbone, **kwargs))
    return learn(model, updates, callback, log_interval=1000), callback, backbone


@pytest.mark.parametrize("method", JOINT)
def test_the_cnn_learns_in_the_joint_regime_and_only_there(method):
    frozen = tiny_backbone()
    before = state_of(frozen)
    learn(build(method, env_for(method, frozen)), 3)
    assert not changed(frozen, before)
    _, _, backbone = joint_run(method, 3)
    assert {"cnn.conv1.weight", "cnn.layer3.0.conv2.weight", "cnn.fc.bias"} <= set(changed(backbone, before))


@pytest.mark.parametrize("method", JOINT)
def test_batch_norms_keep_to_their_statistics(method):
    before = state_of(tiny_backbone())
    _, _, backbone = joint_run(method, 3)
    assert not [key for key in changed(backbone, before) if "running" in key or "num_batches" in key]
    assert not backbone.training


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", POLICY_GRADIENTS)
def test_the_loss_is_minus_the_outcome_of_rollouts_that_were_played(method, order):
    model, callback, _ = joint_run(method, order=order)
    outcomes = callback.played[0][-1]
    assert outcomes.shape == (2, 2)
    assert model.logger.name_to_value["train/cnn_loss"] == pytest.approx(-np.mean(outcomes), rel=1e-5)


def by_hand(backbone, frames, labels, decisions) -> list[torch.Tensor]:
    """Gradient of the mean cross-entropy, rollout by rollout."""
    losses, rollouts = [], len(decisions) // len(frames)
    for row in range(len(decisions)):
        clip = row // rollouts

        def decide(observation, row=row):
            return one_hot(torch.as_tensor(decisions.by_site[observation.site][row : row + 1]))

        logits = backbone(frames[clip : clip + 1], decide).logits
        losses.append(F.cross_entropy(logits, labels[clip : clip + 1]))
    return torch.autograd.grad(torch.stack(losses).mean(), list(backbone.parameters()))


@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "ppo"])
def test_the_step_follows_the_cross_entropy_of_the_sampled_decisions(method):
    _, callback, _ = joint_run(method)
    frames, labels, decisions, _ = callback.played[0]
    expected = by_hand(tiny_backbone().requires_grad_(True), frames, labels, decisions)
    for found, wanted in zip(callback.gradients[0], expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
    all_use = Decisions(decisions.sites, tuple(map(np.zeros_like, decisions.by_site)))
    others = by_hand(tiny_backbone().requires_grad_(True), frames, labels, all_use)
    assert not all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(callback.gradients[0], others))


def test_it_learns_from_no_more_rollouts_than_are_played():
    backbone = tiny_backbone()
    callback = Watched(backbone, rollouts=9)
    learn(build("ppo", env_for("ppo", backbone)), 1, callback)
    assert len(callback.played[0][2]) == 2 * 4


def test_clips_may_be_passed_a_few_at_a_time(monkeypatch):
    _, whole, _ = joint_run("reinforce, leave_one_out", num_clips=3)
    monkeypatch.setattr(joint, "PIXELS_AT_ONCE", 1)
    _, parts, _ = joint_run("reinforce, leave_one_out", num_clips=3)
    for one, other in zip(whole.gradients[0], parts.gradients[0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_of_policy_gradients_agent_and_cnn_leave_each_others_gradient_alone():
    model, callback, backbone = joint_run("reinforce, leave_one_out")
    model.policy.optimizer.zero_grad()
    model.loss().backward()
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert all(parameter.grad is not None for parameter in model.policy.gates.parameters())
    model.policy.optimizer.zero_grad()
    callback.batch = callback.played[0][:2]
    callback.backward(*callback.batch)
    assert all(parameter.grad is None for parameter in model.policy.parameters())
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_of_a_relaxation_one_backward_pass_gives_both():
    seen = []

    class Both(Watched):
        def step(self):
            seen.append([parameter.grad.abs().max() for parameter in self.model.policy.gates.parameters()])
            super().step()

    _, callback, backbone = joint_run("gumbel", 2, Both)
    assert all(gradient.abs().max() > 0 for step in callback.gradients for gradient in step)
    assert all(largest > 0 for step in seen for largest in step)
    assert all(parameter.grad is None for parameter in backbone.parameters())  # none is left for the next pass


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "ppo"])
def test_the_next_episodes_begin_with_the_new_weights_on_the_same_clips(method, order):
    stale = []

    class BeforeAndAfter(Watched):
        def step(self):
            stale.append(torch.as_tensor(self.model._last_obs).clone().numpy())
            super().step()

    model, _, backbone = joint_run(method, 2, BeforeAndAfter, order=order)
    assert not np.allclose(model._last_obs, stale[-1], atol=1e-4)
    fresh = env_for(method, backbone, order=order)
    for _ in range(3):  # two batches were played, the third waits
        found = fresh.reset()
    np.testing.assert_array_equal(model._last_obs, found)


def test_a_wrapper_may_stand_between():
    backbone = tiny_backbone()
    before = state_of(backbone)
    callback = Watched(backbone)
    learn(build("reinforce, leave_one_out", VecMonitor(tiny_env(backbone))), 2, callback)
    assert changed(backbone, before)


def test_the_schedule_is_followed():
    rates = []

    class Rates(Watched):
        def step(self):
            super().step()
            rates.append(self.optimizer.param_groups[0]["lr"])

    backbone = tiny_backbone()
    callback = Rates(backbone)
    callback.learning_rate = lambda remaining: 0.01 * remaining
    learn(build("gumbel", env_for("gumbel", backbone)), 4, callback)
    np.testing.assert_allclose(rates, [0.0075, 0.005, 0.0025, 0.0], atol=1e-9)


def test_long_gradients_are_shortened():
    before = state_of(tiny_backbone())
    backbone = tiny_backbone()
    callback = Watched(backbone, 1.0, weight_decay=0.0, max_gradient_norm=1e-3)
    learn(build("reinforce, leave_one_out", env_for("reinforce, leave_one_out", backbone)), 1, callback)
    moved = [(value.detach() - before[name]).square().sum() for name, value in backbone.named_parameters()]
    # Nesterov's first step is 1 + momentum times the gradient
    assert float(torch.stack(moved).sum().sqrt()) == pytest.approx(1.9e-3, rel=1e-2)


@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "gumbel"])
def test_joint_training_fits_clips_that_a_frozen_cnn_cannot_tell_apart(method):
    """Noise under alternating labels; the policy ignores its input, or its decisions could carry the class."""

    def accuracy(backbone, *callbacks) -> float:
        env = env_for(method, backbone, num_clips=6, cost_weight=0.0)
        model = learn(build(method, env, policy_kwargs={"gate": GateOptions(static=True)}), 30, list(callbacks))
        return evaluate(model, backbone, env.episodes.clips).accuracy

    assert accuracy(tiny_backbone()) < 90
    backbone = tiny_backbone()
    assert accuracy(backbone, Watched(backbone)) == 100


def test_a_gradient_of_nan_stops_training():
    backbone = tiny_backbone()

    class Broken(Watched):
        def step(self):
            next(self.backbone.parameters()).grad.fill_(torch.nan)
            super().step()

    with pytest.raises(ValueError, match="expected a finite gradient of the CNN"):
        learn(build("gumbel", env_for("gumbel", backbone)), 1, Broken(backbone))


def test_a_method_of_which_the_cnn_cannot_learn_is_refused():
    with pytest.raises(ValueError, match="joint regime, got A2C"):
        check_joint(A2C("MlpPolicy", tiny_env(), device="cpu"))
    with pytest.raises(ValueError, match="joint regime, got REBAR"):
        joint_run("rebar")
    check_joint(build("ppo"))


def test_what_a_checkpoint_holds_continues_the_optimiser_too():
    _, first, _ = joint_run("reinforce, leave_one_out", 2)
    second = Watched(tiny_backbone(seed=5))
    second.load_state_dict(first.state_dict())
    for a, b in zip(first.backbone.parameters(), second.backbone.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(first.optimizer.state[a]["momentum_buffer"], second.optimizer.state[b]["momentum_buffer"])
