"""Footage: the videos that windows are cut from, and which of them come from the same source.

A source is what several videos were cut from: a film, an upload, a camera. It stands whole on one side of train, val and
test. A file `groups.csv` says which videos share one; a video that it leaves out is a source of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbone.common.naming import paths_nearby
from envs.clips.datasets.groups import GROUPS, read_groups, without_suffix
from envs.clips.datasets.places import find_videos
from envs.clips.datasets.registry import SPLITS
from envs.clips.source import ClipError
from envs.clips.video.read import open_video

STRIDE = 2  # every other frame, so that what moves in a video moves between frames
SHARES = {"val": 0.10, "test": 0.25}  # of the sources; the others are for training


@dataclass(frozen=True)
class Footage:
    """The videos of a folder.

    :param sources: path of each video, relative to the root and sorted -> the name of its source
    :param unknown: paths among the groups that are none of the videos
    """

    root: Path
    sources: dict[str, str]
    unknown: int = 0

    @property
    def fingerprint(self) -> str:
        """sha256 in hex of paths, sizes in bytes and sources: the same wherever the folder lies."""
        facts = [(path, _bytes(self.root / path), source) for path, source in self.sources.items()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def find_footage(root: str | Path, groups: Path | None = None) -> Footage:
    """The videos of a folder and of those within.

    :param groups: a file of lines `path,group`, whose paths are relative to the folder; None takes `groups.csv` in it, if
        there is one
    :raises ClipError: when there is no video, or the groups cannot be used
    """
    root = Path(root)
    if not root.is_dir():
        came = "it is a file" if root.exists() else "there is nothing"
        raise ClipError(f"{root}: expected a folder of footage, but {came}; correct the path{paths_nearby(root)}")
    paths = [path.relative_to(root).as_posix() for path in find_videos(root)]
    if groups is None and (root / GROUPS).is_file():
        groups = root / GROUPS
    if groups is None:
        return Footage(root, {path: path for path in paths})
    named = read_groups(groups)
    keys = {path: path if path in named else without_suffix(path) for path in paths}
    unknown = named.keys() - set(keys.values())
    if len(unknown) == len(named):
        raise ClipError(
            f"{groups}: expected paths of videos relative to {root}, but none of {len(named)} is there, the first "
            f"being {next(iter(named))}; correct the paths"
        )
    return Footage(root, {path: named.get(key, path) for path, key in keys.items()}, unknown=len(unknown))


def split_sources(sources: Collection[str], seed: int) -> dict[str, str]:
    """Source -> "train", "val" or "test": each has one at least, val and test their `SHARES`, as the seed deals them out.

    :raises ClipError: for fewer sources than splits
    """
    names = sorted(set(sources))
    if len(names) < len(SPLITS):
        raise ClipError(
            f"expected footage of at least {len(SPLITS)} sources, one for each of {', '.join(SPLITS)}, got "
            f"{len(names)}; add videos of other sources"
        )
    order = np.random.default_rng([seed, len(SPLITS)]).permutation(len(names))
    split_of, first = {}, 0
    for split, share in SHARES.items():
        held_out = max(1, round(share * len(names)))
        split_of.update({names[i]: split for i in order[first : first + held_out]})
        first += held_out
    return {name: split_of.get(name, "train") for name in names}


class Reel:
    """A video as footage: every other frame, its shorter side scaled down to `side` pixels.

    :raises ClipError: when it is no video
    """

    def __init__(self, path: Path, side: int) -> None:
        self.path, self.side = path, side
        self.video = open_video(path)

    def __len__(self) -> int:
        return len(range(0, self.video.num_frames, STRIDE))

    def check(self, fewest: int) -> None:
        """:raises ClipError: when it has fewer frames than `fewest`, or would have to be enlarged"""
        self.check_length(fewest)
        height, width = self.video.frames([0]).shape[1:3]
        if min(height, width) < self.side:
            raise ClipError(
                f"{self.path}: expected footage of at least {self.side} pixels on its shorter side, as it is not "
                f"enlarged, got {width} x {height}; take a smaller window or take the video away"
            )

    def check_length(self, fewest: int) -> None:
        """:raises ClipError: when it has fewer frames than `fewest`"""
        if len(self) < fewest:
            raise ClipError(
                f"{self.path}: expected at least {STRIDE * (fewest - 1) + 1} frames, as every other one is taken, got "
                f"{self.video.num_frames}; take fewer frames a clip or take the video away"
            )

    def frames(self, numbers: np.ndarray) -> np.ndarray:
        """(I,) numbers below `len` -> (I, H, W, 3) uint8. :raises ClipError: when they do not decode"""
        return self.video.frames(STRIDE * numbers, size=self.side)


def check_enough(videos: int, broken: Mapping[str, str]) -> None:
    """Footage without a few of its videos is footage still, but not without most of them.

    :param broken: path -> why it cannot be used
    :raises ClipError: when they are more than half
    """
    if 2 * len(broken) > videos:
        raise ClipError(
            f"expected footage most of which can be used, but {len(broken)} of {videos} videos cannot, the first: "
            f"{next(iter(broken.values()))}"
        )


def _bytes(path: Path) -> int:
    """-1 where there is nothing but a name."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
