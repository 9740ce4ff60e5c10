"""One clip is one episode: the single environment of Gymnasium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from backbone import FusionBackbone, create_cnn, load_backbone
from envs.clips import ClipSource, motions
from envs.clips.sampler import ClipSampler
from envs.episode import EpisodeRecord
from envs.episodes import Episodes
from envs.rendering.episodes import draw_episode

DEFAULT_CLIPS = 64


def default_backbone(weights: str | Path | None, clips: ClipSource) -> FusionBackbone:
    """The small ResNet: from a file that ``experiments pretrain`` wrote, or untrained with weights of seed 0."""
    if weights is not None:
        return load_backbone(weights)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FusionBackbone(create_cnn("resnet_small", num_classes=len(clips.classes), size=clips.size)).eval()


def make_episodes(
    backbone: FusionBackbone | None, clips: ClipSource | None, weights: str | Path | None, **kwargs: Any
) -> Episodes:
    """Episodes with the defaults of ``gymnasium.make("AdaFuse/Fusion-v0")`` filled in."""
    if backbone is not None and weights is not None:
        raise ValueError("expected a backbone or weights to build one from, got both: leave one out")
    clips = clips if clips is not None else motions.sample(DEFAULT_CLIPS, seed=0)
    backbone = backbone if backbone is not None else default_backbone(weights, clips)
    return Episodes(backbone, clips, **kwargs)


class FusionEnv(gym.Env):
    """Adaptive temporal fusion of a 2D-CNN (AdaFuse, ICLR 2021) as a decision process.

    ## Description
    A 2D-CNN runs over the T frames of a video clip. At chosen convolutions, the S sites, an agent decides for every
    channel whether to **use** the new output, **reuse** the previous frame's, or **skip** it (zero). Use costs
    computation; reuse mixes time into the features for free; skip saves the next convolution's work too.

    ## Action Space
    `MultiDiscrete([3] * F * D)`: 0 = use, 1 = reuse, 2 = skip. D is the number of decisions of the widest site, F the
    frames in one step: 1 with `order="frame"`, T with `order="site"`. Columns beyond a site's own decisions are
    padding and do nothing; `info["action_mask"]` and `action_masks()` (F * D * 3 bools) allow only 0 there.

    ## Observation Space
    `Box(float32)` of F times these columns; all finite:

    | columns | content | bounds in practice |
    |---|---|---|
    | V | v_t: the convolution's input at frame t, averaged over positions; padded with zeros | >= 0 behind a ReLU |
    | V | v_{t-1}: the same of the previous frame; zero at t = 0 | >= 0 behind a ReLU |
    | D | does the previous output stand ready, so that reusing it costs nothing? (first frame of the step) | 0, 1 |
    | S | the site, one-hot | 0, 1 |
    | 1 | t / T | [0, 1) |
    | 1 | MACs spent so far, as a share of the clip's dense MACs | [0, 1], above 1 only by the agent's own |
    | 2 | live channels of the site that this convolution reads, at t and t-1; 0 where it reads none | [0, C] |

    ## Rewards
    Each step: minus `cost_weight` times the step's MACs as a share of the clip's dense MACs. The last step adds 1 if
    the class is right (`reward="correctness"`), or the log-probability of the true class (`reward="log_prob"`).

    ## Starting State
    A clip drawn from `clips`, each once before any comes again; `options={"clip": i}` names one.

    ## Episode End
    Terminates after T * S steps (`order="frame"`) or S steps (`order="site"`); never truncates. Then
    `info["clip"]` holds label, prediction, correct, log_prob, macs_ratio and reward.

    ## Arguments
    :param backbone: a FusionBackbone; None takes the small ResNet, untrained unless `weights` names a file
    :param clips: a ClipSource; None takes a small in-memory sample of the embedded clips
    :param weights: file written by `experiments pretrain`
    :param order: "frame" (causal, as a stream arrives) or "site"
    :param reward: "correctness" or "log_prob"
    :param cost_weight: reward that a densely computed clip costs
    :param agent_macs: per site, MACs per frame of the agent's own gate
    :param train: True draws shuffled clips and random segments, False plays the clips in their order, centred
    :param render_mode: "rgb_array" draws the frames above their decision map
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (gymnasium's own convention)

    def __init__(
        self,
        backbone: FusionBackbone | None = None,
        clips: ClipSource | None = None,
        *,
        weights: str | Path | None = None,
        order: str = "frame",
        reward: str = "correctness",
        cost_weight: float = 1.0,
        agent_macs: list[float] | None = None,
        train: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"expected render_mode None or rgb_array, got {render_mode!r}")
        self.episodes = make_episodes(
            backbone, clips, weights, order=order, reward=reward, cost_weight=cost_weight, agent_macs=agent_macs
        )
        self.layout = self.episodes.layout
        self.observation_space = self.layout.observation_space
        self.action_space = self.layout.action_space
        self.train = train
        self.render_mode = render_mode
        self._sampler: ClipSampler | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        if seed is not None or self._sampler is None:
            drawn = int(self.np_random.integers(2**31))
            self._sampler = ClipSampler(len(self.episodes.clips), seed=drawn, shuffle=self.train)
        clip = (options or {}).get("clip")
        if clip is None:
            indices, rng = self._sampler.take(1)
        elif type(clip) is not bool and isinstance(clip, int | np.integer) and 0 <= clip < len(self.episodes.clips):
            indices, rng = np.array([clip]), self.np_random
        else:
            raise ValueError(f"expected options['clip'] from 0 to {len(self.episodes.clips) - 1}, got {clip!r}")
        observation = self.episodes.start(indices, rng if self.train else None)
        return observation[0], self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        observation, reward, outcome = self.episodes.step(np.asarray(action)[None])
        info = self._info()
        if outcome is not None:
            self.outcome = outcome
            info["clip"] = outcome.per_episode()[0]
            observation = np.zeros((1, *self.observation_space.shape), np.float32)
        return observation[0], float(reward[0]), outcome is not None, False, info

    def action_masks(self) -> np.ndarray:
        """(F * D * 3,) bool: which actions the current site allows, as sb3-contrib asks for them."""
        return self.episodes.action_masks(1)[0]

    def render(self) -> np.ndarray | None:
        """The frames above the decision map so far, (H, W, 3) uint8; None without render_mode="rgb_array"."""
        if self.render_mode is None:
            return None
        if self._sampler is None:
            raise RuntimeError("expected an episode under way, there is none: call reset() before render()")
        episodes = self.episodes
        return draw_episode(EpisodeRecord(episodes.pixels[0], tuple(episodes.clips.classes), episodes.decisions))

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self.action_masks()}
