"""The greedy policy judged on validation clips as training goes on: the learning curve."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from agent.callbacks.between_rollouts import BetweenRollouts, effort
from agent.evaluation import Evaluation, evaluate_together
from agent.statistics import CLIPS, fit
from backbone import FusionBackbone, fold_batchnorm
from backbone.common.files import write_json
from envs.clips import ClipSource
from envs.reward import Reward

ON_THE_WAY = (
    128  # clips that statistics are estimated from while training goes on; its end takes ``agent.statistics.CLIPS``
)


def read_curve(path: Path) -> list[dict[str, Any]]:
    """A learning curve as ``Evaluations`` keeps it; older ones call rollouts clips."""
    points = json.loads(path.read_text())
    return [{"rollouts" if name == "clips" else name: value for name, value in point.items()} for point in points]


class Evaluations(BetweenRollouts):
    """Judge the greedy policy on validation clips every ``every`` rollouts; keep the curve in a JSON file.

    :param backbone: that it is judged on: as it is, or, with ``fit_on``, with BatchNorm statistics of the greedy policy
    :param path: file of the learning curve, a list of points; points beyond the model's rollouts (of a run that was
        killed and resumed) are dropped
    :param reward: by which the best point is chosen, all through training; the warm-up of its cost weight is left out
    :param fit_on: training clips to estimate those on, see ``agent.statistics.fit``; BatchNorms are not folded then
    """

    def __init__(
        self,
        backbone: FusionBackbone,
        clips: ClipSource,
        *,
        every: int,
        path: Path,
        reward: Reward | None = None,
        fit_on: ClipSource | None = None,
    ) -> None:
        super().__init__()
        self.reward = reward or Reward()
        self.backbone, self.source, self.fitted, self.fit_on = backbone, backbone, backbone, fit_on
        self.clips, self.every, self.path = clips, every, path
        self.curve: list[dict[str, Any]] = []
        self.result: Evaluation | None = None  # the latest one's, clip by clip

    def _on_training_start(self) -> None:
        if self.path.exists():
            self.curve = [point for point in read_curve(self.path) if point["rollouts"] <= self.rollouts]

    def due(self) -> bool:
        """Is the last point missing, or ``every`` rollouts old?"""
        return not self.curve or self.rollouts // self.every > self.curve[-1]["rollouts"] // self.every

    @property
    def best(self) -> dict[str, Any]:
        """The point of the highest reward; of equal ones the latest."""
        return max(reversed(self.curve), key=lambda point: point.get("reward", -math.inf))  # older curves have none

    def act(self) -> None:
        if self.due():
            self.measure()

    def measure(self, *, count: int = ON_THE_WAY) -> None:
        """Add a point to the curve now.

        :param count: of clips to estimate statistics on, where they are
        """
        order = self.layout.order
        if self.fit_on is not None:
            self.fitted = fit(self.model, self.source, self.fit_on, order=order, count=count)
            self.backbone = fold_batchnorm(self.fitted)
        result = self.result = evaluate_together(self.model, self.backbone, self.clips, order=order)
        logits, labels = torch.from_numpy(result.logits), torch.from_numpy(result.label)
        point: dict[str, Any] = {
            **effort(self.model),
            "accuracy": result.accuracy,
            "cost": result.cost,
            "log_prob": float(result.log_prob.mean()),
            "reward": self.reward(float(self.reward.of_outcome(logits, labels).mean()), result.cost),
        }
        self.curve.append(point)
        write_json(self.path, self.curve)
        for tag in ("accuracy", "cost", "log_prob", "reward"):
            self.logger.record(f"validation/{tag}", point[tag])
        self.logger.dump(step=self.rollouts)

    def _on_training_end(self) -> None:
        if self.curve and self.curve[-1]["rollouts"] < self.rollouts:
            self.measure(count=CLIPS)
