"""What happened in one episode, kept whole by a wrapper so that it can be drawn, logged and read later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from backbone import Decision, Site
from envs.render import draw_episode


@dataclass
class EpisodeRecord:
    """One episode of FusionEnv.

    :param frames: (T, H, W, 3) uint8
    :param sites: the backbone's sites
    :param classes: class names
    :param decisions: (site, first frame, (F, D) integers) of each step
    :param rewards: of each step
    :param outcome: ``info["clip"]`` of the last step: label, prediction, correct, log_prob, macs_ratio, reward
    """

    frames: np.ndarray
    sites: tuple[Site, ...]
    classes: tuple[str, ...]
    decisions: list[tuple[int, int, np.ndarray]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    outcome: dict[str, Any] = field(default_factory=dict)

    def shares(self) -> dict[Decision, float]:
        """How large a part of all decisions was use, reuse and skip."""
        every = np.concatenate([chosen.ravel() for _, _, chosen in self.decisions])
        return {decision: float((every == decision).mean()) for decision in Decision}

    def draw(self) -> np.ndarray:
        """The frames above the decision map under a line of result, uint8 (H, W, 3)."""
        names, outcome = self.classes, self.outcome
        caption = (
            f"label {names[outcome['label']]}, predicted {names[outcome['prediction']]} "
            f"(log p of label {outcome['log_prob']:.2f}), cost {outcome['macs_ratio']:.2f} of dense"
        )
        return draw_episode(self.frames, self.sites, self.decisions, caption)


class RecordEpisode(gym.Wrapper):
    """Puts an EpisodeRecord into ``info["episode_record"]`` at the end of each episode of a FusionEnv."""

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict]:
        observation, info = self.env.reset(**kwargs)
        episodes = self.unwrapped.episodes
        self.record = EpisodeRecord(episodes.pixels[0], episodes.layout.sites, tuple(episodes.clips.classes))
        return observation, info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.record.rewards.append(reward)
        if terminated:
            self.record.decisions = self.unwrapped.decisions
            self.record.outcome = info["clip"]
            info["episode_record"] = self.record
        return observation, reward, terminated, truncated, info
