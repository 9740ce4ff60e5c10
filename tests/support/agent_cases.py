"""What the tests of the agent room share: a CNN of three sites on 8 x 8 pixels, noise to show it, and every method.

With ``group_size=64`` each site takes one decision a frame, so that two frames have 3^6 = 729 joint decisions in all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from agent import BASELINES, REBAR, REINFORCE, FusionPPO, GateOptions, PathwiseGradient
from agent.estimators.exact import Enumeration, enumerate_decisions
from agent.estimators.exact import exact_gradient as gradient_of
from agent.evaluation import evaluate
from backbone import FusionBackbone, create_cnn, one_hot
from envs import FusionVecEnv
from envs.clips import ArrayClips
from envs.spaces import Rows

ONE_DECISION = 64  # group size at which every site takes one decision a frame
POLICY_GRADIENTS = (*(f"reinforce, {baseline}" for baseline in BASELINES), "ppo")
WHOLE_CLIPS = ("gumbel", "rebar")  # one pass of each clip
METHODS = (*POLICY_GRADIENTS, *WHOLE_CLIPS)
ALGORITHMS = ("reinforce, leave_one_out", "ppo", *WHOLE_CLIPS)  # one of each class


def tiny_backbone(*, seed: int = 0, **kwargs: Any) -> FusionBackbone:
    """Three sites of 16, 32 and 64 channels, two classes; ``kwargs`` of FusionBackbone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = FusionBackbone(create_cnn("resnet_small", num_classes=2, size=8), **{"group_size": 8, **kwargs})
    return backbone.eval().requires_grad_(False)


def noise_clips(num_clips: int = 6, num_frames: int = 2, *, stored: int | None = None, seed: int = 0) -> ArrayClips:
    """Random pixels under alternating labels; more ``stored`` frames than ``num_frames`` leave segments to draw."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (num_clips, stored or num_frames, 8, 8, 3), dtype=np.uint8)
    return ArrayClips(frames, np.arange(num_clips) % 2, ["even", "odd"], num_frames=num_frames)


def tiny_env(backbone: FusionBackbone | None = None, clips: ArrayClips | None = None, **kwargs: Any) -> FusionVecEnv:
    """As training makes it; ``kwargs`` of FusionVecEnv."""
    settings = {"num_clips": 2, "rollouts_per_clip": 4, "order": "site", "reward": "log_prob", **kwargs}
    return FusionVecEnv(backbone or tiny_backbone(), clips or noise_clips(), **settings)


def build(method: str, env: FusionVecEnv | None = None, **kwargs: Any) -> BaseAlgorithm:
    """A learner by its name among METHODS; by default on two clips a batch."""
    if method in WHOLE_CLIPS:
        kind, env = {"gumbel": PathwiseGradient, "rebar": REBAR}[method], env or tiny_env(rollouts_per_clip=1)
    elif method == "ppo":
        kind, env = FusionPPO, env or tiny_env()
    else:
        kind, env = REINFORCE, env or tiny_env()
        kwargs["baseline"] = method.removeprefix("reinforce, ")
    return kind(env, **{"learning_rate": 0.01, "seed": 0, "device": "cpu", **kwargs})


def env_for(method: str, *args: Any, rollouts_per_clip: int = 4, **kwargs: Any) -> FusionVecEnv:
    """An environment on which the method can train."""
    return tiny_env(*args, rollouts_per_clip=1 if method in WHOLE_CLIPS else rollouts_per_clip, **kwargs)


def learn(model: BaseAlgorithm, updates: int, callback: Any = None, **kwargs: Any) -> BaseAlgorithm:
    """Train for a number of batches."""
    return model.learn(updates * model.env.num_envs * model.layout.num_steps, callback=callback, **kwargs)


def weights(model: BaseAlgorithm) -> Tensor:
    """All of the policy's parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


def play(env: FusionVecEnv, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
    """One random episode of every row: observations (S, N, O), actions (S, N, M), rewards (S, N), the last infos."""
    env.action_space.seed(seed)
    observation, history = env.reset(), []
    for _ in range(env.layout.num_steps):
        actions = np.stack([env.action_space.sample() for _ in range(env.num_envs)])
        before = observation
        observation, rewards, _, infos = env.step(actions)
        history.append((before, actions, rewards))
    return *(np.stack(part) for part in zip(*history)), infos


def played_rows(env: FusionVecEnv, seed: int = 0) -> Rows:
    """The observations of a random episode, every site among them."""
    observations, *_ = play(env, seed)
    return env.layout.unpack(torch.from_numpy(observations).flatten(0, 1))


def played_decisions(env: FusionVecEnv, seed: int = 0) -> Tensor:
    """The decisions of that episode, one-hot, (steps * N, F * D, 3) in time order."""
    return one_hot(torch.from_numpy(play(env, seed)[1]).flatten(0, 1), torch.float64)


def greedy_cost(model: BaseAlgorithm) -> float:
    """Greedy cost on the environment's own clips."""
    episodes = model.env.get_attr("episodes")[0]
    return evaluate(model, episodes.backbone, episodes.clips, order=model.layout.order).cost


class Recorder(BaseCallback):
    """Keeps the gradient of each update, as an optimiser saw it."""

    def __init__(self) -> None:
        super().__init__()
        self.gradients: list[Tensor] = []

    def _on_training_start(self) -> None:
        self.model.policy.optimizer.register_step_pre_hook(self._keep)

    def _keep(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        parameters = self.model.policy.gates.parameters()
        self.gradients.append(torch.cat([parameter.grad.flatten() for parameter in parameters]).double())

    def _on_step(self) -> bool:
        return True


def enumerated(model: BaseAlgorithm) -> Enumeration:
    """Every joint decision of the clips of the model's environment."""
    episodes = model.env.get_attr("episodes")[0]
    frames, labels = (torch.from_numpy(part) for part in episodes.clips.draw(range(len(episodes.clips))))
    frames = episodes.backbone.preprocess(frames)
    return enumerate_decisions(episodes.backbone, model.policy.gates, frames, labels, reward=episodes.reward)


def exact_gradient(model: BaseAlgorithm) -> Tensor:
    """Of minus the expected reward of those clips' episodes with respect to the gates, (P,)."""
    return gradient_of(enumerated(model), model.policy.gates).double()


def bias_in_standard_errors(method: str, order: str, *, updates: int = 50, cost_weight: float = 3.0) -> Tensor:
    """How far the mean gradient of many independent batches lies from the exact one, per parameter."""
    clips = noise_clips(num_clips=1)
    env = tiny_env(
        tiny_backbone(group_size=ONE_DECISION),
        clips,
        num_clips=1,
        rollouts_per_clip=256,
        order=order,
        cost_weight=cost_weight,
    )
    extra = {"n_epochs": 1, "num_minibatches": 1} if method == "ppo" else {}
    model = build(method, env, learning_rate=0.0, policy_kwargs={"gate": GateOptions(static=True)}, **extra)
    with torch.no_grad():
        for site, gate in enumerate(model.policy.gates.gates):
            gate.logits.copy_(torch.tensor([[0.2, 0.5 - 0.3 * site, 0.0]]))
    if method == "reinforce, moving_average":
        model.baseline.average = np.ones(model.n_steps, np.float32)  # the first batch's own mean would shrink it
    recorder = Recorder()
    learn(model, updates, recorder)
    gradients = torch.stack(recorder.gradients)
    assert len(gradients) == updates
    return (gradients.mean(0) - exact_gradient(model)) / (gradients.std(0) / updates**0.5)
