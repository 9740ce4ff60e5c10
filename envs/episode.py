"""What happened in one episode, kept whole so that it can be drawn, logged and read later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from backbone import Decision, Site, one_hot, walk_macs
from envs.episodes import Episodes, Outcome

NONE_YET = -1  # stands where a decision has not been made


@dataclass
class EpisodeRecord:
    """One episode of FusionEnv; of one under way, what is known so far.

    :param frames: (T, H, W, 3) uint8
    :param sites: the backbone's sites
    :param classes: K class names
    :param name: of the clip
    :param cost_weight: reward that a densely computed clip costs
    :param decisions: (site, first frame, (F, D) integers) of each step
    :param rewards: of each step
    :param outcome: ``info["clip"]`` of the last step: label, prediction, correct, log_prob, macs_ratio, reward; label,
        correct and log_prob are None of a clip without a label
    :param probabilities: (T, K) of the classes after each frame: softmax of the running mean of logits (of an LSTM's
        own output); the last row is the clip's
    :param frame_costs: (T,) MACs of each frame, the agent's own included, as a share of a dense frame; their mean is
        the clip's cost
    :param chances: (F, D, 3) probabilities of use, reuse and skip at each step; empty where the agent does not tell
    """

    frames: np.ndarray
    sites: tuple[Site, ...]
    classes: tuple[str, ...]
    name: str = ""
    cost_weight: float = 1.0
    decisions: list[tuple[int, int, np.ndarray]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    outcome: dict[str, Any] = field(default_factory=dict)
    probabilities: np.ndarray | None = None
    frame_costs: np.ndarray | None = None
    chances: list[np.ndarray] = field(default_factory=list)

    @property
    def label(self) -> str | None:
        """The true class by name; None of a clip without a label."""
        return None if self.outcome["label"] is None else self.classes[self.outcome["label"]]

    @property
    def prediction(self) -> str:
        """The predicted class by name."""
        return self.classes[self.outcome["prediction"]]

    @property
    def verdict(self) -> float:
        """What the last step's reward holds beside its cost: correctness, or the log-probability of the label."""
        return sum(self.rewards) + self.cost_weight * self.outcome["macs_ratio"]

    def maps(self) -> list[np.ndarray]:
        """Per site, the decisions of all frames, (T, D) integers, NONE_YET where there are none."""
        maps = [np.full((len(self.frames), site.decisions), NONE_YET) for site in self.sites]
        for site, first, chosen in self.decisions:
            maps[site][first : first + len(chosen)] = chosen
        return maps

    def shares(self) -> dict[Decision, float]:
        """How large a part of all decisions was use, reuse and skip."""
        counts = sum(np.bincount(chosen.ravel(), minlength=len(Decision)) for _, _, chosen in self.decisions)
        return {decision: float(counts[decision] / counts.sum()) for decision in Decision}

    def facts(self) -> dict[str, str]:
        """The episode in a few words by name: clip, label, prediction, cost, return, decisions."""
        outcome, final, known = self.outcome, self.probabilities[-1], self.label is not None
        said = {"clip": self.name}
        if known:
            said["label"] = f"{self.label}, probability {final[outcome['label']]:.3f}"
        verdict = (" (right)" if outcome["correct"] else " (wrong)") if known else ""
        said["prediction"] = f"{self.prediction}, probability {final[outcome['prediction']]:.3f}{verdict}"
        said["cost"] = f"{outcome['macs_ratio']:.3f} of the dense CNN's MACs"
        said["return"] = f"{outcome['reward']:.3f} at cost weight {self.cost_weight:g}"
        if not known:
            said["return"] += ", cost alone: the video has no label"
        shares = self.shares().items()
        said["decisions"] = ", ".join(f"{decision.name.lower()} {share:.1%}" for decision, share in shares)
        return said

    def card(self) -> str:
        """The same as a table of Markdown."""
        lines = [f"| {name} | {' '.join(text.split()).replace('|', '/')} |" for name, text in self.facts().items()]
        return "\n".join(["| | |", "|---|---|", *lines])

    def unlabelled(self) -> EpisodeRecord:
        """The same of a clip whose label was made up: without it, and its last reward without the outcome."""
        rewards = [*self.rewards[:-1], self.rewards[-1] - self.verdict]
        nothing = {"label": None, "correct": None, "log_prob": None}
        return replace(self, rewards=rewards, outcome={**self.outcome, **nothing, "reward": sum(rewards)})


def record_outcome(
    episodes: Episodes,
    decisions: Sequence[tuple[int, int, np.ndarray]],
    rewards: Sequence[np.ndarray],
    outcome: Outcome,
) -> list[EpisodeRecord]:
    """The records of N episodes that have just ended.

    :param decisions: (site, first frame, (N, F, D) integers) of each step
    :param rewards: (N,) of each step
    """
    backbone, sites = episodes.backbone, episodes.layout.sites
    causal = backbone.consensus.causal(torch.cat(episodes.frame_logits, 1))
    probabilities = causal.double().softmax(-1).cpu().numpy()
    by_site = [[chosen for at, _, chosen in decisions if at == site.index] for site in sites]
    chosen = [one_hot(torch.as_tensor(np.concatenate(steps, 1), dtype=torch.int64)) for steps in by_site]
    costs = walk_macs(backbone.ledger, chosen, agent_macs=episodes.agent_macs).sum(-1) / backbone.ledger.dense_macs
    return [
        EpisodeRecord(
            frames=episodes.pixels[row // episodes.rollouts_per_clip],
            sites=sites,
            classes=tuple(episodes.clips.classes),
            name=str(episodes.clips.names[facts["clip"]]),
            cost_weight=episodes.cost_weight,
            decisions=[(site, first, chosen[row]) for site, first, chosen in decisions],
            rewards=[float(step[row]) for step in rewards],
            outcome=facts,
            probabilities=probabilities[row],
            frame_costs=costs[row].numpy(),
        )
        for row, facts in enumerate(outcome.per_episode())
    ]


class RecordEpisode(gym.Wrapper):
    """Puts an EpisodeRecord into ``info["episode_record"]`` at the end of each episode of a FusionEnv."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict]:
        observation, info = self.env.reset(**kwargs)
        self.rewards: list[float] = []
        return observation, info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.rewards.append(reward)
        if terminated:
            env = self.unwrapped
            decisions = [(site, first, chosen[None]) for site, first, chosen in env.decisions]
            rewards = [np.array([reward]) for reward in self.rewards]
            info["episode_record"] = record_outcome(env.episodes, decisions, rewards, env.outcome)[0]
        return observation, reward, terminated, truncated, info
