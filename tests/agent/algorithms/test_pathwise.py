import numpy as np
import pytest
import torch
from agent_cases import Recorder, build, learn, tiny_backbone, tiny_env

from agent import GateOptions, Linear
from agent.estimators.relaxations import Relaxation, straight_through_gumbel
from backbone import Decision


class WatchedRelaxation:
    """Keeps the temperatures asked for and the decisions given."""

    temperature = Linear(1.0, 0.5)

    def __init__(self) -> None:
        self.temperatures: list[float] = []
        self.decisions: list[torch.Tensor] = []

    def __call__(self, logits: torch.Tensor, temperature: float) -> torch.Tensor:
        self.temperatures.append(temperature)
        self.decisions.append(straight_through_gumbel(logits, temperature))
        return self.decisions[-1]


def test_the_backbone_runs_on_hard_decisions():
    relaxation = WatchedRelaxation()
    learn(build("gumbel", relaxation=relaxation), 2)
    for decisions in relaxation.decisions:
        torch.testing.assert_close(decisions.detach().amax(-1), torch.ones(decisions.shape[:-1]))


def test_a_fresh_policy_is_sampled_as_its_probabilities_say():
    relaxation = WatchedRelaxation()
    model = build(
        "gumbel",
        tiny_env(num_clips=64, rollouts_per_clip=1),
        relaxation=relaxation,
        learning_rate=0.0,
        policy_kwargs={"gate": GateOptions(static=True)},
    )
    learn(model, 5)
    probs = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).softmax(-1)
    drawn = torch.cat([decisions.detach().flatten(0, -2) for decisions in relaxation.decisions]).double()
    assert ((drawn.mean(0) - probs) / (probs * (1 - probs) / len(drawn)).sqrt()).abs().max() < 4.5


def test_every_gate_gets_a_gradient():
    recorder = Recorder()
    model = learn(build("gumbel"), 1, recorder)
    for gate in model.policy.gates.gates:
        assert all(parameter.grad.abs().max() > 0 for parameter in gate.parameters())


def test_batch_norms_of_gates_read_the_batchs_statistics():
    model, means = build("gumbel", policy_kwargs={"gate": GateOptions(norm="batch")}), []
    for gate in model.policy.gates.gates:
        gate.norm.register_forward_hook(lambda module, args, output: means.append(output.detach().mean(0)))
    learn(model, 1)
    assert len(means) == 3
    assert max(float(mean.abs().max()) for mean in means) < 1e-5


def test_the_gradient_of_cost_points_from_use_to_skip():
    recorder = Recorder()
    env = tiny_env(num_clips=32, rollouts_per_clip=1, cost_weight=100.0)
    learn(build("gumbel", env, policy_kwargs={"gate": GateOptions(static=True)}), 1, recorder)
    mean = recorder.gradients[0].reshape(-1, 3).mean(0)
    assert mean[Decision.USE] > 0 > mean[Decision.SKIP]  # descent lowers the one and raises the other


def test_the_backbones_weights_get_no_gradient_where_it_is_frozen():
    backbone = tiny_backbone()
    learn(build("gumbel", tiny_env(backbone, rollouts_per_clip=1)), 1)
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_the_temperature_follows_its_schedule():
    relaxation = WatchedRelaxation()
    learn(build("gumbel", relaxation=relaxation, temperature=Linear(2.0, 1.0)), 4)
    np.testing.assert_allclose(relaxation.temperatures, np.repeat([1.75, 1.5, 1.25, 1.0], 3))


def test_the_temperature_may_be_a_number():
    relaxation = WatchedRelaxation()
    learn(build("gumbel", relaxation=relaxation, temperature=0.7), 2)
    assert set(relaxation.temperatures) == {0.7}


def test_the_reward_is_the_environments():
    """With all-use decisions, the reward of a pass equals that of an episode, the agent's own MACs included."""

    def use(logits: torch.Tensor, temperature: float) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.zeros(logits.shape[:-1], dtype=torch.long), 3) + 0 * logits

    env = tiny_env(rollouts_per_clip=1, cost_weight=2.5, agent_macs=[100.0, 200.0, 300.0])
    model = learn(
        build("gumbel", env, relaxation=Relaxation(use, 1.0)), 1, log_interval=1000
    )  # so that what was logged stays to be read
    env.seed(0)
    env.reset()
    for _ in range(3):
        _, _, _, infos = env.step(np.zeros((2, env.action_space.shape[0]), int))
    model.bring_records()
    for tag, fact in (("reward", "reward"), ("cost", "macs_ratio"), ("accuracy", "correct")):
        expected = np.mean([info["clip"][fact] for info in infos])
        assert model.logger.name_to_value[f"rollout/{tag}"] == pytest.approx(expected, rel=1e-5)
    assert model.logger.name_to_value["decisions/layer1.0/use"] == 1
