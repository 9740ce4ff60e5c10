"""What a stream's time is set beside."""

import pytest
from fusion_cases import random_frames, tiny_backbone

from backbone.sparse import Stream
from experiments.videos.streaming import Timing, measure


def test_a_stream_is_timed_beside_one_that_uses_everything() -> None:
    backbone, frames = tiny_backbone(), random_frames(1)[0]
    stream = Stream(backbone, engine="torch")
    timing = measure(stream, backbone, frames, repeats=1)
    assert timing.engine == "torch"
    assert timing.ms > 0
    assert timing.dense_ms > 0
    assert stream.frames == len(frames)


def test_the_ratio_is_of_the_dense_time() -> None:
    assert Timing(3.0, 4.0, "kernels", 1).ratio == pytest.approx(0.75)
