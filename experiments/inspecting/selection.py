"""Which clips of a split, or which videos of a user's own, are played for an inspection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.callbacks.episode_log import FAILURES, FIXED_CLIPS, extremes, failures, fixed_clips
from agent.evaluation import Evaluation
from backbone.common.naming import did_you_mean
from envs.clips import ArrayClips
from experiments.config import Data, Inspect
from experiments.videos.prediction import read_frames

DEFAULT_COUNT = 4


class Choice(NamedTuple):
    """A clip to play.

    :param kind: why it was chosen: clip, failure, cheapest, dearest, label or video
    :param name: a name of its own, such as failure_0
    :param clip: its index in the split
    """

    kind: str
    name: str
    clip: int


def asks_for_clips(config: Inspect) -> bool:
    """Are clips of the split to be played? Not where only a user's own videos are."""
    return bool(config.label or config.failures or config.cheapest or config.dearest) or not config.paths


def choose(config: Inspect, result: Evaluation, classes: Sequence[str]) -> list[Choice]:
    """The clips asked for; by default those of TensorBoard's rule, see ``agent/callbacks/episode_log.py``.

    :raises ValueError: no such class, no clip of it, or no failure
    """
    if not asks_for_clips(config):
        return []
    count = config.count or DEFAULT_COUNT
    if not (config.label or config.failures or config.cheapest or config.dearest):
        found = fixed_clips(result.label, config.count or FIXED_CLIPS)
        found |= failures(result, config.count or FAILURES)
        found |= extremes(result) if not config.count else {**_cheapest(result, count), **_dearest(result, count)}
        return [Choice(name.split("_")[0], name, clip) for name, clip in found.items()]
    chosen = [
        Choice("label", f"label_{name}_{number}", int(clip))
        for name in config.label
        for number, clip in enumerate(clips_of(name, result, classes, config.split)[:count])
    ]
    if config.failures:
        if result.correct.all():
            raise ValueError(
                f"expected clips of {config.split} that are classified wrongly, found none among {len(result.correct)}: "
                "leave out --failures, or look at another --split"
            )
        chosen += [Choice("failure", name, clip) for name, clip in failures(result, count).items()]
    for wanted, kind, pick in ((config.cheapest, "cheapest", _cheapest), (config.dearest, "dearest", _dearest)):
        chosen += [Choice(kind, name, clip) for name, clip in pick(result, count).items()] if wanted else []
    return chosen


def clips_of(name: str, result: Evaluation, classes: Sequence[str], split: str) -> np.ndarray:
    """Indices of the clips of a class by its name.

    :raises ValueError: no such class, or no clip of it
    """
    if name not in classes:
        guess = did_you_mean(name, classes) or f": the classes are {', '.join(classes[:20])}"
        raise ValueError(f"expected one of the {len(classes)} classes for --label, got {name!r}{guess}")
    found = np.flatnonzero(result.label == list(classes).index(name))
    if not len(found):
        raise ValueError(f"expected clips of {name!r} in {split}, found none: look at another --split")
    return found


def _cheapest(result: Evaluation, count: int) -> dict[str, int]:
    return _numbered("cheapest", np.argsort(result.macs_ratio, kind="stable")[:count])


def _dearest(result: Evaluation, count: int) -> dict[str, int]:
    return _numbered("dearest", np.argsort(-result.macs_ratio, kind="stable")[:count])


def _numbered(name: str, clips: np.ndarray) -> dict[str, int]:
    return {f"{name}_{number}": int(clip) for number, clip in enumerate(clips)}


def own_videos(paths: Sequence[Path], data: Data, classes: Sequence[str]) -> ArrayClips:
    """A user's videos as clips, cut as the run cuts its own for evaluation; their labels, all 0, mean nothing.

    :raises ClipError: one that cannot be read
    :raises ValueError: none there
    """
    for path in paths:
        if not path.is_file():
            raise ValueError(f"expected a video at {path} for --paths, found no file: check the path")
    frames = np.stack([read_frames(path, data, size=data.size + data.margin) for path in paths])
    names = [path.name for path in paths]
    return ArrayClips(frames, np.zeros(len(paths), int), classes, size=data.size, names=names)
