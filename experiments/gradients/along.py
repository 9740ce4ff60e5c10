"""Gradients along training: at the gates, the cost weight and the temperatures of a run at shares of its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from agent.callbacks.between_rollouts import BetweenRollouts
from agent.callbacks.cost_warmup import CostWarmup
from agent.checkpoint import load_statistics
from agent.statistics import fit
from backbone import FusionBackbone
from backbone.weights.recalibrate import read_statistics, write_statistics
from envs.clips import ClipSource
from experiments.clips import open_clips
from experiments.config import Train
from experiments.gradients.problem import Gates
from experiments.loading import freeze, layout_of, load_trained
from experiments.machine import import_plugins
from experiments.methods import env_of
from experiments.run import Run
from experiments.train import build_learner

OTHER_GATES = ("static",)  # their gates are not those of the other methods


class Point(NamedTuple):
    """A moment of training.

    :param share: of training that is over
    :param config: of the run, with the cost weight of that moment
    :param backbone: with the statistics of that moment
    """

    share: float
    config: Train
    gates: Gates
    backbone: FusionBackbone


class Trained(NamedTuple):
    """A run, and moments of its training.

    :param difference: largest of a weight between the run's checkpoint and the end of training it again; None where it
        was not trained again
    """

    config: Train
    clips: ClipSource
    points: list[Point]
    difference: float | None


class GatesAlong(BetweenRollouts):
    """Keeps the gates at shares of training, in ``gates``, and a CNN's statistics, in ``statistics``.

    :param source: that CNN, BatchNorms not folded
    """

    def __init__(self, shares: Sequence[float], source: FusionBackbone) -> None:
        super().__init__()
        self.waiting, self.source = sorted(shares), source
        self.gates: dict[float, dict[str, Tensor]] = {}
        self.statistics: dict[float, dict[str, Tensor]] = {}

    def act(self) -> None:
        while self.waiting and 1 - self.model._current_progress_remaining >= self.waiting[0] - 1e-9:
            self._keep(self.waiting.pop(0))

    def _on_training_end(self) -> None:
        for share in self.waiting:
            self._keep(share)

    def _keep(self, share: float) -> None:
        self.gates[share], self.statistics[share] = copy_gates(self.model), read_statistics(self.source)


def copy_gates(model: Any) -> dict[str, Tensor]:
    """A learner's gates, ``policy.gates``, as they are now."""
    return {name: part.detach().clone() for name, part in model.policy.gates.state_dict().items()}


def train_along(folder: Path, shares: Sequence[float]) -> Trained:
    """The gates of a finished run at shares of its training.

    The end is the run's own checkpoint, the start what its configuration starts from. For what lies between, it is
    trained again in memory, from the same seed and on the same clips, which ends in the same weights on the same machine.

    :raises ValueError: gates that no other method has, or a CNN that learned beside them
    """
    run = Run(folder)
    config = run.agent()
    if not isinstance(config, Train) or config.method in OTHER_GATES:
        raise ValueError(f"expected a run with gates that all methods share, got {config.method} in {folder}")
    if config.regime == "joint":
        raise ValueError(
            f"expected a run on a frozen CNN, got regime joint in {folder}: its CNN is another at every moment"
        )
    if not run.finished:
        raise ValueError(
            f"expected a finished run in {folder}, found no {run.result.name} there: go on with it by --resume"
        )
    import_plugins(config.plugin, named_by=folder)
    clips = open_clips(config.data, "train")
    trained, _, _ = load_trained(folder, device="cpu", clips=clips)
    config, end = replace(config, device="cpu").settled(), copy_gates(trained)
    learner = build_learner(config, clips)
    model, difference, follows = learner.model, None, learner.following is not None
    along = GatesAlong([share for share in shares if share < 1], learner.source)
    if any(0 < share < 1 for share in shares):
        callbacks = [*learner.followers, CostWarmup(config.cost_weight, config.warmup), along]
        model.learn(config.rollouts * layout_of(model).num_steps, callback=callbacks, log_interval=2**31)
        again = copy_gates(model)
        difference = max(float((again[name] - part).abs().max()) for name, part in end.items())
    else:
        first = fit(model, learner.source, clips, selection="sampled") if follows else learner.source
        along.gates[0.0], along.statistics[0.0] = copy_gates(model), read_statistics(first)
    env_of(model).close()
    gates = {**along.gates, 1.0: end}
    kept = load_statistics(run.checkpoint)["followed"] if follows else read_statistics(learner.source)
    statistics = {**along.statistics, 1.0: kept}
    weight_at = CostWarmup(config.cost_weight, config.warmup).schedule
    points = [
        Point(
            share,
            replace(config, cost_weight=weight_at(1 - share)),
            gates[share],
            freeze(write_statistics(learner.source, statistics[share])),
        )
        for share in shares
    ]
    return Trained(config, clips, points, difference)


def open_at_start(config: Train, clips: ClipSource) -> FusionBackbone:
    """What a run of this configuration plays on at first: with the statistics of its initial gates' sampled decisions."""
    learner = build_learner(config.settled(), clips)
    env_of(learner.model).close()
    if learner.following is None:
        return learner.backbone
    return freeze(fit(learner.model, learner.source, clips, selection="sampled"))
