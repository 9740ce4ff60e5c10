"""The clips of a folder of videos, decoded once into a memory-mapped file.

A cache is a folder named by the sha256 of what it was made from (the list, the files' sizes, the sampling). It holds
`frames.u8`, the kept frames of all clips one after the other, and `index.json`, how many each clip has (0: it could not
be read) and why. A file that changes without changing its size is not noticed: remove the cache then.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from envs.clips.decode import decode_frames
from envs.clips.layouts import Listing, find_clips
from envs.clips.sampling import gather
from envs.clips.source import ClipError, ClipSource, select_reversals

VERSION = 1  # of the cache's layout and of what decoding yields: a new number makes old caches unused
CLIPS_AT_ONCE = 256  # bounds the decoded clips that wait in memory


class VideoClips(ClipSource):
    """The videos of a folder in one of the layouts of `envs.clips.layouts`.

    :param root: the folder.
    :param split: "train", "val" or "test".
    :param num_frames: frames a clip, T.
    :param size: side of the frames in pixels, H: the shorter side is resized to size + margin, the rest cropped.
    :param margin: pixels kept beyond `size` for random crops; evaluation takes the centre.
    :param frames_per_segment: frames kept for each of the T segments, among which training draws; by default 4 for
        "train" and 1 (the exact centres) for "val" and "test". A shorter video keeps all its frames.
    :param on_broken: "skip" leaves out videos that cannot be read and says so in `skipped`; "error" raises.
    :param cache_dir: where caches are kept, `<root>/.cache` by default.
    :param workers: threads that decode.
    :param progress: show a progress bar while decoding, on a terminal.
    :raises ClipError: when the folder, all of its videos or, with "error", one of them cannot be used.

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
        frames_per_segment: int | None = None,
        on_broken: str = "skip",
        cache_dir: str | Path | None = None,
        workers: int = 1,
        progress: bool = True,
    ) -> None:
        if frames_per_segment is None:
            frames_per_segment = 4 if split == "train" else 1
        if on_broken not in ("skip", "error"):
            raise ValueError(f"expected on_broken to be 'skip' or 'error', got {on_broken!r}")
        if min(num_frames, size, frames_per_segment, workers) < 1 or margin < 0:
            raise ValueError(
                "expected num_frames, size, frames_per_segment and workers of at least 1 and a margin of at least 0, "
                f"got {num_frames}, {size}, {frames_per_segment}, {workers} and {margin}"
            )
        root = Path(root)
        listing = find_clips(root, split)
        self.note = listing.note
        side, keep = size + margin, num_frames * frames_per_segment
        key = _hash(root, listing, num_frames=num_frames, keep=keep, side=side)
        self._path = Path(root / ".cache" if cache_dir is None else cache_dir).absolute() / key / "frames.u8"
        index = _open_index(self._path.parent, side)
        if index is None:
            decode = partial(decode_frames, num_frames=num_frames, size=side, keep=keep)
            index = _build(
                self._path.parent,
                [root / path for path in listing.paths],
                decode,
                side=side,
                on_broken=on_broken,
                workers=workers,
                progress=progress,
            )
        _check_broken(index["skipped"], len(listing.paths), on_broken)

        counts = np.asarray(index["counts"], dtype=np.int64)
        whole = np.flatnonzero(counts)
        self._counts = counts[whole]
        self._starts = (np.cumsum(counts) - counts)[whole]
        self._side = side
        self._pool = self._open_pool()
        super().__init__(
            classes=listing.classes,
            labels=np.asarray(listing.labels)[whole],
            names=[listing.paths[i] for i in whole],
            num_frames=num_frames,
            size=size,
            data_hash=key,
            reversals=select_reversals(np.arange(len(counts)) ^ 1, whole) if listing.paired else None,
            reversed_class=listing.reversed_class,
            skipped=index["skipped"],
        )

    def frames(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        indices = np.asarray(indices, dtype=np.int64)
        starts, counts = self._starts[indices], self._counts[indices]
        return gather(self._pool, starts, counts, num_frames=self.num_frames, size=self.size, rng=rng)

    def _open_pool(self) -> np.ndarray:
        return np.memmap(self._path, dtype=np.uint8, mode="r").reshape(-1, self._side, self._side, 3)

    def __getstate__(self) -> dict:  # another process opens the file itself instead of receiving its content
        return {name: value for name, value in self.__dict__.items() if name != "_pool"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._pool = self._open_pool()


def _hash(root: Path, listing: Listing, **sampling: int) -> str:
    def size_of(path: str) -> int:
        try:
            return os.stat(root / path).st_size
        except OSError:
            return -1

    clips = [(path, label, size_of(path)) for path, label in zip(listing.paths, listing.labels)]
    facts = [VERSION, clips, listing.classes, listing.reversed_class, listing.paired, sorted(sampling.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _open_index(folder: Path, side: int) -> dict | None:
    """The index of the cache in `folder`, or None unless both files are whole."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        size = (folder / "frames.u8").stat().st_size
        return index if size == sum(index["counts"]) * side * side * 3 else None
    except (OSError, ValueError, KeyError):
        return None


def _check_broken(skipped: list[str], clips: int, on_broken: str) -> None:
    if len(skipped) == clips:
        raise ClipError(f"expected videos that can be read, but none of {clips} can; the first: {skipped[0]}")
    if skipped and on_broken == "error":
        raise ClipError(
            f"expected {clips} videos that can be read, but {len(skipped)} cannot; repair them or leave them out with "
            f'on_broken="skip"; the first: {" | ".join(skipped[:3])}'
        )


def _build(
    folder: Path, paths: list[Path], decode: partial, *, side: int, on_broken: str, workers: int, progress: bool
) -> dict:
    """Decode into a folder aside and rename it, so that whatever is found under `folder` was finished.

    Several processes may build the same cache: the first to finish provides it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = folder.parent / f"building-{uuid.uuid4().hex}"
        aside.mkdir()
    except OSError as error:
        raise ClipError(
            f"{folder.parent}: expected a folder to keep decoded frames in, but it cannot be written "
            f"({error.strerror}); name another with cache_dir"
        ) from error
    try:
        index: dict = {"counts": [], "skipped": []}
        with open(aside / "frames.u8", "wb") as file:
            bar = tqdm(total=len(paths), desc="decoding", unit="clip", disable=None if progress else True)
            with bar:
                for clip in _decode_all(paths, decode, workers):
                    broken = isinstance(clip, ClipError)
                    index["counts"].append(0 if broken else len(clip))
                    index["skipped"] += [str(clip)] if broken else []
                    if not broken:
                        file.write(clip)
                    bar.update()
            file.flush()
            os.fsync(file.fileno())
        _check_broken(index["skipped"], len(paths), on_broken)
        (aside / "index.json").write_text(json.dumps(index), encoding="utf-8")
        _publish(aside, folder, side)
        return _open_index(folder, side) or index
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _publish(aside: Path, folder: Path, side: int) -> None:
    for _ in range(3):  # a cache that is not whole, or another process, may be in the way
        try:
            return aside.rename(folder)
        except OSError:
            if _open_index(folder, side) is not None:
                return None
            shutil.rmtree(folder, ignore_errors=True)
    raise ClipError(f"{folder}: expected to put a finished cache there, but it cannot be replaced; remove it")


def _decode_all(paths: list[Path], decode: partial, workers: int) -> Iterator[np.ndarray | ClipError]:
    """Each path's frames, or why there are none, in the order of the paths."""

    def attempt(path: Path) -> np.ndarray | ClipError:
        try:
            return decode(path)
        except ClipError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(paths), CLIPS_AT_ONCE):
            yield from pool.map(attempt, paths[first : first + CLIPS_AT_ONCE])
