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
from envs.rendering.ansi import describe_step
from envs.rendering.episodes import draw_episode

DEFAULT_CLIPS = 64
NO_WINDOW = (
    ": it opens no window; take rgb_array and show or record what render() returns (gymnasium.wrappers.HumanRendering, "
    "RecordVideo), or look at a run's episodes with `python -m experiments inspect` or in TensorBoard"
)


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
    """
    ## Description
    Adaptive temporal fusion of a 2D-CNN ([AdaFuse, ICLR 2021](https://arxiv.org/abs/2102.05775)) as a decision process.

    A 2D-CNN runs over the T frames of a video clip. At chosen convolutions, the S sites, an agent decides for every
    channel (or group of channels) whether to **use** the new output y_t, **reuse** the previous frame's y_{t-1}, or
    **skip** it (zero). Use costs computation; reuse mixes time into the features for free; skip saves the next
    convolution's work too. One clip is one episode: the agent is asked at every site, and the clip is classified at
    the end. The goal is the right class for little computation.

    ## Action Space
    The action is an integer `ndarray` of shape `(F * D,)` in `MultiDiscrete([3] * F * D)`, frames outer:

    - 0: use
    - 1: reuse
    - 2: skip

    F is the number of frames in one step: 1 with `order="frame"`, T with `order="site"`. D is the number of decisions
    of the widest site. The columns beyond a narrower site's own decisions are padding: every action is accepted there
    and does nothing. `info["action_mask"]` and `action_masks()`, `(F * D * 3,)` bool, allow only 0 in the padding.

    ## Observation Space
    The observation is a float32 `ndarray` of shape `(F * (2 V + D + S + 4),)`: for each of the step's F frames, with V
    the input channels of the widest site,

    | Columns | Observation | Min | Max |
    |---|---|---|---|
    | V | v_t: the convolution's input at frame t, averaged over positions; zeros beyond a narrower site's channels | 0 behind a ReLU | unbounded |
    | V | v_{t-1}: the same of the previous frame; zeros at t = 0 | 0 behind a ReLU | unbounded |
    | D | 1 where the previous output stands ready, so that reusing it costs nothing; of the step's first frame, zeros in the others | 0 | 1 |
    | S | the site, one-hot | 0 | 1 |
    | 1 | t / T, frames counted from 0 | 0 | 1 - 1 / T |
    | 1 | MACs spent before this step, as a share of the clip's dense MACs | 0 | 1, more only by `agent_macs` |
    | 1 | channels of the site that this convolution reads which are not skipped at t; 0 where it reads none | 0 | that site's channels |
    | 1 | the same at t - 1; 0 at t = 0 | 0 | that site's channels |

    The `Box` itself is bounded by the float32 numbers, as a CNN's features have no limit of their own; an observation
    is always finite.

    ## Rewards
    Each step costs `cost_weight` times its MACs as a share of the clip's dense MACs: computing every channel of a clip
    costs `cost_weight` in all, plus `agent_macs`. The last step adds 1 if the predicted class is right and 0 if not
    (`reward="correctness"`), or the log-probability of the true class (`reward="log_prob"`).

    ## Starting State
    The first site of a clip's first frame (of all its frames with `order="site"`). With `train=True` clips come
    shuffled, each once before any comes again, cut out of the video at random; with `train=False` in their own order
    from the centre. `reset(seed=...)` starts the order anew. `reset(options={"clip": i})` plays the i-th clip of the
    source and leaves the order as it was.

    ## Episode End
    Termination: after T * S steps with `order="frame"`, S steps with `order="site"`. Never truncation. The last step
    returns zeros, as there is nothing more to decide, and `info["clip"]`: a dict with `clip` (its index), `label`,
    `prediction`, `correct`, `log_prob`, `macs_ratio` and `reward` (the sum of the episode's rewards).

    ## Arguments
    ```python
    >>> import gymnasium, envs
    >>> gymnasium.make("AdaFuse/Fusion-v0", order="site", cost_weight=0.5)
    <OrderEnforcing<PassiveEnvChecker<FusionEnv<AdaFuse/Fusion-v0>>>>

    ```

    | Parameter | Type | Default | Description |
    |---|---|---|---|
    | `backbone` | **FusionBackbone** | `None` | kept in eval mode, its weights are not touched; `None` takes the small ResNet, untrained unless `weights` names a file |
    | `clips` | **ClipSource** | `None` | of the backbone's size and classes; `None` takes a few embedded clips, in memory |
    | `weights` | **str** or **Path** | `None` | a file that `experiments pretrain` wrote; not beside a `backbone` |
    | `order` | **str** | `"frame"` | `"frame"`: a step is one site at one frame, as a stream arrives; `"site"`: one site for all frames, as a two-way shift needs it |
    | `reward` | **str** | `"correctness"` | what the last step adds: `"correctness"` or `"log_prob"` |
    | `cost_weight` | **float** | `1.0` | reward that a densely computed clip costs |
    | `agent_macs` | **list[float]** | `None` | per site, MACs per frame of the agent's own gate, charged with the site's step; `None` charges nothing |
    | `train` | **bool** | `True` | shuffled clips and random cuts; `False` plays the clips in their order, centred |
    | `render_mode` | **str** | `None` | `"rgb_array"`: the frames above the decisions so far; `"ansi"`: the last step's decisions as text |

    Clips and backbone that do not fit each other, and unknown names, raise `ValueError`. For `"human"`,
    `gymnasium.make` shows the `"rgb_array"` in a window (its own `HumanRendering`, which needs pygame).

    ## Vectorized environment
    ```python
    >>> gymnasium.make_vec("AdaFuse/Fusion-v0", num_envs=32)
    FusionVectorEnv(AdaFuse/Fusion-v0, num_envs=32)

    ```
    runs the CNN once for all episodes: see `FusionVectorEnv`, and `FusionVecEnv` for Stable-Baselines3.

    ## Version History
    * v0: initial version (0.1.0)
        - 0.2.0: `render_mode="ansi"`; `autoreset_mode` of the vectorized environment
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # noqa: RUF012 (gymnasium's own convention)

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
            hint = NO_WINDOW if render_mode == "human" else ""
            raise ValueError(f"expected render_mode None, rgb_array or ansi, got {render_mode!r}{hint}")
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
        self._steps = 0
        return observation[0], self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        observation, reward, outcome = self.episodes.step(np.asarray(action)[None])
        self._steps += 1
        info = self._info()
        if outcome is not None:
            self.outcome = outcome
            info["clip"] = outcome.per_episode()[0]
        return observation[0], float(reward[0]), outcome is not None, False, info

    def action_masks(self) -> np.ndarray:
        """(F * D * 3,) bool: which actions the current site allows, as sb3-contrib asks for them."""
        return self.episodes.action_masks(1)[0]

    def render(self) -> np.ndarray | str | None:
        """The episode so far: "rgb_array" gives (H, W, 3) uint8, "ansi" the last step in words, None nothing.

        :raises RuntimeError: before the first reset
        """
        if self.render_mode is None:
            return None
        if self._sampler is None:
            raise RuntimeError("expected an episode under way, there is none: call reset() before render()")
        episodes = self.episodes
        record = EpisodeRecord(
            episodes.pixels[0],
            tuple(episodes.clips.classes),
            episodes.decisions,
            name=str(episodes.clips.names[episodes.indices[0]]),
        )
        if self.render_mode == "rgb_array":
            return draw_episode(record)
        if self._steps == self.layout.num_steps:
            record.outcome = self.outcome.per_episode()[0]
        macs_ratio = float(episodes.spent[0]) / episodes.clip_dense_macs
        return describe_step(record, steps=self._steps, step_frames=self.layout.step_frames, macs_ratio=macs_ratio)

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self.action_masks()}
