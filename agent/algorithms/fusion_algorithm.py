"""What all our methods share, whatever they learn by: the axis of charts, the tags, the watch over gradients."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, TypedDict

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HumanOutputFormat, Logger
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agent.policies.policy import FusionPolicy
from backbone import Decision, Ledger
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
    """Norm and noise of the gradients that an optimiser steps along; shortens outliers, and lets NaN move nothing.

    All of it stays on the gradients' device until it is asked for; ``check`` raises where one was not finite.

    An outlier is longer than MAX_NORM_RATIO times the root mean square of recent norms. A fixed limit would cut noisy
    estimators often and quiet ones never.

    Noise is 1 - |mean of g|^2 / mean of |g|^2 over recent updates: 0 where successive gradients agree, near 1 where
    they have next to nothing in common.

    :param parameters: whose gradients are measured and clipped; None takes all. A critic in the same optimiser must
        stay out, or its errors shorten the gates' steps and its steadier gradient hides their noise
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter] | None = None) -> None:
        self.parameters = None if parameters is None else list(parameters)
        self.mean: Tensor | None = None
        self.updates = 0
        self._norms: deque[Tensor] = deque(maxlen=100)  # of the latest updates
        self._updates, self._complete = 0, True  # over all sittings
        # one number each, float64 where the gradients are: nothing waits for the device until somebody asks
        self._mean_square, self._norm_square, self._clipped, self._fault = torch.zeros(4, dtype=torch.float64)

    def __call__(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        everything = [p for group in optimizer.param_groups for p in group["params"]]
        watched = everything if self.parameters is None else self.parameters
        # a small minibatch may leave a site's gate without a gradient: zeros keep its place in the running mean
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in watched])
        known = {id(p) for p in watched}
        others = [p.grad for p in everything if p.grad is not None and id(p) not in known]
        self._move(flat.device)
        norm = flat.norm().double()
        total = norm + sum(grad.norm() for grad in others)
        finite = total.isfinite()
        self._fault = torch.where((self._fault == 0) & ~finite, total, self._fault)
        self.mean = (1 - NOISE_MEMORY) * flat + (NOISE_MEMORY * self.mean if self.mean is not None else 0)
        self._mean_square = (1 - NOISE_MEMORY) * norm**2 + NOISE_MEMORY * self._mean_square
        self._norms.append(norm)
        self.updates += 1
        limit = self._limit(norm)
        outlier = norm > limit
        self._clipped = self._clipped + outlier
        kept = torch.where(
            finite, flat * torch.where(outlier, limit / norm, 1.0), 0
        )  # what is not finite moves nothing
        for p, part in zip(watched, kept.split([p.numel() for p in watched])):
            if p.grad is not None:
                p.grad = part.view_as(p)
        for grad in others:
            grad.copy_(torch.where(finite, grad, 0))
        self._updates += 1
        square = torch.minimum(norm, limit) ** 2
        self._norm_square = NOISE_MEMORY * self._norm_square + (1 - NOISE_MEMORY) * square

    def _limit(self, norm: Tensor) -> Tensor:
        """The longest gradient that passes; any until enough updates tell what is usual."""
        unlimited = torch.full_like(norm, math.inf)
        if self._updates < WARM_UP_UPDATES:
            return unlimited
        usual = (self._norm_square / (1 - NOISE_MEMORY**self._updates)) ** 0.5
        return torch.where(self._norm_square > 0, MAX_NORM_RATIO * usual, unlimited)

    def _move(self, device: torch.device) -> None:
        if self._fault.device != device:
            for name in ("_mean_square", "_norm_square", "_clipped", "_fault"):
                setattr(self, name, getattr(self, name).to(device))

    def check(self) -> None:
        """:raises ValueError: a gradient was not finite; it has moved nothing"""
        if fault := float(self._fault):
            raise ValueError(
                f"expected a finite gradient, got {fault}: lower the learning rate, or check the backbone's weights "
                "and the clips; the last checkpoint is intact"
            )

    @property
    def norms(self) -> list[float]:
        """Of the latest updates."""
        return torch.stack(tuple(self._norms)).tolist() if self._norms else []

    @property
    def counts(self) -> Counts:
        """Over all sittings."""
        clipped, square = int(self._clipped), float(self._norm_square)
        return {"updates": self._updates, "clipped": clipped, "norm_square": square, "complete": self._complete}

    def take_up(self, counts: dict[str, Any]) -> None:
        """Go on from a checkpoint's ``counts``, or a part of them."""
        held = {**self.counts, **counts}
        self._updates, self._complete = held["updates"], held["complete"]
        self._clipped = torch.tensor(held["clipped"], dtype=torch.float64, device=self._fault.device)
        self._norm_square = torch.tensor(held["norm_square"], dtype=torch.float64, device=self._fault.device)

    @property
    def noise(self) -> float:
        """0 before the first update."""
        if self.mean is None or not self._mean_square:
            return 0.0
        # both running means lack the same share of their weight at the start, once in the mean and twice in its square
        weight = 1 - NOISE_MEMORY**self.updates
        return 1 - float(self.mean.square().sum()) / (weight * float(self._mean_square))


