"""One step after the other of fusion-aware pretraining."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agent.pretraining.mix import MIXES
from backbone import FusionBackbone
from backbone.common import ranks
from backbone.weights.synchronise import synchronised

WARMUP = 0.05  # share of training over which the learning rate rises
MAX_NORM = 5.0  # of the gradient


class Pretraining:
    """SGD with Nesterov momentum and a cosine schedule, under a policy a batch.

    ``done`` counts the updates so far.

    :param steps: in all
    :param learning_rate: peak, of the classifier
    :param body_rate: the rest of the CNN's, as a share of it
    :param weight_decay: L2 penalty on the weights
    :param mix: where the policies come from, a name in ``agent.pretraining.mix.MIXES``
    """

    def __init__(
        self,
        backbone: FusionBackbone,
        *,
        steps: int,
        learning_rate: float,
        body_rate: float = 1.0,
        weight_decay: float = 5e-4,
        mix: str = "random",
    ) -> None:
        self.mix = MIXES.find(mix)
        self.backbone, self.steps, self.learning_rate, self.done = backbone, steps, learning_rate, 0
        head = {*backbone.cnn.classifier.parameters(), *backbone.consensus.parameters()}
        parts: dict[float, list[nn.Parameter]] = {1.0: [], body_rate: []}
        for parameter in backbone.parameters():
            parts[1.0 if parameter in head else body_rate].append(parameter)
        groups = [{"params": part, "share": share} for share, part in parts.items() if part]
        self.optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, weight_decay=weight_decay)

    def step(self, frames: Tensor, labels: Tensor) -> tuple[float, float]:
        """One update on normalised frames (B, T, 3, H, W) and labels (B,); returns the loss, and the accuracy in percent.

        :raises ValueError: a loss that is not finite
        """
        share = self.done / self.steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * group["share"] * _schedule(share)
        self.backbone.train()
        with synchronised(self.backbone):
            logits = self.backbone(frames, self.mix(self.backbone.sites, frames.device, share)).logits
        loss = F.cross_entropy(logits, labels)
        right = float((logits.argmax(-1) == labels).float().mean())
        mean_loss, mean_right = ranks.mean([loss.item(), right])
        if not math.isfinite(mean_loss):
            raise ValueError(f"expected a finite loss, got {mean_loss} at batch {self.done}: lower --learning-rate")
        self.optimizer.zero_grad()
        loss.backward()
        ranks.average_gradients(self.backbone.parameters())
        torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), MAX_NORM)
        self.optimizer.step()
        self.done += 1
        return mean_loss, 100 * mean_right

    def state_dict(self) -> dict[str, Any]:
        """Tensors that a checkpoint must hold, beside ``done``."""
        return {
            "backbone": self.backbone.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any], done: int) -> None:
        """Go on as if nothing had happened."""
        self.backbone.load_state_dict(state["backbone"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch"])
        self.done = done


def _schedule(done: float) -> float:
    return min(done / WARMUP + 0.01, 1.0) * 0.5 * (1 + math.cos(math.pi * done))
