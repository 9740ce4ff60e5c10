import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.clips.sampling import crop, segment_indices

lengths = st.integers(1, 20).flatmap(lambda t: st.tuples(st.integers(t, 200), st.just(t)))


@settings(max_examples=50, deadline=None)
@given(lengths, st.integers(0, 100))
def test_random_indices_lie_one_in_each_segment(length, seed):
    available, num_frames = length
    indices = segment_indices(available, num_frames, np.random.default_rng(seed))
    edges = np.arange(num_frames + 1) * available // num_frames
    assert (edges[:-1] <= indices).all()
    assert (indices < edges[1:]).all()


@settings(max_examples=50, deadline=None)
@given(lengths)
def test_centred_indices_rise_and_are_those_of_tsn(length):
    available, num_frames = length
    indices = segment_indices(available, num_frames)
    tick = available / num_frames
    assert (np.diff(indices) > 0).all()
    assert np.abs(indices - (tick / 2 + tick * np.arange(num_frames))).max() < 1
    assert indices[0] >= 0
    assert indices[-1] < available


def test_as_many_frames_as_wanted_are_all_taken():
    np.testing.assert_array_equal(segment_indices(8, 8), np.arange(8))
    np.testing.assert_array_equal(segment_indices(8, 8, np.random.default_rng(0)), np.arange(8))


def test_random_indices_reach_every_frame():
    rng = np.random.default_rng(0)
    assert {i for _ in range(200) for i in segment_indices(19, 4, rng)} == set(range(19))


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="at least 8 frames, got 7"):
        segment_indices(7, 8)
    with pytest.raises(ValueError, match="at least 1 frame"):
        segment_indices(7, 0)


def coordinates(num_clips: int = 3, num_frames: int = 6, side: int = 12) -> np.ndarray:
    """Frames whose channels tell the frame's number, the row and the column."""
    frames = np.zeros((num_clips, num_frames, side, side, 3), dtype=np.uint8)
    frames[..., 0] = np.arange(num_frames)[:, None, None]
    frames[..., 1] = np.arange(side)[:, None]
    frames[..., 2] = np.arange(side)
    return frames


def test_crops_are_centred_or_random_but_one_place_a_clip():
    frames = coordinates()
    assert (crop(frames, 8)[:, :, 0, 0, 1:] == 2).all()
    corners = np.stack([crop(frames, 8, np.random.default_rng(seed))[:, :, 0, 0, 1:] for seed in range(50)])
    assert (corners == corners[:, :, :1]).all()
    assert set(np.unique(corners)) == {0, 1, 2, 3, 4}
