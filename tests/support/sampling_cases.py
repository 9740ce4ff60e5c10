"""Frames that tell where they come from."""

import numpy as np


def coordinates(num_clips: int = 3, num_frames: int = 6, side: int = 12) -> np.ndarray:
    """Frames whose channels tell the frame's number, the row and the column."""
    frames = np.zeros((num_clips, num_frames, side, side, 3), dtype=np.uint8)
    frames[..., 0] = np.arange(num_frames)[:, None, None]
    frames[..., 1] = np.arange(side)[:, None]
    frames[..., 2] = np.arange(side)
    return frames
