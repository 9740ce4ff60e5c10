"""The order of clips: whole passes, however they are cut, and resumed by a position."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.clips.sampler import ClipSampler

sizes = st.integers(1, 12)
seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=40, deadline=None)


@given(sizes, seeds, st.lists(st.integers(1, 7), min_size=1, max_size=8))
@quick
def test_every_pass_takes_each_clip_once_however_it_is_cut(size, seed, counts):
    sampler = ClipSampler(size, seed=seed)
    taken = np.concatenate([sampler.take(count)[0] for count in counts])
    for start in range(0, len(taken) - size + 1, size):
        assert sorted(taken[start : start + size]) == list(range(size))
    whole, _ = ClipSampler(size, seed=seed).take(len(taken))
    assert taken.tolist() == whole.tolist()


@given(sizes, seeds, st.integers(0, 30), st.integers(1, 7))
@quick
def test_a_sampler_is_resumed_by_its_position(size, seed, position, count):
    sampler = ClipSampler(size, seed=seed)
    if position:
        sampler.take(position)
    resumed = ClipSampler(size, seed=seed)
    resumed.position = position
    (indices, rng), (again, again_rng) = sampler.take(count), resumed.take(count)
    assert indices.tolist() == again.tolist()
    assert rng.random() == again_rng.random()


def test_passes_and_seeds_are_shuffled_differently():
    taken = ClipSampler(100, seed=0).take(200)[0].reshape(2, 100).tolist()
    other = ClipSampler(100, seed=1).take(100)[0].tolist()
    assert taken[0] != taken[1]
    assert taken[0] != other
    assert taken[0] != sorted(taken[0])


def test_batches_draw_different_segments():
    sampler = ClipSampler(5, seed=0)
    assert sampler.take(5)[1].random() != sampler.take(5)[1].random()


def test_without_shuffling_clips_come_in_their_own_order():
    assert ClipSampler(3, seed=9, shuffle=False).take(7)[0].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_what_is_done_to_a_batch_leaves_the_order_alone():
    indices, _ = ClipSampler(5, seed=3).take(5)
    kept = indices.tolist()
    indices[:] = 0
    assert ClipSampler(5, seed=3).take(5)[0].tolist() == kept
