"""The CNN as an environment: ``gymnasium.make("AdaFuse/Fusion-v0")`` after ``import envs``."""

from typing import TYPE_CHECKING

import gymnasium

from backbone.common.lazy import lazy_names

if TYPE_CHECKING:
    from envs.clips import ArrayClips, ClipError, ClipSource, VideoClips
    from envs.episode import EpisodeRecord, RecordEpisode
    from envs.episodes import Episodes, Outcome
    from envs.fusion_env import FusionEnv
    from envs.fusion_vector_env import FusionVectorEnv
    from envs.rendering.episodes import animate_episode, draw_episode
    from envs.sb3_vec_env import FusionVecEnv
    from envs.spaces import StepLayout

__getattr__, __dir__ = lazy_names(__name__, moved={"Layout": "envs.spaces.StepLayout"})

ENV_ID = "AdaFuse/Fusion-v0"

if ENV_ID not in gymnasium.registry:
    gymnasium.register(
        ENV_ID,
        entry_point="envs.fusion_env:FusionEnv",
        vector_entry_point="envs.fusion_vector_env:FusionVectorEnv",
    )

__all__ = [
    "ENV_ID",
    "ArrayClips",
    "ClipError",
    "ClipSource",
    "EpisodeRecord",
    "Episodes",
    "FusionEnv",
    "FusionVecEnv",
    "FusionVectorEnv",
    "Outcome",
    "RecordEpisode",
    "StepLayout",
    "VideoClips",
    "animate_episode",
    "draw_episode",
]
