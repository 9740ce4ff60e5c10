"""Where gradients are measured: a tiny problem with nothing left to sample, and learners as sources of estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from agent.algorithms.fusion_algorithm import FusionAlgorithm
from agent.estimators.exact import Enumeration, enumerate_decisions, exact_gradient
from agent.policies.gate import GateLayers, GateNetwork, gate_macs
from backbone import FusionBackbone
from backbone.cnns.resnet import BasicBlock, ResNet
from envs.clips import ArrayClips, ClipSource
from envs.reward import Reward
from experiments.config import Train
from experiments.methods import build_method, env_of, gate_options

TINY_HIDDEN = 4  # hidden units of its gates: 225 coordinates in all
TINY_SEED = 2  # with which no coordinate of the initial gates is dead
SHARPNESS = 20.0  # times the classifier's random weights: else the outcome would hardly depend on the decisions
SPREAD = 0.4  # standard deviation of what is added to every weight of the gates to spread their logits

Gates = Mapping[str, Tensor]  # a state dict of a GateNetwork


class Estimator:
    """A learner as a source of estimates of the gradient of minus the expected reward.

    :param model: on clips of its own environment
    :param gates: the weights to estimate at
    :param share: of training that is over, for schedules such as that of a relaxation's temperature
    :raises ValueError: a learner that has no ``sample_loss``, or gates of another shape
    """

    def __init__(self, method: str, model: BaseAlgorithm, gates: Gates, *, share: float = 0.0) -> None:
        if not isinstance(model, FusionAlgorithm) or type(model).sample_loss is FusionAlgorithm.sample_loss:
            raise ValueError(
                f"expected method {method} to be a FusionAlgorithm with sample_loss(), got {type(model).__name__} "
                "without: leave it out of --methods, or give it one"
            )
        self.method, self.model = method, model
        own = model.policy.gates
        assert isinstance(own, nn.Module)
        if {name: part.shape for name, part in own.state_dict().items()} != {
            name: part.shape for name, part in gates.items()
        }:
            raise ValueError(
                f"expected gates that all methods share, got others from {method}: leave it out of --methods"
            )
        own.load_state_dict(gates)
        self.network = own
        model.prepare_sampling(1 - share)

    def __call__(self) -> np.ndarray:
        """One estimate, float64 (P,)."""
        self.model.policy.optimizer.zero_grad()
        self.model.sample_loss().backward()
        gradients = [torch.zeros_like(part) if part.grad is None else part.grad for part in self.network.parameters()]
        return torch.cat([gradient.flatten() for gradient in gradients]).double().numpy()

    @property
    def rollouts(self) -> int:
        """Episodes in an estimate."""
        return env_of(self.model).num_envs

    @property
    def rollouts_per_clip(self) -> int:
        """Of each clip drawn, 1 where it is passed once."""
        return env_of(self.model).get_attr("rollouts_per_clip")[0]


def make_estimator(
    config: Train, backbone: FusionBackbone, clips: ClipSource, gates: Gates, *, share: float = 0.0
) -> Estimator:
    """The learner of a configuration at these gates, its batches drawn from the clips."""
    return Estimator(config.method, build_method(config, backbone, clips), gates, share=share)


def initial_gates(config: Train, backbone: FusionBackbone) -> dict[str, Tensor]:
    """Gates as training starts from, of the configuration's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return GateNetwork(backbone.sites, gate_options(config)).state_dict()


