"""What the tests of predictions share: made videos, options, and what a file really shows."""

import av
import numpy as np

from experiments.config import Predict


def moving(frames: int) -> np.ndarray:
    """Grey levels of their own."""
    return np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None] * 2 + 30, (frames, 40, 48, 3))


def options(video, run, **kwargs) -> Predict:
    return Predict(video, run, threads=1, device="cpu", **kwargs)


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
