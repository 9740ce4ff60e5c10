"""What happens between rollouts: evaluation, checkpoints, the progress bar, Ctrl-C; episodes are in ``agent/callbacks/episode_log.py``.

All act at the start of a rollout, where training can be taken up again bit for bit.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from agent.algorithms.schedules import Linear
from agent.callbacks.checkpoint import save_agent
from agent.evaluation import Evaluation, evaluate
from backbone import FusionBackbone
from backbone.common.files import write_json
from envs.clips import ClipSource
from envs.spaces import StepLayout


class Interrupted(Exception):
    """Training was asked to stop, and its checkpoint is written."""


class BetweenRollouts(BaseCallback):
    """Calls ``act`` at the start of each rollout."""

    def _on_rollout_start(self) -> None:
        self.act()

    def _on_step(self) -> bool:
        return True

    def act(self) -> None:
        raise NotImplementedError

    @property
    def rollouts(self) -> int:
        """Rollouts that the model has played."""
        return self.model.num_timesteps // self.layout.num_steps

    @property
    def layout(self) -> StepLayout:
        """Of the training environment."""
        return self.training_env.get_attr("layout")[0]


def effort(model: BaseAlgorithm) -> dict[str, int | None]:
    """What training has taken so far: rollouts, clips drawn for them, updates.

    Of a learner that is not ours, updates are what it counts itself; None where an earlier sitting did not count them.
    """
    layout, rollouts_per_clip = (model.env.get_attr(name)[0] for name in ("layout", "rollouts_per_clip"))
    rollouts = model.num_timesteps // layout.num_steps
    updates = getattr(model, "updates", model._n_updates)
    return {"rollouts": rollouts, "clips_drawn": rollouts // rollouts_per_clip, "updates": updates}


def read_curve(path: Path) -> list[dict[str, float]]:
    """A learning curve as ``Evaluations`` keeps it; older ones call rollouts clips."""
    points = json.loads(path.read_text())
    return [{"rollouts" if name == "clips" else name: value for name, value in point.items()} for point in points]


class CostWarmup(BetweenRollouts):
    """Raise the environment's cost weight linearly from zero over the first share ``warmup`` of training."""

    def __init__(self, cost_weight: float, warmup: float) -> None:
        super().__init__()
        self.schedule = Linear(0.0, cost_weight, warmup) if warmup > 0 else Linear(cost_weight, cost_weight)

    def act(self) -> None:
        self.training_env.set_attr("cost_weight", self.schedule(self.model._current_progress_remaining))


class Evaluations(BetweenRollouts):
    """Judge the greedy policy on validation clips every ``every`` rollouts; keep the curve in a JSON file.

    :param path: file of the learning curve, a list of points; points beyond the model's rollouts (of a run that was
        killed and resumed) are dropped
    """

    def __init__(self, backbone: FusionBackbone, clips: ClipSource, *, every: int, path: Path) -> None:
        super().__init__()
        self.backbone, self.clips, self.every, self.path = backbone, clips, every, path
        self.curve: list[dict[str, float]] = []
        self.result: Evaluation | None = None  # the latest one's, clip by clip

    def _on_training_start(self) -> None:
        if self.path.exists():
            self.curve = [point for point in read_curve(self.path) if point["rollouts"] <= self.rollouts]

    def due(self) -> bool:
        """Is the last point missing, or ``every`` rollouts old?"""
        return not self.curve or self.rollouts // self.every > self.curve[-1]["rollouts"] // self.every

    def act(self) -> None:
        if self.due():
            self.measure()

    def measure(self) -> None:
        """Add a point to the curve now."""
        result = self.result = evaluate(self.model, self.backbone, self.clips, order=self.layout.order)
        point = {
            **effort(self.model),
            "accuracy": result.accuracy,
            "cost": result.cost,
            "log_prob": float(result.log_prob.mean()),
        }
        self.curve.append(point)
        write_json(self.path, self.curve)
        for tag in ("accuracy", "cost", "log_prob"):
            self.logger.record(f"validation/{tag}", point[tag])
        self.logger.dump(step=self.rollouts)

    def _on_training_end(self) -> None:
        if self.curve and self.curve[-1]["rollouts"] < self.rollouts:
            self.measure()


class Progress(BetweenRollouts):
    """Report the rollouts played to a progress bar, or to any other function of their number."""

    def __init__(self, total: int, *, title: str = "", report: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.total, self.title, self.report = total, title, report

    def _on_training_start(self) -> None:
        self.bar = tqdm(
            total=self.total,
            initial=self.rollouts,
            desc=self.title,
            unit="rollout",
            disable=True if self.report else None,
        )

    def act(self) -> None:
        self.bar.update(self.rollouts - self.bar.n)
        if self.report:
            self.report(self.rollouts)

    def _on_training_end(self) -> None:
        self.act()
        self.bar.close()


class Checkpoints(BetweenRollouts):
    """Save at each new evaluation and on Ctrl-C; the first Ctrl-C waits for the rollout, a second one does not.

    :param facts: kept in the checkpoint, beside the seconds of training that went before it
    :param seconds: of earlier sittings, None where they are not known
    :param cnn: asked at each checkpoint for the run's own CNN, as in ``save_agent``
    :param stop: asked at each rollout; True saves and stops as Ctrl-C does
    """

    def __init__(
        self,
        path: Path,
        evaluations: Evaluations,
        *,
        facts: dict[str, Any],
        seconds: float | None = 0.0,
        cnn: Callable[[], dict[str, Any]] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__()
        self.path, self.evaluations, self.facts, self.cnn, self.stop = path, evaluations, facts, cnn, stop
        self.earlier, self.started = seconds, time.monotonic()
        self.interrupted = False
        self.before: Any = None  # who had Ctrl-C before training
        self.saved = 0  # length of the curve at the last checkpoint

    def _on_training_start(self) -> None:
        self.saved, self.started = len(self.evaluations.curve), time.monotonic()
        try:
            self.before = signal.signal(signal.SIGINT, self._interrupt)
        except ValueError:  # not the main thread: whoever runs there handles Ctrl-C
            self.before = None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        self.release()

    def act(self) -> None:
        if self.interrupted or (self.stop is not None and self.stop()):
            self.save()
            self.release()
            raise Interrupted
        if len(self.evaluations.curve) != self.saved:
            self.saved = len(self.evaluations.curve)
            self.save()

    def save(self) -> None:
        cnn = None if self.cnn is None else self.cnn()
        save_agent(self.path, self.model, cnn=cnn, seconds=self.seconds, **self.facts)

    @property
    def seconds(self) -> float | None:
        """Of training so far, over all sittings; what came after the last checkpoint of a killed one is lost."""
        return None if self.earlier is None else self.earlier + time.monotonic() - self.started

    def release(self) -> None:
        """Give Ctrl-C back to whoever had it."""
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
            self.before = None

    def _on_training_end(self) -> None:
        self.save()
        self.release()
