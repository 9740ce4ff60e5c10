"""The joint regime: the CNN learns beside the agent, from the same clips."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor
from torch.nn import functional as F

from agent.algorithms.pathwise import PathwiseGradient
from agent.algorithms.rollouts import RolloutMixin
from backbone import FusionBackbone
from envs.decisions import Decisions

PIXELS_AT_ONCE = 64 * 8 * 32**2  # of a pass with gradients, over all rollouts and frames; at least one clip


def check_joint(model: BaseAlgorithm) -> None:
    """:raises ValueError: a method of which the CNN cannot learn"""
    if not isinstance(model, RolloutMixin | PathwiseGradient):
        raise ValueError(
            "expected a method that plays rollouts (reinforce, ppo, ...) or one that differentiates through the CNN "
            f"(gumbel, ...) for the joint regime, got {type(model).__name__}: train it on a frozen CNN"
        )


def played_loss(backbone: FusionBackbone, frames: Tensor, labels: Tensor, decisions: Decisions) -> Tensor:
    """Cross-entropy of the CNN under decisions that were taken, mean over rollouts.

    :param frames: normalised, (B, T, 3, H, W)
    :param labels: (B,)
    :param decisions: of R = B * K rollouts, K of each clip
    """
    taken = decisions.one_hot(frames.device)
    result = backbone(frames, lambda observation: taken[observation.site])
    return F.cross_entropy(result.logits, labels.repeat_interleave(len(result.logits) // len(labels)))


class JointTraining(BaseCallback):
    """One step of SGD for the CNN at the end of each batch of clips that the agent learns from.

    Policy gradients: the outcome log p(y | clip, decisions) of a rollout is differentiable in the CNN's weights, so
    rollouts that were just played are run once more, with the decisions that were sampled, and give the gradient of
    their mean cross-entropy (under a reward of 0/1 too). Two of each clip do: they share its pixels. This and the
    agent's own are the two parts of one gradient, that of the expected reward (Schulman et al., 2015, "Gradient
    estimation using stochastic computation graphs", equation 5), but for what the CNN's weights change about the
    agent's input, which is left out. No further clips are seen.

    Relaxations: the backward pass of the agent's loss has left the CNN's gradient behind, through the agent's input
    too, as in AdaFuse.

    The CNN stays in eval mode: its BatchNorms keep to their statistics, in rollouts and in these steps alike.

    :param backbone: of the environment, BatchNorms not folded; its weights are trained
    :param learning_rate: of SGD with Nesterov momentum, a function of the progress that remains
    :param rollouts: of each clip, that the CNN learns from; at most as many as are played
    :param weight_decay: L2 penalty on the CNN's weights
    :param max_gradient_norm: longer gradients are shortened to it; without that, large learning rates diverge
    """

    def __init__(
        self,
        backbone: FusionBackbone,
        *,
        learning_rate: Callable[[float], float],
        rollouts: int = 2,
        weight_decay: float = 5e-4,
        max_gradient_norm: float = 5.0,
    ) -> None:
        super().__init__()
        self.backbone, self.learning_rate, self.rollouts = backbone, learning_rate, rollouts
        self.max_gradient_norm = max_gradient_norm
        backbone.eval().requires_grad_(True)
        self.optimizer = torch.optim.SGD(
            backbone.parameters(), lr=0.0, momentum=0.9, nesterov=True, weight_decay=weight_decay
        )
        self.batch: tuple[Tensor, Tensor] | None = None  # frames and labels of the rollouts under way

    def _on_training_start(self) -> None:
        check_joint(self.model)
        self.plays = isinstance(self.model, RolloutMixin)

    def _on_rollout_start(self) -> None:
        if self.plays:
            episodes = self.training_env.get_attr("episodes")[0]
            self.batch = episodes.frames, episodes.labels

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.batch is not None:
            self.backward(*self.batch)
        self.step()
        if self.plays:  # the next clips were begun with the weights of before
            self.model._last_obs = np.stack(self.training_env.env_method("begin_again"))

    def backward(self, frames: Tensor, labels: Tensor) -> None:
        """Gradient of the mean cross-entropy of rollouts just played, a few clips at a time."""
        played = self.played_decisions()
        clips, rollouts = len(frames), len(played) // len(frames)
        at_once = max(PIXELS_AT_ONCE // (rollouts * frames[:, :, 0].numel() // clips), 1)
        self.optimizer.zero_grad()
        total = 0.0
        for start in range(0, clips, at_once):
            part, rows = slice(start, start + at_once), slice(start * rollouts, (start + at_once) * rollouts)
            share = len(labels[part]) / clips
            loss = share * played_loss(self.backbone, frames[part], labels[part], played.take(rows))
            loss.backward()
            total += loss.item()
        self.logger.record_mean("train/cnn_loss", total)

    def played_decisions(self) -> Decisions:
        """Of B * rollouts rows: the last rollouts of each clip (its first may have been greedy).

        :raises ValueError: a model that plays none
        """
        model = self.model
        if not isinstance(model, RolloutMixin):
            raise ValueError(f"expected a method that plays rollouts, got {type(model).__name__}")
        played = model.rollouts_per_clip
        kept = np.arange(model.n_envs) % played >= played - self.rollouts
        return Decisions.from_actions(model.rollout_buffer.actions.cpu().numpy()[:, kept], model.layout)

    def step(self) -> None:
        """Along the gradient that stands in the CNN's parameters; removes it."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), self.max_gradient_norm))
        if not math.isfinite(norm):
            raise ValueError(
                f"expected a finite gradient of the CNN, got {norm}: lower its learning rate; the last checkpoint is intact"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.model._current_progress_remaining)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.logger.record("train/cnn_gradient_norm", norm)
        self.logger.record("train/cnn_learning_rate", self.optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold: the CNN and its optimiser."""
        return {"backbone": self.backbone.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.backbone.load_state_dict(state["backbone"])
        self.optimizer.load_state_dict(state["optimizer"])
