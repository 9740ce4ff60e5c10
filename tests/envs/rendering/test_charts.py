"""Charts of an episode: bars as long as the numbers say, lines at their heights."""

import numpy as np
import pytest
from PIL import Image

from envs.rendering.charts import COST, LINES, OUTCOME, draw_classes, draw_costs, draw_rewards, strongest

BOX = (20, 40, 160, 60)


def canvas() -> Image.Image:
    return Image.new("RGB", (340, 140), (255, 255, 255))


def column(picture: Image.Image, x: int, colour) -> np.ndarray:
    """Rows of the box in which a column of pixels has a colour."""
    left, top, _, height = BOX
    inside = np.asarray(picture)[top : top + height + 1, left + x]
    return np.flatnonzero((np.abs(inside.astype(int) - colour) < 12).all(-1))


def test_the_label_comes_first_and_then_what_was_probable_at_any_frame():
    probabilities = np.array([[0.1, 0.7, 0.05, 0.05, 0.05, 0.05], [0.1, 0.0, 0.1, 0.2, 0.3, 0.3]])
    assert strongest(probabilities, 2) == [2, 1, 4, 5]
    assert strongest(probabilities, None) == [1, 4, 5, 3]
    assert strongest(probabilities[:, :2], 0) == [0, 1]


@pytest.mark.parametrize("until", [1, 2, 4])
def test_lines_stand_at_their_probabilities_and_end_with_the_frames_shown(until):
    probabilities = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1], [0.25, 0.75]])
    picture = canvas()
    draw_classes(picture, BOX, probabilities, ["one", "two"], 0, until=until, room=160)
    for t in range(4):
        rows = column(picture, round((t + 0.5) * 40), LINES[0])
        assert bool(len(rows)) == (t < until)
        if t < until:
            assert rows.mean() == pytest.approx((1 - probabilities[t, 0]) * 59, abs=3)


def test_names_beside_the_lines_do_not_cover_each_other():
    picture = canvas()
    draw_classes(picture, BOX, np.full((4, 4), 0.25), ["a", "b", "c", "d"], 0, until=4, room=160)
    beside = np.asarray(picture)[:, BOX[0] + BOX[2] + 8 : BOX[0] + BOX[2] + 20]
    marks = [np.flatnonzero((beside == colour).all(-1).all(1)) for colour in LINES]
    assert all(len(rows) for rows in marks)
    middles = sorted(rows.mean() for rows in marks)
    assert min(np.diff(middles)) > 13


def test_a_name_stands_at_its_line_while_others_crowd_elsewhere():
    picture, probabilities = canvas(), np.tile([0.95, 0.02, 0.02, 0.01], (4, 1))
    draw_classes(picture, BOX, probabilities, ["a", "b", "c", "d"], 0, until=4, room=160)
    beside = np.asarray(picture)[:, BOX[0] + BOX[2] + 8 : BOX[0] + BOX[2] + 20]
    rows = np.flatnonzero((beside == LINES[0]).all(-1).all(1))
    assert rows.mean() == pytest.approx(BOX[1] + 0.05 * BOX[3], abs=3)


def test_columns_are_as_high_as_costs_and_a_dear_frame_rescales_them():
    picture = canvas()
    draw_costs(picture, BOX, np.array([0.25, 1.0, 0.5, 0.0]), until=3)
    found = [len(column(picture, x, COST)) for x in (37, 77, 117, 157)]
    assert found == [16, 61, 31, 0]  # the lowest row is the foot
    picture = canvas()
    draw_costs(picture, BOX, np.array([2.0, 1.0]), until=2)
    assert [len(column(picture, x, COST)) for x in (2, 82)] == [61, 31]


@pytest.mark.parametrize("verdict", [-3.0, 1.0, 0.0])
def test_rewards_hang_from_the_line_of_zero_with_the_outcome_on_the_last(verdict):
    picture = canvas()
    draw_rewards(picture, BOX, [-0.5, -1.0, -0.5 + verdict], verdict, ["a", "b", "c"])
    costs = [len(column(picture, x, COST)) for x in (20, 75, 130)]
    assert costs[0] == pytest.approx(costs[1] / 2, abs=2)
    outcome = column(picture, 130, OUTCOME)
    assert len(outcome) == pytest.approx(costs[1] * abs(verdict), abs=4) if verdict else not len(outcome)
    below = column(picture, 75, COST).mean()
    if verdict:
        assert (outcome.mean() > below) == (verdict < 0)


def test_an_episode_that_cost_nothing_is_drawn():
    picture = canvas()
    draw_rewards(picture, BOX, [0.0], 0.0, ["a"])
    draw_costs(picture, BOX, np.zeros(1), until=1)
    assert not len(column(picture, 5, COST))
