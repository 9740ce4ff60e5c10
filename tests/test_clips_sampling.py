import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.clips import ArrayClips, ClipError
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


def test_array_clips_sample_evaluate_and_repeat():
    source = ArrayClips(coordinates(), np.array([0, 1, 0]), ("a", "b"), num_frames=2, size=8)
    centred = source.frames([2, 0])
    assert centred.shape == (2, 2, 8, 8, 3)
    assert centred.dtype == np.uint8
    np.testing.assert_array_equal(centred[0, :, 0, 0], [[1, 2, 2], [4, 2, 2]])
    np.testing.assert_array_equal(centred, source.frames([2, 0]))
    drawn = [source.frames([0, 1, 2], np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    centred[:] = 0
    assert source.frames([2]).any()


def test_subset_keeps_what_belongs_together():
    frames = np.random.default_rng(0).integers(0, 255, (4, 2, 4, 4, 3), dtype=np.uint8)
    labels = np.array([0, 1, 2, 3])
    source = ArrayClips(frames, labels, "abcd", reversals=[1, 0, 3, 2], reversed_class=(1, 0, 3, 2))
    part = source.subset([3, 0, 2])
    assert len(part) == 3
    np.testing.assert_array_equal(part.labels, [3, 0, 2])
    np.testing.assert_array_equal(part.reversals, [2, -1, 0])
    assert part.names == ["3", "0", "2"]
    np.testing.assert_array_equal(part.frames([0, 2]), frames[[3, 2]])
    assert part.data_hash != source.data_hash
    np.testing.assert_array_equal(part.subset([1, 2]).reversals, [-1, -1])
    np.testing.assert_array_equal(part.subset([1, 2]).frames([0]), frames[[0]])


def test_the_hash_follows_the_content():
    frames = coordinates()
    same = ArrayClips(frames.copy(), [0, 0, 0], ("a",)).data_hash
    assert ArrayClips(frames, [0, 0, 0], ("a",)).data_hash == same
    assert ArrayClips(frames, [0, 0, 0], ("a",), num_frames=2).data_hash != same
    frames[0, 0, 0, 0, 0] += 1
    assert ArrayClips(frames, [0, 0, 0], ("a",)).data_hash != same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": np.zeros((2, 3, 4, 4, 3))}, "uint8"),
        ({"frames": np.zeros((2, 3, 4, 5, 3), dtype=np.uint8)}, "square"),
        ({"labels": [0]}, "one label"),
        ({"labels": [0, 2]}, "labels from 0 to 1"),
        ({"labels": [0, -1]}, "labels from 0 to 1"),
        ({"num_frames": 4}, "num_frames=4"),
        ({"size": 5}, "size=5"),
        ({"names": ["one"]}, "one name"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments, message):
    fitting = {"frames": np.zeros((2, 3, 4, 4, 3), dtype=np.uint8), "labels": [0, 1], "classes": ("a", "b")}
    ArrayClips(**fitting)
    with pytest.raises(ClipError, match=message):
        ArrayClips(**fitting | arguments)
