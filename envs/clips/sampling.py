"""Which frames of a clip, and which part of each frame: the samplers of TSN (Wang et al., ECCV 2016, section 3.1).

Letters for shapes: B clips, T frames a clip, F frames available, H = W pixels a side, P frames in a pool.
"""

from __future__ import annotations

import numpy as np


def segment_indices(available: int, num_frames: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """One frame from each of T equal segments.

    :param available: frames there are, F.
    :param num_frames: frames wanted, T.
    :param rng: None takes the centre of every segment (evaluation); a generator draws uniformly inside it (training).
    :return: (T,) int64, strictly increasing; 0..T-1 whenever F == T.
    :raises ValueError: when T < 1 or F < T.
    """
    if num_frames < 1:
        raise ValueError(f"expected at least 1 frame to sample, got {num_frames}; ask for a positive number")
    if available < num_frames:
        raise ValueError(
            f"expected at least {num_frames} frames, got {available}; use a longer clip or sample fewer frames"
        )
    segments = np.arange(num_frames)
    if rng is None:
        return (2 * segments + 1) * available // (2 * num_frames)
    return rng.integers(segments * available // num_frames, (segments + 1) * available // num_frames)


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
