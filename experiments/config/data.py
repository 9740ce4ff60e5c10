"""Options about videos: which, and how clips are cut from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from experiments.config.ranges import Cores, Frames, Pixels, Weight, Within
from experiments.config.shared import Plugins, Sources, shared_last

EMBEDDED: dict[Path, dict[str, int]] = {
    Path("data/eight-motions"): {},
    Path("data/eight-motions-quick"): {"train": 4_000, "val": 200, "test": 200},  # the first clips of the others
}
"""Folders of the embedded data, generated where they are missing: clips in each split, where they are not the usual."""

DEFAULT_ROOT, QUICK_ROOT = EMBEDDED


@shared_last
@dataclass(frozen=True)
class Data(Sources):
    """Which videos, and how clips are cut from them."""

    root: Path = DEFAULT_ROOT
    """Folder of videos with train.txt, val.txt, test.txt (lines "path label"), or with one folder per class. The
    embedded data set is generated where the default is missing."""
    num_frames: Frames = 8
    """Frames T in a clip: one from each of T equal segments of the video."""
    size: Pixels = 32
    """Frames are scaled and cropped to size x size pixels."""
    margin: Annotated[int, Within(0, 8192)] = 0
    """Extra pixels kept around the crop, in which training crops at random."""
    skip_broken: bool = False
    """Evaluate without the videos that cannot be read (training always goes on without them, and says so)."""
    cache: Path | None = None
    """Folder for decoded clips; by default beside the videos."""
    cache_gb: Weight = 8.0
    """What decoded clips may take there, in GB, all sets of them together; 0 keeps none. What does not fit is read
    from the videos each time."""
    workers: Cores = 0
    """Processes that read clips ahead while the CNN computes; 0 reads them when they are needed."""
    crop: Literal["random", "multi_scale"] = "random"
    """How training crops: size x size pixels of what the margin leaves, or TSN's multi-scale crop."""
    sampling: Literal["segments", "dense"] = "segments"
    """T frames from T equal segments of the video, or from a window of 64 consecutive frames (not cached)."""
    short: Literal["error", "repeat"] = "error"
    """What to do with a video of fewer than T frames: call it broken, or repeat frames (not cached)."""
    pixels: Literal["square", "stored"] = "square"
    """Stretch pictures whose pixels are not square, as the file says (sample aspect ratio), or take them as they are
    stored."""
    flip: Literal["off", "swap", "skip"] = "off"
    """Mirror every second clip in training: swap exchanges the labels of classes like left and right, skip leaves the
    clips of such classes alone."""


@dataclass(frozen=True, kw_only=True)
class Videos(Plugins):
    """Trains or judges on videos."""

    data: Data = field(default_factory=Data)
