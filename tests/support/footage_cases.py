"""Tiny footage: a few small videos, each of a scene of its own."""

from pathlib import Path

import numpy as np

from envs.clips.video.decode import write_video

LENGTH, HEIGHT, WIDTH = 12, 24, 32


def scene(seed: int, length: int = LENGTH, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(T, H, W, 3) of grey blocks, which the codec keeps well, over which a bright bar goes."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 200, (-(-height // 4), -(-width // 4), 1), dtype=np.uint8).repeat(3, 2)
    frames = np.repeat(blocks.repeat(4, 0).repeat(4, 1)[None, :height, :width], length, axis=0)
    for t in range(length):
        frames[t, :, 2 * t % width] = 255
    return frames


def footage(root: Path, *names: str, **shape: int) -> Path:
    """A folder of such videos, by their paths."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / name, scene(number, **shape))
    return root
