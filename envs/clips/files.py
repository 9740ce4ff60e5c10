"""The clips of a folder of videos, read from the files whenever they are asked for."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from backbone.common.progress import Bar
from envs.clips.datasets import Division, Listing, find_clips
from envs.clips.sampling import Sampling, Short, crop, dense_indices, evaluation_indices, fewest_frames, segment_indices
from envs.clips.source import BrokenClip, ClipError, ClipSource, select_reversals
from envs.clips.transforms import crop_and_resize, cut, evaluation_boxes, multi_scale_box
from envs.clips.video.decode import centre, sample_frames
from envs.clips.video.read import open_video
from envs.clips.video.video import Video

Crop = Literal["random", "multi_scale"]
Pixels = Literal["square", "stored"]
"""What becomes of pictures whose pixels are not square, as the file says: stretched to what is shown, or left as they are."""

CLIPS_AT_ONCE = 256  # bounds what waits while videos are checked


class VideoFiles(ClipSource):
    """The videos of a folder in one of the layouts of `envs.clips.layouts`, without a cache.

    Evaluation gives the very frames of `VideoClips`; training draws among all frames of a video and not only those that
    a cache keeps. A clip's draws depend on its place in the batch, not on the other clips.

    :param root, split, num_frames, size, margin, layout, division: as in `VideoClips`
    :param crop: of training: "random" takes size x size pixels of the middle square, "multi_scale" TSN's crop of the
        whole frame.
    :param sampling: "segments" of the video, or "dense": a window of 64 frames (TSM).
    :param short: what happens to a video of fewer than T frames: "error", or "repeat" some of them.
    :param pixels: "square" stretches pictures whose pixels are not, "stored" leaves them as they are.
    :param check: read the frames of evaluation of every video now, and leave out, in `skipped`, those that cannot be
        read; otherwise they are found when they are asked for.
    :param workers: threads that check.
    :param progress: show a progress bar while checking, on a terminal.
    :raises ClipError: when the folder or, checked, all of its videos cannot be used.

    `note` says when another split stands in for the one asked for.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        num_frames: int = 8,
        size: int = 32,
        margin: int = 0,
        layout: str | None = None,
        division: Division | None = None,
        crop: Crop = "random",
        sampling: Sampling = "segments",
        short: Short = "error",
        pixels: Pixels = "square",
        check: bool = False,
        workers: int = 1,
        progress: bool = True,
    ) -> None:
        check_sampling(num_frames=num_frames, size=size, margin=margin, workers=workers, crop=crop, pixels=pixels)
        self.num_frames, self.size, self.side, self.crop = num_frames, size, size + margin, crop
        self.sampling, self.short, self.pixels = sampling, short, pixels
        self._root, self._listing = Path(root), find_clips(root, split, layout, division=division)
        self.note = self._listing.note
        self._clips, skipped = np.arange(len(self._listing.paths)), []
        if check:
            reasons = list(self._check(workers, progress))
            self._clips = np.flatnonzero([not reason for reason in reasons])
            skipped = [reason for reason in reasons if reason]
            check_broken(skipped, len(reasons), "skip")
        keep = 0 if split == "train" else num_frames
        super().__init__(
            **listed(self._listing, self._clips),
            num_frames=num_frames,
            size=size,
            data_hash=hash_files(
                self._root, self._listing, num_frames=num_frames, keep=keep, side=self.side, **self._unusual()
            ),
            skipped=skipped,
        )

    def frames(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        indices = np.asarray(indices, dtype=np.int64)
        return self._frames(indices, _seeds(len(indices), rng))

    def draw_part(
        self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None, part: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        indices = np.asarray(indices, dtype=np.int64)
        frames = self._frames(indices[part], _seeds(len(indices), rng)[part])
        return self._flipped(frames, indices, rng, part)

    def _frames(self, indices: np.ndarray, seeds: Sequence[int | None]) -> np.ndarray:
        frames = np.empty((len(indices), self.num_frames, self.size, self.size, 3), dtype=np.uint8)
        for row, (index, seed) in enumerate(zip(indices.tolist(), seeds)):
            try:
                frames[row] = self._read_one(index, seed)
            except ClipError as error:
                raise BrokenClip(str(error), index) from None
        return frames

    def _unusual(self) -> dict[str, str]:
        """Sampling that a cache does not have."""
        return {
            name: value
            for name, value in (("sampling", self.sampling), ("short", self.short), ("pixels", self.pixels))
            if value not in ("segments", "error", "square")
        }

    @property
    def _fewest(self) -> int:
        return fewest_frames(self.num_frames, sampling=self.sampling, short=self.short)

    def _open(self, clip: int) -> Video:
        return open_video(**locate(self._root, self._listing, clip), square=self.pixels == "square")

    def _read_one(self, index: int, seed: int | None) -> np.ndarray:
        return self._read(int(self._clips[index]), seed)

    def _read(self, clip: int, seed: int | None) -> np.ndarray:
        rng = None if seed is None else np.random.default_rng(seed)
        scale_rng = rng if self.crop == "multi_scale" else None

        def choose(count: int) -> np.ndarray:
            if self.sampling == "dense":
                return dense_indices(count, self.num_frames, rng)
            return segment_indices(count, self.num_frames, rng, short=self.short)

        images = sample_frames(
            self._open(clip),
            choose,
            fewest=self._fewest,
            size=self.side,
            convert=None if scale_rng is not None else partial(centre, size=self.side),
        )
        if scale_rng is not None:
            height, width = images.shape[1:3]
            return crop_and_resize(images, multi_scale_box(height, width, self.size, scale_rng), self.size)
        return crop(images[None], self.size, rng)[0]

    def _check(self, workers: int, progress: bool) -> Iterator[str]:
        """Of each listed video why it cannot be read, "" where it can."""

        def attempt(clip: int) -> str:
            try:
                self._read(clip, None)
            except ClipError as error:
                return str(error)
            return ""

        clips = range(len(self._listing.paths))
        with (
            ThreadPoolExecutor(workers) as pool,
            Bar(total=len(clips), desc="checking", unit="clip", disable=None if progress else True) as bar,
        ):
            for first in range(0, len(clips), CLIPS_AT_ONCE):
                for reason in pool.map(attempt, clips[first : first + CLIPS_AT_ONCE]):
                    bar.update()
                    yield reason


class VideoViews(VideoFiles):
    """Every video as several clips, whose scores `agent.evaluation.average_views` puts together again (TSN, TSM).

    Clips i * V to i * V + V - 1 are the V views of video i: other frames, then other crops. For evaluation only.

    :param clips: choices of frames a video.
    :param crops: 1 (centre) or 3 along the longer side of a frame, whose shorter side is `size` + `margin`.
    """

    def __init__(self, root: str | Path, split: str, *, clips: int = 1, crops: int = 1, **options: Any) -> None:
        super().__init__(root, split, **options)
        if clips < 1 or crops not in (1, 3):
            raise ValueError(f"expected at least 1 clip and 1 or 3 crops of a video, got {clips} and {crops}")
        self.views_of_clip, self.views_of_crop = clips, crops
        self.num_views = clips * crops
        self.labels = self.labels.repeat(self.num_views)
        self.names = [f"{name}, view {view}" for name in self.names for view in range(self.num_views)]
        self.reversals = None
        self.groups = None if self.groups is None else self.groups.repeat(self.num_views)
        self._last: tuple[int, np.ndarray] | None = None  # the choice of frames that was read last, for its other crops

    def _read_one(self, index: int, seed: int | None) -> np.ndarray:
        number, place = divmod(index, self.views_of_crop)  # of the choice of frames, and of the crop in it
        if self._last is None or self._last[0] != number:
            self._last = number, self._read_choice(*divmod(number, self.views_of_clip))
        images = self._last[1]
        height, width = images.shape[1:3]
        return cut(images, evaluation_boxes(height, width, self.size, self.views_of_crop)[place])

    def _read_choice(self, clip: int, choice: int) -> np.ndarray:
        """The whole frames that the crops are cut from: (T, rows, columns, 3)."""

        def choose(count: int) -> np.ndarray:
            return evaluation_indices(
                count, self.num_frames, clips=self.views_of_clip, sampling=self.sampling, short=self.short
            )[choice]

        return sample_frames(self._open(int(self._clips[clip])), choose, fewest=self._fewest, size=self.side)


# What a source of listed videos is made of, with a cache or without.

VERSION = 1  # of what decoding yields, and of how a cache keeps it: a new number makes old caches unused


def check_sampling(*, num_frames: int, size: int, margin: int, workers: int, crop: str, pixels: str) -> None:
    """:raises ValueError: for numbers that cannot be, or an unknown crop or kind of pixels."""
    if min(num_frames, size, workers) < 1 or margin < 0:
        raise ValueError(
            "expected num_frames, size and workers of at least 1 and a margin of at least 0, got "
            f"{num_frames}, {size}, {workers} and {margin}"
        )
    if crop not in get_args(Crop):
        raise ValueError(f"expected a crop among {', '.join(get_args(Crop))}, got {crop!r}; choose one of them")
    if pixels not in get_args(Pixels):
        raise ValueError(f"expected pixels among {', '.join(get_args(Pixels))}, got {pixels!r}; choose one of them")


def check_broken(skipped: Sequence[str], clips: int, on_broken: str) -> None:
    """:raises ClipError: when no clip is left, or one is broken and that is an error."""
    if len(skipped) == clips:
        raise ClipError(f"expected videos that can be read, but none of {clips} can; the first: {skipped[0]}")
    if skipped and on_broken == "error":
        raise ClipError(
            f"expected {clips} videos that can be read, but {len(skipped)} cannot; repair them or leave them out with "
            f'on_broken="skip"; the first: {" | ".join(skipped[:3])}'
        )


def listed(listing: Listing, clips: np.ndarray) -> dict:
    """What a listing says of the clips that can be read, for `ClipSource`.

    :param clips: their places in the list, in order.
    """
    partners = np.arange(len(listing.paths)) ^ 1
    return {
        "classes": listing.classes,
        "labels": np.asarray(listing.labels)[clips],
        "names": [listing.paths[clip] for clip in clips],
        "reversals": select_reversals(partners, clips) if listing.paired else None,
        "reversed_class": listing.reversed_class,
        "groups": [listing.groups[clip] for clip in clips] if listing.groups else None,
    }


def locate(root: Path, listing: Listing, clip: int) -> dict:
    """Where a listed clip lies, for `open_video` and `decode_frames`."""
    frames = None if listing.frames is None else listing.frames[clip]
    return {"path": root / listing.paths[clip], "frames": frames, "template": listing.template}


def hash_files(root: Path, listing: Listing, **sampling: int | str) -> str:
    """sha256 in hex of the list, the files' sizes and the sampling: the same wherever the folder lies."""
    sizes = [size for size, _ in stat_files(root, listing)]
    clips = list(zip(listing.paths, listing.labels, sizes))
    facts = [VERSION, clips, listing.classes, listing.reversed_class, listing.paired, sorted(sampling.items())]
    if listing.template is not None:
        facts += [listing.template, listing.frames]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def stat_files(root: Path, listing: Listing) -> list[tuple[int, int]]:
    """Of each listed clip the size in bytes (0 for a folder, -1 for nothing) and when it was changed, in ns."""

    def look(path: str) -> tuple[int, int]:
        try:
            found = os.stat(root / path)
        except (OSError, ValueError):
            return -1, 0
        return (0 if stat.S_ISDIR(found.st_mode) else found.st_size), found.st_mtime_ns

    return [look(path) for path in listing.paths]


def _seeds(count: int, rng: np.random.Generator | None) -> list[Any]:
    """Of each clip of a batch one, None in evaluation."""
    return [None] * count if rng is None else rng.integers(2**63, size=count).tolist()
