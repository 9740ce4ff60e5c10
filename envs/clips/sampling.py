"""Which frames of a clip, and which part of each: the samplers of TSN (Wang et al., ECCV 2016, section 3.1) and TSM.

Letters for shapes: B clips, T frames a clip, F frames available, H = W pixels a side, P frames in a pool.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Short = Literal["error", "repeat"]
Sampling = Literal["segments", "dense"]

DENSE_WINDOW = 64
"""Frames that a densely sampled clip spans."""


def fewest_frames(num_frames: int, *, sampling: Sampling = "segments", short: Short = "error") -> int:
    """Frames that a video must have for a clip of T frames: T, unless frames may stand in it more than once."""
    return 1 if short == "repeat" or sampling == "dense" else num_frames


def segment_indices(
    available: int, num_frames: int, rng: np.random.Generator | None = None, *, short: Short = "error"
) -> np.ndarray:
    """One frame from each of T equal segments.

    :param available: frames there are, F.
    :param num_frames: frames wanted, T.
    :param rng: None takes the centre of every segment (evaluation); a generator draws uniformly inside it (training).
    :param short: what to do when F < T: raise an error, or repeat frames as TSN does in its tests: segments are then
        shorter than a frame, and each takes a frame that it touches. (In training, TSN's code takes the first frame T
        times, AdaFuse's the last one for all that is missing.)
    :return: (T,) int64, strictly increasing, with repeats non-decreasing; 0..T-1 whenever F == T.
    :raises ValueError: when T < 1, F < 1 or, unless frames may be repeated, F < T.
    """
    fewest = 1 if short == "repeat" else num_frames
    _check_counts(available, num_frames, fewest)
    segments = np.arange(num_frames)
    if rng is None:
        return (2 * segments + 1) * available // (2 * num_frames)
    first, end = segments * available, (segments + 1) * available
    if available < num_frames:
        return rng.integers(first // num_frames, -(-end // num_frames))
    return rng.integers(first // num_frames, end // num_frames)


def dense_indices(
    available: int, num_frames: int, rng: np.random.Generator | None = None, *, window: int = DENSE_WINDOW
) -> np.ndarray:
    """T frames at equal distance in a window of consecutive frames, as TSM samples Kinetics and I3D before it.

    :param available: frames there are, F; where the window is longer, it goes on at the video's first frame (TSM).
    :param rng: None puts the window in the middle of the video; a generator draws its place (training).
    :return: (T,) int64 in 0..F-1.
    :raises ValueError: when T < 1, F < 1 or the window has fewer than T frames.
    """
    room = _dense_room(available, num_frames, window)
    start = room // 2 if rng is None else int(rng.integers(room + 1))
    return _dense(start, available, num_frames, window)


def evaluation_indices(
    available: int,
    num_frames: int,
    *,
    clips: int = 1,
    sampling: Sampling = "segments",
    short: Short = "error",
    window: int = DENSE_WINDOW,
) -> np.ndarray:
    """The clips that a video is judged by; the caller averages their scores.

    :param clips: clips a video, N; the first of segments is the one that `segment_indices` takes.
    :param sampling: "segments": clip k takes the frames at 1/2 + k/N (modulo 1) of every segment; N = 2 is TSM's "twice
        sample". "dense": windows that begin from the first frame to the last possible one at equal distances, N = 10
        in TSM; a single one lies in the middle.
    :param short: with segments: see `segment_indices`.
    :param window: with dense sampling: see `dense_indices`.
    :return: (N, T) int64.
    :raises ValueError: as those two, for N < 1, or for an unknown name of sampling.
    """
    if clips < 1:
        raise ValueError(f"expected at least 1 clip of a video, got {clips}; ask for a positive number")
    if sampling == "segments":
        _check_counts(available, num_frames, 1 if short == "repeat" else num_frames)
        place = (2 * np.arange(clips)[:, None] + clips) % (2 * clips)  # in 2N-ths of a segment
        return (2 * clips * np.arange(num_frames) + place) * available // (2 * clips * num_frames)
    if sampling == "dense":
        room = _dense_room(available, num_frames, window)
        starts = np.linspace(0, room, clips).astype(np.int64) if clips > 1 else [room // 2]
        return np.stack([_dense(int(start), available, num_frames, window) for start in starts])
    raise ValueError(f"expected sampling by segments or dense, got {sampling!r}; choose one of them")


def crop_offsets(margin: int, count: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """(count, 2) int64: the first row and column of a crop that leaves `margin` pixels over, centred or random."""
    if rng is None:
        return np.full((count, 2), margin // 2)
    return rng.integers(0, margin + 1, size=(count, 2))


def crop(frames: np.ndarray, size: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Cut (B, T, H, H, 3) down to (B, T, size, size, 3): one place a clip, the same for all its frames.

    :param rng: None cuts out the centre; a generator draws the place of every clip.
    """
    margin = frames.shape[2] - size
    if margin == 0:
        return frames
    offsets = crop_offsets(margin, len(frames), rng)
    return np.stack([clip[:, y : y + size, x : x + size] for clip, (y, x) in zip(frames, offsets)])


def gather(
    pool: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
    *,
    num_frames: int,
    size: int,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Sample and crop B clips that lie one after the other in a pool of frames.

    :param pool: (P, H, H, 3) uint8 with H >= size.
    :param starts: (B,) where each clip begins in the pool.
    :param counts: (B,) how many frames it has there.
    :return: (B, T, size, size, 3) uint8, a new array.
    """
    rows = np.empty((len(starts), num_frames), dtype=np.int64)
    for row, start, count in zip(rows, starts, counts):
        row[:] = start + segment_indices(int(count), num_frames, rng)
    return crop(np.asarray(pool[rows]), size, rng)


def _check_counts(available: int, num_frames: int, fewest: int) -> None:
    if num_frames < 1:
        raise ValueError(f"expected at least 1 frame to sample, got {num_frames}; ask for a positive number")
    if available < fewest:
        raise ValueError(
            f"expected at least {fewest} frames, got {available}; use a longer clip or sample fewer frames"
        )


def _dense_room(available: int, num_frames: int, window: int) -> int:
    """The last frame at which a window can begin."""
    _check_counts(available, num_frames, 1)
    if window < num_frames:
        raise ValueError(
            f"expected a window of at least the {num_frames} frames to sample, got {window}; widen it or sample fewer"
        )
    return max(available - window, 0)


def _dense(start: int, available: int, num_frames: int, window: int) -> np.ndarray:
    return (start + np.arange(num_frames) * (window // num_frames)) % available
