import numpy as np
import pytest
from sampling_cases import coordinates

from envs.clips import ArrayClips, ClipError


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
    source = ArrayClips(
        frames, labels, "abcd", reversals=[1, 0, 3, 2], reversed_class=(1, 0, 3, 2), groups=["x", "y", "x", "y"]
    )
    part = source.subset([3, 0, 2])
    assert len(part) == 3
    np.testing.assert_array_equal(part.labels, [3, 0, 2])
    np.testing.assert_array_equal(part.reversals, [2, -1, 0])
    assert part.names == ["3", "0", "2"]
    np.testing.assert_array_equal(part.groups, [1, 0, 0])
    np.testing.assert_array_equal(part.frames([0, 2]), frames[[3, 2]])
    assert part.data_hash != source.data_hash
    np.testing.assert_array_equal(part.subset([1, 2]).reversals, [-1, -1])
    np.testing.assert_array_equal(part.subset([1, 2]).groups, [0, 0])
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
