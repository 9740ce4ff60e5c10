"""One clip: whether it can be read to its end, how many frames it has, the hash of its bytes and of what it looks like.

Two clips are the same if their bytes are: of the file, or of the frames of a folder, one after the other. A clip that
was encoded anew is another one, that looks alike (`likeness.py`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.clips import ClipError
from envs.clips.datasets.places import frame_names
from envs.clips.video.read import open_video
from experiments.checking.likeness import Look, looks_of

SIDE = 16  # pixels to which frames are scaled down; they are decoded to be sure that they can be


@dataclass(frozen=True)
class Clip:
    """A clip to look at; `frames` and `template` as in a `Listing`."""

    path: Path
    frames: int | None
    template: str | None


@dataclass(frozen=True)
class Finding:
    """What one clip looked like: the kind of its problem ("" if it has none), a sentence, the sha256 of its bytes, the hashes
    of some of its frames (none where it is flat, or could not be read)."""

    kind: str = ""
    reason: str = ""
    digest: str = ""
    looks: tuple[Look, ...] = ()


def inspect(clip: Clip, num_frames: int) -> Finding:
    """Decode a clip to its end and take its hashes."""
    try:
        status = clip.path.stat()
    except FileNotFoundError:
        return Finding("missing", f"{clip.path}: expected a clip, but there is nothing; restore it or correct the list")
    except OSError as error:
        return Finding(
            "unreadable", f"{clip.path}: expected a clip, but it cannot be read ({error.strerror}); correct the list"
        )
    if not clip.template and clip.path.is_file() and not status.st_size:
        return Finding("empty", f"{clip.path}: expected a video, but it is empty; replace it or take it off the list")
    if clip.template and clip.path.is_dir() and not frame_names(clip.path):
        return Finding(
            "empty", f"{clip.path}: expected a folder of frames, but there are none in it; restore them or the list"
        )
    digest = ""
    try:
        digest = _hash(clip)
        images = _decode(clip)
    except ClipError as error:
        return Finding("unreadable", str(error), digest)
    except OSError as error:
        return Finding("unreadable", f"{clip.path}: expected a clip, but it cannot be read ({error})", digest)
    count, looks = len(images), looks_of(images)
    if clip.frames is not None and count < clip.frames:
        reason = f"{clip.path}: expected {clip.frames} frames, as listed, but there are {count}"
        return Finding("short", reason, digest, looks)
    if count < num_frames:
        reason = f"{clip.path}: expected at least {num_frames} frames, but there are {count}"
        return Finding("short", reason, digest, looks)
    return Finding(digest=digest, looks=looks)


def _decode(clip: Clip) -> np.ndarray:
    """All frames, scaled down: (T, rows, columns, 3) uint8."""
    video = open_video(clip.path, template=clip.template)
    while True:
        count = video.num_frames
        images = video.frames(range(count), size=SIDE) if count else np.empty((0, SIDE, SIDE, 3), np.uint8)
        if video.num_frames == count:
            return images  # else decoding has found another count than the file tells: once more


def _hash(clip: Clip) -> str:
    """The sha256 of a file's bytes, or of those of a folder's frames; "" for what is neither."""
    if clip.path.is_file():
        with open(clip.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    names = frame_names(clip.path)
    for name in names:
        digest.update(hashlib.sha256((clip.path / name).read_bytes()).digest())
    return digest.hexdigest() if names else ""
