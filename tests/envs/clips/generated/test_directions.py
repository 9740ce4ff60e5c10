import numpy as np
import pytest

from envs.clips.generated.directions import CLASSES, REVERSED_CLASS, direction_of, label_of


@pytest.mark.parametrize("label", range(8))
def test_a_reversed_class_moves_the_other_way(label):
    reverse = REVERSED_CLASS[label]
    assert REVERSED_CLASS[reverse] == label
    np.testing.assert_array_equal(direction_of(reverse), -direction_of(label))


@pytest.mark.parametrize(("name", "x", "y"), [("right", 1, 0), ("up", 0, -1), ("down-left", -0.75, 0.75)])
def test_names_say_where_it_goes(name, x, y):
    np.testing.assert_array_equal(direction_of(CLASSES.index(name)), (x, y))


def test_every_class_has_its_share():
    assert [label_of(clip, paired=False) for clip in range(16)] == [*range(8), *range(8)]
    for count in (8, 16, 40):
        labels = [label_of(clip, paired=True) for clip in range(count)]
        assert np.bincount(labels).tolist() == [count // 8] * 8
        assert [REVERSED_CLASS[label] for label in labels[::2]] == labels[1::2]
    assert {label_of(clip, paired=True) for clip in range(0, 16, 2)} == set(range(8))  # every class is an original too
