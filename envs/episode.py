"""What happened in one episode, kept whole so that it can be drawn, logged and read later."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from backbone import Decision, Site, walk_macs
from envs.decisions import Decisions
from envs.episodes import Episodes
from envs.reward import Reward
from envs.rollout import Rollout


@dataclass
class EpisodeRecord:
    """One episode of FusionEnv; of one under way, what is known so far.

    :param frames: (T, H, W, 3) uint8
    :param classes: K class names
    :param decisions: of this one clip
    :param name: of the clip
    :param reward: what its rewards are made of
    :param rewards: of each step
    :param outcome: ``info["clip"]`` of the last step: label, prediction, correct, log_prob, macs_ratio, reward; label,
        correct and log_prob are None of a clip without a label
    :param probabilities: (T, K) of the classes after each frame: softmax of the running mean of logits (of an LSTM's
        own output); the last row is the clip's. Empty while the episode is under way
    :param frame_costs: (T,) MACs of each frame, the agent's own included, as a share of a dense frame; their mean is
        the clip's cost. Empty while the episode is under way
    :param decision_probabilities: per site, (T, D, 3) of use, reuse and skip; None where the agent does not tell
    """

    frames: np.ndarray
    classes: tuple[str, ...]
    decisions: Decisions
    name: str = ""
    reward: Reward = field(default_factory=Reward)
    rewards: list[float] = field(default_factory=list)
    outcome: dict[str, Any] = field(default_factory=dict)
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    frame_costs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    decision_probabilities: list[np.ndarray] | None = None

    @property
    def sites(self) -> tuple[Site, ...]:
        """The backbone's."""
        return self.decisions.sites

    @property
    def label(self) -> str | None:
        """The true class by name; None of a clip without a label."""
        return None if self.outcome["label"] is None else self.classes[self.outcome["label"]]

    @property
    def prediction(self) -> str:
        """The predicted class by name."""
        return self.classes[self.outcome["prediction"]]

    @property
    def outcome_reward(self) -> float:
        """What the last step's reward holds beside its cost: correctness, or the log-probability of the label."""
        return self.reward.outcome_of(sum(self.rewards), self.outcome["macs_ratio"])

    def maps(self) -> list[np.ndarray]:
        """Per site, the decisions of all frames, (T, D) int8, UNDECIDED where there are none; the caller's own."""
        return [chosen[0].copy() for chosen in self.decisions.by_site]

    def shares(self) -> dict[Decision, float]:
        """How large a part of all decisions was use, reuse and skip; empty before the first."""
        counts = self.decisions.counts()
        return {decision: float(counts[decision] / counts.sum()) for decision in Decision} if counts.any() else {}

    def facts(self) -> dict[str, str]:
        """The episode in a few words by name: clip, label, prediction, cost, return, decisions."""
        outcome, final, known = self.outcome, self.probabilities[-1], self.label is not None
        facts = {"clip": self.name}
        if known:
            facts["label"] = f"{self.label}, probability {final[outcome['label']]:.3f}"
        judged = (" (right)" if outcome["correct"] else " (wrong)") if known else ""
        facts["prediction"] = f"{self.prediction}, probability {final[outcome['prediction']]:.3f}{judged}"
        facts["cost"] = f"{outcome['macs_ratio']:.3f} of the dense CNN's MACs"
        facts["return"] = f"{outcome['reward']:.3f} at cost weight {self.reward.cost_weight:g}"
        if not known:
            facts["return"] += ", cost alone: the video has no label"
        shares = self.shares().items()
        facts["decisions"] = ", ".join(f"{decision.name.lower()} {share:.1%}" for decision, share in shares)
        return facts

    def to_markdown(self) -> str:
        """The same as a table."""
        lines = [f"| {name} | {' '.join(text.split()).replace('|', '/')} |" for name, text in self.facts().items()]
        return "\n".join(["| | |", "|---|---|", *lines])

    def unlabelled(self) -> EpisodeRecord:
        """The same of a clip whose label was made up: without it, and its last reward without the outcome."""
        rewards = [*self.rewards[:-1], self.rewards[-1] - self.outcome_reward]
        nothing = {"label": None, "correct": None, "log_prob": None}
        return replace(self, rewards=rewards, outcome={**self.outcome, **nothing, "reward": sum(rewards)})


def record_rollout(episodes: Episodes, rollout: Rollout) -> list[EpisodeRecord]:
    """The records of N episodes that have ended, kept in detail.

    :param episodes: that played them
    :raises ValueError: a rollout without details
    """
    if rollout.frame_logits is None or rollout.frames is None:
        raise ValueError("expected a rollout with its details, got one without: play it with detailed=True")
    backbone, source = episodes.backbone, episodes.clips
    probabilities = torch.from_numpy(rollout.frame_logits).double().softmax(-1).numpy()
    macs = walk_macs(backbone.ledger, rollout.decisions.one_hot(), agent_macs=episodes.agent_macs).sum(-1)
    costs = (macs / backbone.ledger.dense_macs).numpy()
    return [
        EpisodeRecord(
            frames=rollout.frames[row],
            classes=tuple(source.classes),
            decisions=rollout.decisions.take([row]),
            name=str(source.names[facts["clip"]]),
            reward=episodes.reward,
            rewards=rollout.rewards[:, row].tolist(),
            outcome=facts,
            probabilities=probabilities[row],
            frame_costs=costs[row],
        )
        for row, facts in enumerate(rollout.outcome.per_episode())
    ]


class RecordEpisode(gym.Wrapper):
    """Puts an EpisodeRecord into ``info["episode_record"]`` at the end of each episode of a FusionEnv."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict]:
        observation, info = self.env.reset(**kwargs)
        self.rewards: list[float] = []
        return observation, info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        observation, given, terminated, truncated, info = self.env.step(action)
        reward = float(given)
        self.rewards.append(reward)
        if terminated:
            episodes: Episodes = self.get_wrapper_attr("episodes")
            rewards = [np.array([reward]) for reward in self.rewards]
            played = Rollout.of(episodes, rewards, self.get_wrapper_attr("outcome"), detailed=True)
            info["episode_record"] = record_rollout(episodes, played)[0]
        return observation, reward, terminated, truncated, info
