"""Pictures of predictions: sizes, colours where the decisions are known, bars as long as the numbers say."""

import numpy as np
import pytest
from fusion_cases import T, tiny_backbone

from backbone import Decision, Site
from envs.rendering.episodes import COLOURS
from envs.rendering.overlay import CHART, COST, MARGIN, NAMES, PANEL, PICTURE, PROBABILITY, SHARES, draw_overlay

SITES = tiny_backbone().sites
CLASSES = ("left", "right", "up", "down")
MAP_WIDTH = PANEL - NAMES - SHARES - 12


def draw(shape=(16, 16), sites=SITES, decisions=None, probabilities=None, costs=None, classes=CLASSES, title="clip"):
    frames = np.stack([np.full((*shape, 3), 40 * t + 20, np.uint8) for t in range(T)])
    decisions = [np.full((T, site.decisions), Decision.SKIP) for site in sites] if decisions is None else decisions
    probabilities = np.tile(np.eye(len(classes))[0], (T, 1)) if probabilities is None else probabilities
    costs = np.full(T, 0.5) if costs is None else costs
    return draw_overlay(frames, sites, decisions, probabilities, costs, classes, title)


def right_of(pictures: np.ndarray) -> int:
    """Where the panel beside the video begins."""
    return pictures.shape[2] - MARGIN - PANEL


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Pixels of a colour in each row."""
    return (picture == colour).all(-1).sum(1)


@pytest.mark.parametrize("shape", [(16, 16), (9, 16), (16, 9), (301, 403), (4, 400)])
def test_a_picture_a_frame_of_even_size(shape):
    pictures = draw(shape)
    assert (pictures.dtype, len(pictures), pictures.shape[3]) == (np.uint8, T, 3)
    assert pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0


@pytest.mark.parametrize(("shape", "expected"), [((16, 16), 1.0), ((12, 16), 4 / 3), ((16, 8), 0.5)])
def test_the_frame_keeps_its_shape_and_is_the_right_one(shape, expected):
    for t, picture in enumerate(draw(shape)):
        shown = (picture == 40 * t + 20).all(-1)
        rows, columns = np.flatnonzero(shown.sum(1) > 50), np.flatnonzero(shown.sum(0) > 50)
        assert len(rows) == PICTURE
        assert len(columns) / len(rows) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("decision", list(Decision))
def test_the_map_shows_the_decisions_of_its_own_frame(decision):
    other = Decision((decision + 1) % 3)
    decisions = [np.full((T, site.decisions), other) for site in SITES]
    for chosen in decisions:
        chosen[1] = decision
    pictures = draw(decisions=decisions)
    area = slice(right_of(pictures) + NAMES, None)
    for t, picture in enumerate(pictures):
        shown = COLOURS[decision if t == 1 else other]
        whole = count(picture[:, area], shown) == MAP_WIDTH + SHARES
        assert np.diff(np.flatnonzero(np.diff(whole.astype(int))))[::2].tolist() == [60] * len(SITES)


def test_channels_stand_from_left_to_right_and_their_shares_beside_them():
    site = Site(0, "conv", 3, 4, 4, 1)
    chosen = np.tile([Decision.SKIP, Decision.USE, Decision.REUSE, Decision.USE], (T, 1))
    picture = draw(sites=[site], decisions=[chosen])[0]
    row = picture[np.argmax(count(picture, COLOURS[Decision.USE]))][-MARGIN - PANEL + NAMES :]
    middles = [round((i + 0.5) * MAP_WIDTH / 4) for i in range(4)]
    assert [tuple(row[place]) for place in middles] == [COLOURS[decision] for decision in chosen[0]]
    shares = row[MAP_WIDTH + 12 :][:SHARES]
    expected = [Decision.USE] * (SHARES // 2) + [Decision.REUSE] * (SHARES // 4) + [Decision.SKIP] * (SHARES // 4)
    assert [tuple(pixel) for pixel in shares] == [COLOURS[decision] for decision in expected]


def test_wide_sites_are_mixed_and_leave_no_channel_out():
    site = Site(0, "conv", 3, 2048, 2048, 1)
    chosen = np.full((T, 2048), Decision.SKIP)
    plain = draw(sites=[site], decisions=[chosen])
    for channel in (0, 777, 2047):
        chosen[0] = Decision.SKIP
        chosen[0, channel] = Decision.USE
        assert (draw(sites=[site], decisions=[chosen])[0] != plain[0]).any()


@pytest.mark.parametrize("sites", [1, 16, 66, 200])
def test_every_site_has_a_row(sites):
    many = [Site(i, f"layer{i}", 3, 8, 8, 1) for i in range(sites)]
    pictures = draw(sites=many, decisions=[np.full((T, 8), Decision.USE)] * sites)
    whole = count(pictures[0][:, right_of(pictures) + NAMES :], COLOURS[Decision.USE]) == MAP_WIDTH + SHARES
    assert (np.diff(whole.astype(int)) == 1).sum() == sites


def test_bars_are_as_long_as_probabilities_and_sorted():
    probabilities = np.tile([0.1, 0.6, 0.05, 0.25], (T, 1))
    lengths = count(draw(probabilities=probabilities)[0], PROBABILITY)
    found = list(dict.fromkeys(lengths[lengths > 0].tolist()))
    assert found == [round(share * PANEL) for share in (0.6, 0.25, 0.1)]


def test_fewer_classes_than_bars_are_no_trouble():
    assert draw(classes=("one",)).shape == draw(classes=("one",), title="").shape


def test_columns_of_cost_grow_frame_by_frame():
    pictures = draw(costs=np.array([0.25, 0.5, 1.0, 0.75]))
    heights = [(picture == COST).all(-1).any(1).sum() for picture in pictures]
    assert np.array(heights) / heights[2] == pytest.approx([0.25, 0.5, 1.0, 0.75], abs=0.02)


def test_a_cost_above_the_dense_cnns_stays_inside():
    pictures = draw(costs=np.array([0.5, 1.5, 0.5, 0.5]))
    assert pictures.shape == draw().shape
    heights = [(picture == COST).all(-1).any(1).sum() for picture in pictures]
    assert heights[1] == pytest.approx(CHART, abs=2)
    assert heights[0] == pytest.approx(CHART / 3, abs=2)


def test_long_names_stay_in_their_line():
    long = "Pretending to put something into something else because it does not fit " * 3
    plain, named = draw(classes=("a", *CLASSES[1:])), draw(classes=(long, *CLASSES[1:]))
    assert plain.shape == named.shape
    assert (named[:, :, -MARGIN:] == 255).all()


def test_names_beyond_english_are_written():
    first, second = draw(classes=("été", *CLASSES[1:])), draw(classes=("ñtñ", *CLASSES[1:]))
    assert (first != second).any()