class TinyProblem:
    """Two clips of two frames and a CNN of three sites that take one decision a frame: 3^6 = 729 joint decisions.

    The CNN is random, its classifier's weights scaled up so that the outcome depends on the decisions, and is far from
    linear in them; later sites' logits depend on earlier decisions, as in every other CNN.

    :param cost_weight: reward that a densely computed clip costs
    :param spread: add noise to the gates' weights so that their logits differ; False leaves them as they start
    :param certainty: times the logits: far above 1, decisions are nearly deterministic, as those of trained gates
    :param kwargs: further fields of Train
    """

    def __init__(self, *, cost_weight: float = 1.0, spread: bool = True, certainty: float = 1.0, **kwargs: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(TINY_SEED)
            cnn = ResNet(BasicBlock, (1, 1, 1), (4, 6, 8), num_classes=2, size=8, small=True)
            with torch.no_grad():
                cnn.fc.weight.mul_(SHARPNESS)
            self.backbone = FusionBackbone(cnn, group_size=8).eval().requires_grad_(False)
            frames = np.random.default_rng(TINY_SEED).integers(0, 256, (2, 2, 8, 8, 3), dtype=np.uint8)
            self.clips = ArrayClips(frames, np.arange(2), ("even", "odd"))
            self.config = Train(hidden=TINY_HIDDEN, cost_weight=cost_weight, device="cpu", **kwargs)
            self.gates = GateNetwork(self.backbone.sites, gate_options(self.config)).eval()
            with torch.no_grad():
                for parameter in self.gates.parameters() if spread else ():
                    parameter.add_(SPREAD * torch.randn_like(parameter))
                for layers in self.gates.modules():
                    if isinstance(layers, GateLayers):
                        layers.out.weight.mul_(certainty)
                        layers.out.bias.mul_(certainty)

    def enumerate(self) -> Enumeration:
        """Every joint decision of both clips."""
        frames, labels = self.clips.draw(range(len(self.clips)))
        return enumerate_decisions(
            self.backbone,
            self.gates,
            self.backbone.preprocess(torch.from_numpy(frames)),
            torch.from_numpy(labels),
            reward=Reward("log_prob", self.config.cost_weight),
            agent_macs=gate_macs(self.backbone.sites, gate_options(self.config)),
        )

    def exact_gradient(self) -> np.ndarray:
        """Of minus the expected reward, float64 (P,)."""
        return exact_gradient(self.enumerate(), self.gates).double().numpy()

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact gradient by joint decisions of both clips: what each contributes when it is played, (J, P), and how
        probable that is, (J,). It contributes minus its reward above the clip's expectation, times grad log p.
        """
        every, parameters = self.enumerate(), list(self.gates.parameters())
        probabilities = every.log_probs.detach().double().exp()
        advantages = every.rewards - (probabilities * every.rewards).sum(1, keepdim=True)
        log_probs = every.log_probs.flatten()
        parts = torch.autograd.grad(log_probs, parameters, torch.eye(len(log_probs)), is_grads_batched=True)
        scores = torch.cat([part.flatten(1) for part in parts], 1).double()
        weights = probabilities.flatten() / len(self.clips)
        return (-advantages.flatten()[:, None] * scores).numpy(), weights.numpy()

    def estimator(self, method: str, rollouts: int, *, seed: int = 0, **kwargs: Any) -> Estimator:
        """A registered method whose every estimate plays both clips equally often.

        :param rollouts: in an estimate, a multiple of the two clips
        :param kwargs: further fields of Train
        """
        clips = len(self.clips)
        config = replace(
            self.config,
            method=method,
            num_clips=clips,
            rollouts_per_clip=rollouts // clips,
            batch_size=rollouts,
            seed=seed,
            **kwargs,
        )
        model = build_method(config, self.backbone, self.clips)
        batch = env_of(model).get_attr("num_clips")[0]
        if batch != clips:  # it passes each clip once: give it copies
            model = build_method(config, self.backbone, repeat(self.clips, batch // clips))
        return Estimator(method, model, self.gates.state_dict())


def repeat(clips: ClipSource, times: int) -> ArrayClips:
    """Each clip ``times`` times in a row, held in memory."""
    frames, labels = clips.draw(range(len(clips)))
    return ArrayClips(np.repeat(frames, times, 0), np.repeat(labels, times), clips.classes)
