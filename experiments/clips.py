"""The clips that a configuration names: whoever opens data takes the whole of ``Data``, its layout and its cache too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envs.clips import ClipError, ClipSource, VideoClips, VideoFiles, VideoViews, motions
from envs.clips.cache import CacheTooLarge
from envs.clips.datasets import Division, find_clips
from envs.clips.flips import flip_targets
from experiments.config import EMBEDDED, Data
from experiments.config.shared import Sources


def open_clips(data: Data, split: str, *, for_evaluation: bool | None = None) -> ClipSource:
    """The clips of a split; generates the embedded data set if one of its folders is missing.

    :param for_evaluation: refuse broken videos unless the configuration says to skip them; by default for the test
        split alone. Otherwise they are left out, and named in a line.
    """
    _generate(data)
    strict = split == "test" if for_evaluation is None else for_evaluation
    clips = _open_cached(data, split) or _open_files(data, split)
    if split == "train" and data.flip != "off":
        clips.flips = flip_targets(clips.classes, data.flip)
    if clips.note:
        print(clips.note)
    if clips.skipped:
        total = len(clips) + len(clips.skipped)
        broken = f"{len(clips.skipped)} of {total} videos of {split} cannot be used, the first: {clips.skipped[0]}"
        if strict and not data.skip_broken:
            raise ClipError(
                f"expected whole videos to evaluate on, {broken}; mend them or add --data.skip-broken (evaluate: --skip-broken)"
            )
        print(f"Left out: {broken}")
    return clips


def classes_of(data: Data) -> list[str]:
    """Names of the classes, in the order of their labels; needs no videos to train on."""
    _generate(data)
    return list(find_clips(data.root, "test", data.layout, division=division_of(data)).classes)


def expect_classes(wanted: Sequence[str], clips: ClipSource, *, of: str, split: str) -> None:
    """What was learned of some classes says nothing of others, nor of the same in another order.

    :param of: who has the wanted ones, for the message
    :raises ClipError: the clips of a split have others
    """
    if list(wanted) == list(clips.classes):
        return
    odd = sorted(set(wanted) ^ set(clips.classes))
    at_odds = f"at odds in {', '.join(map(repr, odd[:3]))}" if odd else "in another order"
    raise ClipError(
        f"expected the {len(wanted)} classes of {of} in {split} as well, got {len(clips.classes)}, {at_odds}; name the same "
        "classes in every split"
    )


def division_of(options: Sources) -> Division:
    """How class folders are to be divided.

    :raises ClipError: when there is no such fold
    """
    return Division(options.group_pattern, options.folds, options.fold)


def _generate(data: Data) -> None:
    if data.root in EMBEDDED:
        motions.ensure(data.root, **EMBEDDED[data.root])


def _open_cached(data: Data, split: str) -> VideoClips | None:
    """None where there is to be no cache, or no room for it."""
    if not data.cache_gb or data.sampling != "segments" or data.short != "error":
        return None
    cache: dict[str, Any] = {"cache_dir": data.cache, "cache_gb": data.cache_gb}
    try:
        return VideoClips(data.root, split, **_sampling(data), **cache, workers=max(data.workers, 1))
    except CacheTooLarge as error:
        print(f"No cache of {split}, its videos are read each time: {error}")
        return None


def _open_files(data: Data, split: str) -> VideoFiles:
    check = split != "train" and data.skip_broken  # what is left out must be known before anything is judged
    return VideoFiles(data.root, split, **_file_sampling(data), check=check, workers=max(data.workers, 1))


def open_views(data: Data, split: str, *, clips: int, crops: int) -> VideoViews:
    """The videos of a split, each as clips * crops views, to be judged by the mean of their scores."""
    check = {"check": data.skip_broken, "workers": max(data.workers, 1)}
    return VideoViews(data.root, split, clips=clips, crops=crops, **_file_sampling(data), **check)


def _file_sampling(data: Data) -> dict[str, Any]:
    return {**_sampling(data), "sampling": data.sampling, "short": data.short}


def _sampling(data: Data) -> dict[str, Any]:
    names = ("num_frames", "size", "margin", "layout", "crop", "pixels")
    return {**{name: getattr(data, name) for name in names}, "division": division_of(data)}
