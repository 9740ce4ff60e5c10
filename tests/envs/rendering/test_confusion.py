import numpy as np
import pytest

from envs.rendering.charts import PAPER
from envs.rendering.confusion import EDGE, RIGHT, THINNEST, WRONG, draw_confusion, side_by_side

NAMES = ("run", "walk", "a name that is too long for the margin of a picture")


def shows(picture, colour):
    return bool((picture == colour).all(-1).any())


def test_right_is_blue_and_wrong_is_red():
    right, wrong = (
        draw_confusion(np.diag([3, 2, 1]), NAMES),
        draw_confusion(np.array([[0, 3, 0], [2, 0, 0], [0, 1, 0]]), NAMES),
    )
    assert (shows(right, RIGHT), shows(right, WRONG)) == (True, False)
    assert (shows(wrong, RIGHT), shows(wrong, WRONG)) == (False, True)
    assert right.dtype == np.uint8
    assert right.shape == wrong.shape


def test_shares_are_of_a_row():
    one, many = (draw_confusion(counts, NAMES) for counts in (np.diag([1, 1, 1]), np.diag([9, 9, 9])))
    difference = np.flatnonzero((one != many).any((1, 2)))
    assert 0 < len(difference) < 60  # the numbers alone


def test_a_class_without_clips_is_empty():
    assert shows(draw_confusion(np.diag([1, 0, 0]), NAMES), RIGHT)
    assert not shows(draw_confusion(np.zeros((3, 3), int), NAMES), RIGHT)


@pytest.mark.parametrize("classes", [1, 2, 20, 30, 174])
def test_it_has_room_for_any_number_of_classes(classes):
    picture = draw_confusion(np.eye(classes, dtype=int), [f"class {k}" for k in range(classes)], title="x " * 400)
    assert min(picture.shape[:2]) >= classes * THINNEST + 2 * EDGE
    assert max(picture.shape[:2]) < 800
    for border in (picture[: EDGE // 2], picture[:, : EDGE // 2], picture[-EDGE // 2 :], picture[:, -EDGE // 2 :]):
        assert (border == PAPER).all()


def test_panels_of_any_size_stand_in_rows():
    one, two = np.zeros((3, 4, 3), np.uint8), np.zeros((5, 2, 3), np.uint8)
    whole = side_by_side([[one, None], [two, one]])
    assert whole.shape == (10, 8, 3)
    assert (whole == 0).all(-1).sum() == 12 + 10 + 12
