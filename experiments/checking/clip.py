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
from envs.clips.video.decode import sample_frames
from envs.clips.video.read import open_video
from experiments.checking.likeness import Look, compared, looks_of

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
    except (OSError, ValueError) as error:  # a circle of links; a name that cannot be one
        reason = getattr(error, "strerror", None) or error
        return Finding(
            "unreadable", f"{clip.path}: expected a clip, but it cannot be read ({reason}); correct the list"
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
        count, images = _decode(clip)
    except ClipError as error:
        return Finding("unreadable", str(error), digest)
    except Exception as error:  # whatever one clip does, the others are looked at
        reason = f"{clip.path}: expected a clip, but it cannot be read ({type(error).__name__}: {error})"
        return Finding("unreadable", reason, digest)
    looks = looks_of(images)
    if clip.frames is not None and count < clip.frames:
        reason = f"{clip.path}: expected {clip.frames} frames, as listed, but there are {count}"
        return Finding("short", reason, digest, looks)
    if count < num_frames:
        reason = f"{clip.path}: expected at least {num_frames} frames, but there are {count}"
        return Finding("short", reason, digest, looks)
    return Finding(digest=digest, looks=looks)


def _decode(clip: Clip) -> tuple[int, np.ndarray]:
    """How many frames decode, and those that are compared, scaled down: (at most FRAMES, rows, columns, 3) uint8."""
    video = open_video(clip.path, template=clip.template)
    images = sample_frames(video, compared, fewest=1, size=SIDE, whole=True)
    return video.num_frames, images


def _hash(clip: Clip) -> str:
    """The sha256 of a file's bytes, or of those of a folder's frames; "" for what is neither, such as a pipe."""
    if clip.path.is_file():
        return _hash_file(clip.path).hex()
    digest = hashlib.sha256()
    files = [clip.path / name for name in frame_names(clip.path)]
    if not files or not all(file.is_file() for file in files):
        return ""
    for file in files:
        digest.update(_hash_file(file))
    return digest.hexdigest()


def _hash_file(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
