"""Videos as arrays: where clips come from, how they are decoded, and the embedded "eight motions" data."""

from envs.clips.cache import VideoClips
from envs.clips.files import VideoFiles, VideoViews
from envs.clips.generated import motions
from envs.clips.source import ArrayClips, ClipError, ClipSource

__all__ = ["ArrayClips", "ClipError", "ClipSource", "VideoClips", "VideoFiles", "VideoViews", "motions"]