class FusionAlgorithm(BaseAlgorithm):
    """Mixin before a stable-baselines3 algorithm that trains a FusionPolicy on a FusionVecEnv.

    Every method logs the same tags; the axis of every chart is the number of rollouts. ``log_every`` is the ``log_interval``
    of training that may be interrupted, whose ``learn`` gets 1: batches are counted over all sittings.
    """

    policy: FusionPolicy
    layout: StepLayout
    ledger: Ledger
    log_every = 1
    batches = 0  # of rollouts, over all sittings

    def _setup_model(self) -> None:
        if self.env is not None:
            self.layout = self.env.get_attr("layout")[0]
            self.ledger = self.env.get_attr("ledger")[0]
            self.policy_kwargs = {**self.policy_kwargs, "layout": self.layout}
        self._build_policy()
        self._recorded: list[tuple[str, list[str], Tensor]] = []
        self.gradient_watch = GradientWatch(self.policy.gates.parameters())
        self.policy.optimizer.register_step_pre_hook(self.gradient_watch)

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
        self.record_later("record", ["train/loss"], loss)

    def record_later(self, kind: str, names: list[str], values: Tensor) -> None:
        """Log numbers that stand on the device, once logs are written: asking for them now would halt it.

        :param kind: "record", the last value, or "record_mean"
        :param values: one a name
        """
        self._recorded.append((kind, names, values.detach().double().flatten()))
        if len(self._recorded) > 1000:  # nobody writes logs
            self.bring_records()

    def bring_records(self) -> None:
        """Hand the logger what was recorded, in one copy."""
        recorded, self._recorded = self._recorded, []
        if not recorded:
            return
        numbers = iter(torch.cat([values for *_, values in recorded]).tolist())
        for kind, names, _ in recorded:
            for name in names:
                getattr(self.logger, kind)(name, next(numbers))

    def log_rollouts(self, *, reward: Any, correct: Any, macs_ratio: Any, entropy: Any, shares: Any) -> None:
        """Record one batch of finished rollouts under the tags that all methods share.

        Arrays, lists or tensors; the latter stay on their device until logs are written.

        :param reward, correct, macs_ratio: of each rollout, (N,); accuracy is logged in percent, as on validation clips
        :param entropy: of one decision, mean, in nats
        :param shares: per site, the shares of use, reuse and skip, (S, 3)
        """
        means = {
            "rollout/reward": reward,
            "rollout/accuracy": correct,
            "rollout/cost": macs_ratio,
            "train/entropy": entropy,
        }
        values = [torch.as_tensor(part).double().mean().to(self.device) for part in means.values()]
        values[1] = 100 * values[1]
        self.record_later("record_mean", list(means), torch.stack(values))
        if not isinstance(shares, Tensor):
            shares = torch.as_tensor(np.stack(list(shares)))
        names = [
            f"decisions/{site.name}/{decision.name.lower()}" for site in self.layout.sites for decision in Decision
        ]
        self.record_later("record_mean", names, shares.to(self.device))

    def dump_logs(self, iteration: int = 0) -> None:
        """Write what was recorded, at the number of rollouts; of every so many batches.

        :raises ValueError: a gradient was not finite
        """
        self.batches += 1
        if self.batches % self.log_every:
            return
        self.gradient_watch.check()
        self.bring_records()
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
        return {"gradient_watch": dict(self.gradient_watch.counts), "batches": self.batches}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what ``extra_state`` gave."""
        self.gradient_watch.take_up(state.get("gradient_watch", {"complete": False}))  # older checkpoints lack it
        self.batches = state.get("batches", 0)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []  # BaseAlgorithm's own leaves the optimiser out

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "gradient_watch", "ledger", "_recorded"]


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
