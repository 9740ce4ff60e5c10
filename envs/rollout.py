"""The loop that plays episodes to their end, whoever decides: evaluation, recording, prediction and probes go through it.

Training is the one exception: it fills a buffer, asks callbacks, and leaves everything on the device until the rollouts are
whole (``agent/algorithms/rollouts.py``). Both advance the same ``Episodes``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from backbone.common.progress import Bar
from envs.decisions import Decisions
from envs.episodes import Episodes, Outcome

PIXELS_AT_ONCE = 64 * 8 * 64**2  # of a batch: a ResNet-50 at 224 pixels then needs 2 GiB, not 10

Decide = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(observations (B * K, O), indices of their clips (B,)) -> actions (B * K, F * D)."""


@dataclass
class Rollout:
    """N = B * K episodes that have ended, K of each clip, one after the other.

    :param outcome: how they ended
    :param decisions: what was decided
    :param logits: (N, classes) of the clips
    :param rewards: of each step, (steps, N)
    :param frame_logits: where it was asked for, class scores after each frame, as far as they are known then:
        (N, T, classes); the last frame's are the clip's
    :param frames: and what was played, (N, T, H, W, 3) uint8
    """

    outcome: Outcome
    decisions: Decisions
    logits: np.ndarray
    rewards: np.ndarray
    frame_logits: np.ndarray | None = None
    frames: np.ndarray | None = None

    @classmethod
    def of(cls, episodes: Episodes, rewards: Sequence[np.ndarray], outcome: Outcome, *, detailed: bool) -> Rollout:
        """Of episodes that have just ended.

        :param rewards: (N,) of each step
        :param detailed: keep frames and the class scores after each
        """
        found = cls(outcome, episodes.decisions, episodes.logits.cpu().numpy(), np.stack(rewards))
        if detailed:
            causal = episodes.backbone.consensus.causal(torch.cat(episodes.frame_logits, 1))
            found.frame_logits = causal.cpu().numpy()
            found.frames = np.repeat(episodes.pixels, episodes.rollouts_per_clip, 0)
        return found

    @classmethod
    def concatenate(cls, parts: Sequence[Rollout]) -> Rollout:
        """Several batches, one after the other."""

        def join(arrays: Iterable[np.ndarray | None]) -> np.ndarray | None:
            kept = [array for array in arrays if array is not None]
            return np.concatenate(kept) if kept else None

        return cls(
            Outcome.concatenate([part.outcome for part in parts]),
            Decisions.concatenate([part.decisions for part in parts]),
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.rewards for part in parts], 1),
            join(part.frame_logits for part in parts),
            join(part.frames for part in parts),
        )


def rollout(
    episodes: Episodes,
    decide: Decide,
    clips: Sequence[int] | np.ndarray | None = None,
    *,
    batch_size: int | None = None,
    detailed: bool = False,
    progress: str | None = None,
) -> Rollout:
    """Play clips, centred in time and space, each to its end.

    :param clips: indices; by default all, in their order
    :param batch_size: clips played side by side; by default 64, fewer where they are large
    :param detailed: keep frames and the class scores after each
    :param progress: title of a progress bar
    :raises ValueError: no clips, or what ``Episodes`` refuses
    """
    source = episodes.clips
    indices = np.arange(len(source)) if clips is None else np.asarray(clips, np.int64)
    if not len(indices):
        raise ValueError("expected at least one clip to play, got none")
    batch_size = batch_size or clips_at_once(episodes)
    parts = []
    with Bar(total=len(indices), desc=progress, unit="clip", disable=None if progress else True, leave=False) as bar:
        for start in range(0, len(indices), batch_size):
            batch = indices[start : start + batch_size]
            parts.append(_play(episodes, decide, batch, detailed))
            bar.update(len(batch))
    return Rollout.concatenate(parts)


def clips_at_once(episodes: Episodes) -> int:
    """Clips that are played side by side where nothing else is said."""
    source = episodes.clips
    return min(64, max(1, PIXELS_AT_ONCE // (episodes.rollouts_per_clip * source.num_frames * source.size**2)))


def _play(episodes: Episodes, decide: Decide, clips: np.ndarray, detailed: bool) -> Rollout:
    observation = episodes.start(clips)
    rewards: list[np.ndarray] = []
    outcome: Outcome | None = None
    while outcome is None:
        observation, reward, outcome = episodes.step(decide(observation, clips))
        rewards.append(reward)
    return Rollout.of(episodes, rewards, outcome, detailed=detailed)
