"""The clips of a folder of videos, decoded once into a memory-mapped file.

A cache is a folder named by the sha256 of what it was made from: the list, the files' sizes and times of change, the
sampling. It holds `frames.u8`, the kept frames of all clips one after the other, and `index.json`, how many each clip
has (0: it could not be read) and why; that file's time tells when the cache was last opened.

The caches in a folder share a bound. Where a new one would pass it, those least recently opened are removed, except any
that a process has open: whoever maps `frames.u8` holds a lock on it (flock), which ends with the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from backbone.common.progress import Bar
from envs.clips.datasets import Division, Listing, find_clips
from envs.clips.files import Crop, Pixels, check_broken, check_sampling, hash_files, listed, locate, stat_files
from envs.clips.sampling import gather
from envs.clips.source import ClipError, ClipSource
from envs.clips.transforms import crop_and_resize, multi_scale_box
from envs.clips.video.decode import decode_frames

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]  # a module otherwise

CLIPS_AT_ONCE = 256  # bounds the decoded clips that wait in memory
GB = 10**9
DECODING = 2  # of what decoding makes of the same files: a new number makes older caches unused


class CacheTooLarge(ClipError):
    """A cache was not made because the bound leaves no room for it."""


class VideoClips(ClipSource):
    """The videos of a folder in one of the layouts of `envs.clips.layouts`.

    :param root: the folder.
    :param split: "train", "val" or "test".
    :param num_frames: frames a clip, T.
    :param size: side of the frames in pixels, H: the shorter side is resized to size + margin, the rest cropped.
    :param margin: pixels kept beyond `size` for random crops; evaluation takes the centre.
    :param layout: the layout's name; None recognises it.
    :param division: how class folders are divided, and what tells the clips of one source.
    :param crop: of training, from the middle square of size + margin that is kept: "random" takes size x size pixels,
        "multi_scale" TSN's crop.
    :param pixels: "square" stretches pictures whose pixels are not, "stored" leaves them as they are.
    :param frames_per_segment: frames kept for each of the T segments, among which training draws; by default 4 for
        "train" and 1 (the exact centres) for "val" and "test". A shorter video keeps all its frames.
    :param on_broken: "skip" leaves out videos that cannot be read and says so in `skipped`; "error" raises.
    :param cache_dir: where caches are kept, `<root>/.cache` by default.
    :param cache_gb: what all caches there may take together, in GB of 10^9 bytes.
    :param workers: threads that decode.
    :param progress: show a progress bar while decoding, on a terminal.
    :raises CacheTooLarge: when that is too little.
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
        layout: str | None = None,
        division: Division | None = None,
        crop: Crop = "random",
        pixels: Pixels = "square",
        frames_per_segment: int | None = None,
        on_broken: str = "skip",
        cache_dir: str | Path | None = None,
        cache_gb: float = 8.0,
        workers: int = 1,
        progress: bool = True,
    ) -> None:
        if frames_per_segment is None:
            frames_per_segment = 4 if split == "train" else 1
        if on_broken not in ("skip", "error"):
            raise ValueError(f"expected on_broken to be 'skip' or 'error', got {on_broken!r}")
        check_sampling(num_frames=num_frames, size=size, margin=margin, workers=workers, crop=crop, pixels=pixels)
        if frames_per_segment < 1:
            raise ValueError(f"expected frames_per_segment of at least 1, got {frames_per_segment}")
        root = Path(root)
        listing = find_clips(root, split, layout, division=division)
        self.note, self.crop = listing.note, crop
        side, keep = size + margin, num_frames * frames_per_segment
        unusual = {} if pixels == "square" else {"pixels": pixels}
        data_hash = hash_files(root, listing, num_frames=num_frames, keep=keep, side=side, **unusual)
        caches = Path(root / ".cache" if cache_dir is None else cache_dir).absolute()
        folder = caches / _key(data_hash, root, listing)
        limit = int(cache_gb * GB)
        found = _open(folder, side)
        if found is None:
            found = _build(
                folder,
                root,
                listing,
                _Kept(num_frames, keep, side, pixels),
                limit=limit,
                on_broken=on_broken,
                workers=workers,
                progress=progress,
            )
        index, file = found
        with file:
            check_broken(index["skipped"], len(listing.paths), on_broken)
            if os.fstat(file.fileno()).st_size > limit:
                raise _too_large(os.fstat(file.fileno()).st_size, limit)
            self._path, self._side = folder / "frames.u8", side
            self._pool = self._map(file)
        counts = np.asarray(index["counts"], dtype=np.int64)
        whole = np.flatnonzero(counts)
        self._counts = counts[whole]
        self._starts = (np.cumsum(counts) - counts)[whole]
        super().__init__(
            **listed(listing, whole), num_frames=num_frames, size=size, data_hash=data_hash, skipped=index["skipped"]
        )

    def frames(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        indices = np.asarray(indices, dtype=np.int64)
        starts, counts = self._starts[indices], self._counts[indices]
        if rng is None or self.crop == "random":
            return gather(self._pool, starts, counts, num_frames=self.num_frames, size=self.size, rng=rng)
        squares = gather(self._pool, starts, counts, num_frames=self.num_frames, size=self._side, rng=rng)
        boxes = [multi_scale_box(self._side, self._side, self.size, rng) for _ in squares]
        return np.stack([crop_and_resize(clip, box, self.size) for clip, box in zip(squares, boxes)])

    def _map(self, file: BinaryIO) -> np.ndarray:
        """The map keeps a duplicate of the file's descriptor, and with it the lock."""
        return np.memmap(file, dtype=np.uint8, mode="r").reshape(-1, self._side, self._side, 3)

    def __getstate__(self) -> dict:  # another process opens the file itself instead of receiving its content
        return {name: value for name, value in self.__dict__.items() if name != "_pool"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        with open(self._path, "rb") as file:
            _in_use(file)
            self._pool = self._map(file)


class _Kept(NamedTuple):
    """What a cache keeps of a video: at least `num_frames` and at most `keep` frames of side x side pixels."""

    num_frames: int
    keep: int
    side: int
    pixels: Pixels

    def bytes_of(self, listing: Listing) -> int:
        """The most that a cache of these clips takes."""
        counts = [self.keep] * len(listing.paths) if listing.frames is None else listing.frames
        return sum(min(count, self.keep) for count in counts) * self.side**2 * 3


def _key(data_hash: str, root: Path, listing: Listing) -> str:
    changed = [when for _, when in stat_files(root, listing)]
    return hashlib.sha256(json.dumps([DECODING, data_hash, changed]).encode()).hexdigest()


def _open(folder: Path, side: int) -> tuple[dict, BinaryIO] | None:
    """The index of the cache in `folder` and its frames, marked as in use; None unless both are whole."""
    try:
        file = open(folder / "frames.u8", "rb")  # noqa: SIM115 (the caller closes it)
    except OSError:
        return None
    try:
        _in_use(file)
        here, there = os.fstat(file.fileno()), os.stat(folder / "frames.u8")
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if os.path.samestat(here, there) and here.st_size == sum(index["counts"]) * side * side * 3:
            with suppress(OSError):  # of another user, perhaps
                os.utime(folder / "index.json")
            return index, file
    except (OSError, ValueError, KeyError):
        pass
    file.close()
    return None


def _build(
    folder: Path,
    root: Path,
    listing: Listing,
    kept: _Kept,
    *,
    limit: int,
    on_broken: str,
    workers: int,
    progress: bool,
) -> tuple[dict, BinaryIO]:
    """Decode into a folder aside and rename it, so that whatever is found under `folder` was finished.

    Several processes may build the same cache: the first to finish provides it. That is why this is not `write_whole`,
    where the last one wins: a folder that others have open must not be replaced under them, and the frames aside count
    among what may be kept while they are written.
    """
    caches, need = folder.parent, kept.bytes_of(listing)
    if need > limit:
        raise _too_large(need, limit)
    aside = caches / f"building-{uuid.uuid4().hex}"
    try:
        with _new_file(aside, need, limit) as file:
            index = _decode_into(file, root, listing, kept, workers, progress)
            check_broken(index["skipped"], len(listing.paths), on_broken)
            (aside / "index.json").write_text(json.dumps(index), encoding="utf-8")
            return _publish(aside, folder, kept.side)  # while the file is open, so that nobody removes it
    except OSError as error:
        raise ClipError(
            f"{caches}: expected to keep up to {need / GB:.2g} GB of decoded frames there, but it cannot be written "
            f"({error.strerror}); make room, name another folder with cache_dir, or do without by cache_gb = 0"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _new_file(aside: Path, need: int, limit: int) -> BinaryIO:
    aside.parent.mkdir(parents=True, exist_ok=True)
    with _alone(aside.parent):
        _make_room(aside.parent, need, limit)
        aside.mkdir()
        file = open(aside / "frames.u8", "wb")  # noqa: SIM115 (the caller closes it)
        _in_use(file)
    return file


def _decode_into(
    file: BinaryIO, root: Path, listing: Listing, kept: _Kept, workers: int, progress: bool
) -> dict[str, list]:
    index: dict[str, list] = {"counts": [], "skipped": []}
    with Bar(total=len(listing.paths), desc="decoding", unit="clip", disable=None if progress else True) as bar:
        for clip in _decode_all(root, listing, kept, workers):
            if isinstance(clip, ClipError):
                index["counts"].append(0)
                index["skipped"].append(str(clip))
            else:
                index["counts"].append(len(clip))
                file.write(clip.data)
            bar.update()
    file.flush()
    os.fsync(file.fileno())
    return index


def _publish(aside: Path, folder: Path, side: int) -> tuple[dict, BinaryIO]:
    for _ in range(3):  # a cache that is not whole, or another process, may be in the way
        with suppress(OSError):
            aside.rename(folder)
        found = _open(folder, side)
        if found is not None:
            return found
        shutil.rmtree(folder, ignore_errors=True)
    raise ClipError(f"{folder}: expected to put a finished cache there, but it cannot be replaced; remove it")


def _decode_all(root: Path, listing: Listing, kept: _Kept, workers: int) -> Iterator[np.ndarray | ClipError]:
    """Each clip's frames, or why there are none, in the order of the list."""

    def attempt(clip: int) -> np.ndarray | ClipError:
        try:
            return decode_frames(
                **locate(root, listing, clip),
                num_frames=kept.num_frames,
                size=kept.side,
                keep=kept.keep,
                square=kept.pixels == "square",
            )
        except ClipError as error:
            return error

    clips = range(len(listing.paths))
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(clips), CLIPS_AT_ONCE):
            yield from pool.map(attempt, clips[first : first + CLIPS_AT_ONCE])


# The bound


def _make_room(caches: Path, need: int, limit: int) -> None:
    """Remove what killed processes left half built, and of caches as many as must go, the least recently opened first.

    :raises CacheTooLarge: when those in use leave too little; then none is removed.
    """
    used, idle = 0, []
    for folder in caches.iterdir():
        if re.fullmatch(r"building-[0-9a-f]{32}", folder.name) and _remove(folder):
            continue
        if re.fullmatch(r"[0-9a-f]{64}|building-[0-9a-f]{32}", folder.name):
            size, opened, in_use = _look_at(folder)
            if in_use:
                used += size
            else:
                idle.append((opened, size, folder))
    if used + need > limit:
        raise _too_large(need, limit, used)
    taken = used + sum(size for _, size, _ in idle)
    for _, size, folder in sorted(idle):
        if taken + need > limit and _remove(folder):
            taken -= size


def _look_at(folder: Path) -> tuple[int, float, bool]:
    """Of a cache: bytes, when it was opened last (0 where it is not whole), and whether a process has it open."""
    size, opened, in_use = 0, 0.0, False
    with suppress(OSError), open(folder / "frames.u8", "rb") as file:
        size, in_use = os.fstat(file.fileno()).st_size, not _claim(file)
    with suppress(OSError):
        opened = (folder / "index.json").stat().st_mtime
    return size, opened, in_use


def _remove(folder: Path) -> bool:
    """Remove a cache unless a process has it open; says whether it is gone."""
    try:
        with open(folder / "frames.u8", "rb") as file:
            if _claim(file):
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # no frames
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _too_large(need: int, limit: int, used: int = 0) -> CacheTooLarge:
    others = f" beside {used / GB:.2g} GB of others in use" if used else ""
    return CacheTooLarge(
        f"expected decoded clips to fit into the {limit / GB:g} GB of cache_gb, but they may take {need / GB:.2g} GB"
        f"{others}; allow more, or do without"
    )


@contextmanager
def _alone(caches: Path) -> Iterator[None]:
    """One process at a time makes room in a folder of caches."""
    if fcntl is None:
        yield
        return
    handle = os.open(caches, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _in_use(file: BinaryIO) -> None:
    """Mark a file as in use as long as it is open."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)


def _claim(file: BinaryIO) -> bool:
    """Lock a file for oneself; False where a process, this one included, uses it or that cannot be told."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
