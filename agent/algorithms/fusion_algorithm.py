"""What all our methods share, whatever they learn by: the axis of charts, the tags, the watch over gradients."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HumanOutputFormat, Logger
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from agent.policies.policy import FusionPolicy
from backbone import Decision, Ledger
from backbone.common import ranks
from envs.reward import Reward
from envs.spaces import StepLayout

MAX_NORM_RATIO = (
    5.0  # of a gradient to the usual one of its method: holds against outliers, whatever the method's scale
)
WARM_UP_UPDATES = 10
NOISE_MEMORY = 0.95  # share of the running means of gradients that stays at each update


class Counts(TypedDict):
    """Of an optimiser over all sittings, as checkpoints keep them."""

    updates: int
    clipped: int
    norm_square: float
    complete: bool  # False after a sitting that did not count: then the limit alone may use them


class GradientWatch:
    """Norm and noise of the gradients that an optimiser steps along; shortens outliers, and stops at NaN.

    An outlier is longer than MAX_NORM_RATIO times the root mean square of recent norms. A fixed limit would cut noisy
    estimators often and quiet ones never.

    Noise is 1 - |mean of g|^2 / mean of |g|^2 over recent updates: 0 where successive gradients agree, near 1 where
    they have next to nothing in common.

    :param parameters: whose gradients are measured and clipped; None takes all. A critic in the same optimiser must
        stay out, or its errors shorten the gates' steps and its steadier gradient hides their noise
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter] | None = None) -> None:
        self.parameters = None if parameters is None else list(parameters)
        self.mean: torch.Tensor | None = None
        self.mean_square, self.updates = 0.0, 0
        self.norms: deque[float] = deque(maxlen=100)  # of the latest updates
        self.counts: Counts = {"updates": 0, "clipped": 0, "norm_square": 0.0, "complete": True}

    def __call__(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        everything = [p for group in optimizer.param_groups for p in group["params"]]
        total = sum(float(p.grad.norm()) for p in everything if p.grad is not None)
        watched = everything if self.parameters is None else self.parameters
        # a small minibatch may leave a site's gate without a gradient: zeros keep its place in the running mean
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in watched])
        norm = float(flat.norm())
        if not math.isfinite(total):
            raise ValueError(
                f"expected a finite gradient, got {total}: lower the learning rate, or check the backbone's weights "
                "and the clips; the last checkpoint is intact"
            )
        self.mean = (1 - NOISE_MEMORY) * flat + (NOISE_MEMORY * self.mean if self.mean is not None else 0)
        self.mean_square = (1 - NOISE_MEMORY) * norm**2 + NOISE_MEMORY * self.mean_square
        self.norms.append(norm)
        self.updates += 1
        limit = self._limit()
        if norm > limit:
            self.counts["clipped"] += 1
            for parameter in watched:
                if parameter.grad is not None:
                    parameter.grad.mul_(limit / norm)
        self.counts["updates"] += 1
        square = NOISE_MEMORY * self.counts["norm_square"] + (1 - NOISE_MEMORY) * min(norm, limit) ** 2
        self.counts["norm_square"] = square

    def _limit(self) -> float:
        """The longest gradient that passes; any until enough updates tell what is usual."""
        updates = self.counts["updates"]
        if updates < WARM_UP_UPDATES or not self.counts["norm_square"]:
            return math.inf
        return MAX_NORM_RATIO * (self.counts["norm_square"] / (1 - NOISE_MEMORY**updates)) ** 0.5

    @property
    def noise(self) -> float:
        """0 before the first update."""
        if self.mean is None or not self.mean_square:
            return 0.0
        # both running means lack the same share of their weight at the start, once in the mean and twice in its square
        weight = 1 - NOISE_MEMORY**self.updates
        return 1 - float(self.mean.square().sum()) / (weight * self.mean_square)


