import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling_cases import coordinates

from envs.clips.sampling import crop, dense_indices, evaluation_indices, fewest_frames, segment_indices

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


short_lengths = st.integers(2, 20).flatmap(lambda t: st.tuples(st.integers(1, t - 1), st.just(t)))


@settings(max_examples=50, deadline=None)
@given(short_lengths, st.none() | st.integers(0, 100))
def test_a_short_video_repeats_frames_each_from_its_segment(length, seed):
    available, num_frames = length
    rng = None if seed is None else np.random.default_rng(seed)
    indices = segment_indices(available, num_frames, rng, short="repeat")
    tick = available / num_frames
    segments = np.arange(num_frames)
    assert (np.diff(indices) >= 0).all()
    assert (np.floor(segments * tick - 1e-9) <= indices).all()
    assert (indices < (segments + 1) * tick + 1e-9).all()
    assert indices[0] >= 0
    assert indices[-1] < available
    if rng is None:  # TSN's formula in its tests
        np.testing.assert_array_equal(indices, [int(tick / 2 + tick * x + 1e-9) for x in range(num_frames)])
        assert set(indices) == set(range(available))


def test_repeating_changes_nothing_for_a_video_that_is_long_enough():
    for seed in range(10):
        repeated = segment_indices(19, 4, np.random.default_rng(seed), short="repeat")
        np.testing.assert_array_equal(repeated, segment_indices(19, 4, np.random.default_rng(seed)))
    np.testing.assert_array_equal(segment_indices(19, 4, short="repeat"), segment_indices(19, 4))


def test_no_frames_cannot_be_repeated():
    with pytest.raises(ValueError, match="at least 1 frames, got 0"):
        segment_indices(0, 8, short="repeat")


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 64), st.none() | st.integers(0, 100))
def test_dense_frames_lie_at_tsms_distance_and_wrap_around(available, num_frames, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    indices = dense_indices(available, num_frames, rng)
    assert indices.shape == (num_frames,)
    assert (np.diff(indices) % available == 64 // num_frames % available).all()
    assert 0 <= indices.min() <= indices.max() < available
    if available >= 64:
        assert (np.diff(indices) > 0).all()
    else:
        assert indices[0] == 0


def test_dense_windows_begin_everywhere_or_in_the_middle():
    rng = np.random.default_rng(0)
    assert {int(dense_indices(70, 8, rng)[0]) for _ in range(200)} == set(range(7))
    np.testing.assert_array_equal(dense_indices(70, 8), 3 + 8 * np.arange(8))
    np.testing.assert_array_equal(dense_indices(20, 4), [0, 16, 12, 8])  # 0, 16, 32, 48 modulo 20


def test_a_window_shorter_than_the_clip_is_refused():
    with pytest.raises(ValueError, match="window of at least the 65 frames"):
        dense_indices(100, 65)
    np.testing.assert_array_equal(dense_indices(4, 4, window=4), np.arange(4))


@settings(max_examples=50, deadline=None)
@given(lengths, st.integers(1, 5))
def test_clips_of_segments_begin_with_the_centres_and_all_stay_in_their_segments(length, clips):
    available, num_frames = length
    found = evaluation_indices(available, num_frames, clips=clips)
    assert found.shape == (clips, num_frames)
    np.testing.assert_array_equal(found[0], segment_indices(available, num_frames))
    edges = np.arange(num_frames + 1) * available // num_frames
    assert (edges[:-1] <= found).all()
    assert (found <= edges[1:]).all()  # a segment that ends within a frame may take it
    assert found.max() < available


def test_two_clips_of_segments_are_tsms_twice_sample():
    found = evaluation_indices(30, 8, clips=2)
    tick = 30 / 8
    np.testing.assert_array_equal(found[0], [int(tick / 2 + tick * x) for x in range(8)])
    np.testing.assert_array_equal(found[1], [int(tick * x) for x in range(8)])


@pytest.mark.parametrize("available", [1, 40, 64, 65, 100, 1000])
def test_dense_clips_begin_where_tsm_begins_them(available):
    found = evaluation_indices(available, 8, clips=10, sampling="dense")
    starts = np.linspace(0, max(1, 1 + available - 64) - 1, num=10, dtype=int)
    np.testing.assert_array_equal(found, (starts[:, None] + 8 * np.arange(8)) % available)


def test_a_single_dense_clip_is_that_of_evaluation():
    np.testing.assert_array_equal(evaluation_indices(100, 8, sampling="dense"), dense_indices(100, 8)[None])


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"sampling": "sparse"}, {"num_frames": 31}, {"num_frames": 0}])
def test_clips_that_cannot_be_had_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^expected .*; (ask|choose|use)"):
        evaluation_indices(30, **{"num_frames": 8, **wrong})


def test_short_videos_are_judged_by_repeated_frames():
    found = evaluation_indices(3, 6, clips=2, short="repeat")
    np.testing.assert_array_equal(found, [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]])
    assert evaluation_indices(3, 6, clips=10, sampling="dense").shape == (10, 6)


@pytest.mark.parametrize("how", [{}, {"short": "repeat"}, {"sampling": "dense"}])
def test_the_fewest_frames_are_what_evaluation_needs(how):
    fewest = fewest_frames(8, **how)
    assert evaluation_indices(fewest, 8, **how).shape == (1, 8)
    with pytest.raises(ValueError, match=f"at least {fewest} frames"):
        evaluation_indices(fewest - 1, 8, **how)


def test_crops_are_centred_or_random_but_one_place_a_clip():
    frames = coordinates()
    assert (crop(frames, 8)[:, :, 0, 0, 1:] == 2).all()
    corners = np.stack([crop(frames, 8, np.random.default_rng(seed))[:, :, 0, 0, 1:] for seed in range(50)])
    assert (corners == corners[:, :, :1]).all()
    assert set(np.unique(corners)) == {0, 1, 2, 3, 4}