class FusionAlgorithm(BaseAlgorithm):
    """Mixin before a stable-baselines3 algorithm that trains a FusionPolicy on a FusionVecEnv.

    Every method logs the same tags; the axis of every chart is the number of rollouts.
    """

    policy: FusionPolicy
    layout: StepLayout
    ledger: Ledger

    def _setup_model(self) -> None:
        if self.env is not None:
            self.layout = self.env.get_attr("layout")[0]
            self.ledger = self.env.get_attr("ledger")[0]
            self.policy_kwargs = {**self.policy_kwargs, "layout": self.layout}
        self._build_policy()
        self.gradient_watch = GradientWatch(self.policy.gates.parameters())
        self.policy.optimizer.register_step_pre_hook(self._average_gradients)
        self.policy.optimizer.register_step_pre_hook(self.gradient_watch)

    def _average_gradients(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Over all ranks, so that whatever looks at gradients or steps along them is the same on each."""
        ranks.average_gradients((p for group in optimizer.param_groups for p in group["params"]), self.row_weight)

    @property
    def row_weight(self) -> float:
        """This rank's rows in the update under way, as a share of those that each would have of equal shares."""
        return 1.0

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        if not self._custom_logger and self.tensorboard_log is None:
            # stable-baselines3 would make a folder in the temporary directory, and write nothing into it
            self.set_logger(Logger(None, [HumanOutputFormat(sys.stdout)] if self.verbose else []))
        return super()._setup_learn(*args, **kwargs)

    def _build_policy(self) -> None:
        """Build ``self.policy`` and whatever it learns from."""
        super()._setup_model()  # type: ignore[safe-super]  # that of the algorithm that this is mixed into

    @property
    def rollouts(self) -> int:
        """Rollouts played so far; several of a clip count each."""
        return self.num_timesteps // self.layout.num_steps

    @property
    def updates(self) -> int | None:
        """Steps of the optimiser so far; None where an earlier sitting did not count them."""
        counts = self.gradient_watch.counts
        return counts["updates"] if counts["complete"] else None

    @property
    def clipped_updates(self) -> float | None:
        """Share of them whose gradient was shortened as an outlier; None where that is not known."""
        return None if self.updates is None else self.gradient_watch.counts["clipped"] / max(self.updates, 1)

    @property
    def reward(self) -> Reward:
        """The environment's, now: its cost weight is warmed up during training."""
        return env_of(self).get_attr("episodes")[0].reward

    def sample_loss(self) -> torch.Tensor:
        """Play the next batch of clips; the gradient of what is returned estimates that of minus the expected reward.

        For those who study estimators, after ``prepare_sampling``; ``learn`` trains.
        """
        raise NotImplementedError

    def prepare_sampling(self, progress_remaining: float = 1.0) -> None:
        """Get ready for ``sample_loss`` outside of ``learn``.

        :param progress_remaining: 1 at the start of training, 0 at its end: schedules, such as that of a relaxation's
            temperature, stand where training would have them
        """
        _, self.callback = self._setup_learn(0, None)
        self._current_progress_remaining = progress_remaining
        self.policy.set_training_mode(False)

    def step(self, loss: torch.Tensor) -> None:
        """One update along the gradient of a loss."""
        self.policy.optimizer.zero_grad()
        loss.backward()
        self.policy.optimizer.step()
        self.logger.record("train/loss", ranks.mean([loss.item()])[0])

    def log_rollouts(
        self, *, reward: Any, correct: Any, macs_ratio: Any, entropy: float, shares: Sequence[np.ndarray]
    ) -> None:
        """Record one batch of finished rollouts under the tags that all methods share.

        :param reward, correct, macs_ratio: of each rollout, (N,); accuracy is logged in percent, as on validation clips
        :param entropy: of one decision, mean, in nats
        :param shares: per site, the shares of use, reuse and skip, (3,)
        """
        figures = {
            "rollout/reward": float(np.mean(reward)),
            "rollout/accuracy": 100 * float(np.mean(correct)),
            "rollout/cost": float(np.mean(macs_ratio)),
            "train/entropy": entropy,
        }
        for site, share in zip(self.layout.sites, shares, strict=True):
            for decision in Decision:
                figures[f"decisions/{site.name}/{decision.name.lower()}"] = float(share[decision])
        for tag, figure in zip(figures, ranks.mean(list(figures.values()))):
            self.logger.record_mean(tag, figure)

    def dump_logs(self, iteration: int = 0) -> None:
        """Write what was recorded, at the number of rollouts."""
        watch, now = self.gradient_watch, time.time_ns()
        if watch.norms:
            self.logger.record("train/gradient_norm", float(np.mean(watch.norms)))
            self.logger.record("train/gradient_noise", watch.noise)
            if self.clipped_updates is not None:
                self.logger.record("train/clipped_updates", self.clipped_updates)
        elapsed = max((now - self.start_time) / 1e9, 1e-9)
        fresh = (self.num_timesteps - self._num_timesteps_at_start) / self.layout.num_steps
        self.logger.record("time/rollouts_per_second", fresh / elapsed)
        for name, value in env_of(self).env_method("data_facts", indices=[0])[0].items():
            self.logger.record(f"data/{name}", value)
        self.logger.record("train/cost_weight", float(self.reward.cost_weight))
        self.logger.record("train/learning_rate", self.policy.optimizer.param_groups[0]["lr"])
        self.logger.dump(step=self.rollouts)

    def extra_state(self) -> dict[str, Any]:
        """JSON facts beyond policy and optimiser that a checkpoint must hold."""
        return {"gradient_watch": dict(self.gradient_watch.counts)}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what ``extra_state`` gave."""
        self.gradient_watch.counts.update(state.get("gradient_watch", {"complete": False}))  # older checkpoints lack it

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []  # BaseAlgorithm's own leaves the optimiser out

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "gradient_watch", "ledger"]


def env_of(model: BaseAlgorithm) -> VecEnv:
    """The environment that a model trains on.

    :raises ValueError: a model without one, as ``load`` gives where none is named
    """
    if model.env is None:
        raise ValueError(
            f"expected a {type(model).__name__} with an environment, got one without: call set_env() first"
        )
    return model.env


def check_env(env: GymEnv, *, order: str | None = None) -> VecEnv:
    """Fail early where an environment is not one of ours; else the environment itself.

    :raises ValueError: not a FusionVecEnv, or one of another order
    """
    if not isinstance(env, VecEnv) or not env.has_attr("layout"):
        raise ValueError(f"expected a FusionVecEnv (or a wrapper of one), got {type(env).__name__}")
    found = env.get_attr("layout")[0].order
    if order is not None and found != order:
        raise ValueError(f"expected an environment with order={order!r}, got {found!r}: make it with order={order!r}")
    return env
