"""Pictures of episodes: sizes, and colours where the decisions are known."""

import numpy as np
import pytest
from conftest import T, tiny_backbone

from backbone import Decision
from envs.render import CELL, COLOURS, GAP, INK, MARGIN, ROW, UNDECIDED, draw_episode

FRAMES = np.stack([np.full((8, 8, 3), 40 * t + 20, np.uint8) for t in range(T)])
SITES = tiny_backbone().sites


def tops(caption: bool = False) -> list[int]:
    """Where each site's map begins."""
    result = [(18 if caption else 0) + CELL + GAP]
    for site in SITES[:-1]:
        result.append(result[-1] + max(24, ROW * site.decisions) + GAP)
    return result


def pixel(picture: np.ndarray, site: int, t: int, decision: int) -> tuple[int, ...]:
    """The middle of one decision's cell."""
    height = max(24, ROW * SITES[site].decisions) - 1
    row = tops()[site] + 1 + int((decision + 0.5) * height / SITES[site].decisions)
    return tuple(picture[row, MARGIN + t * CELL + CELL // 2])


def test_colours_are_distinct_from_each_other_and_from_what_is_undecided():
    assert len({*COLOURS.values(), UNDECIDED, INK}) == len(Decision) + 2
    assert set(COLOURS) == set(Decision)


def test_lightness_alone_tells_the_decisions_apart():
    """As in print: Rec. 601 luma, at least a tenth of the scale apart."""
    luma = sorted(np.array(list(COLOURS.values())) @ (0.299, 0.587, 0.114))
    assert min(np.diff(luma)) > 25


@pytest.mark.parametrize("order", ["frame", "site"])
def test_every_decision_has_its_colour_in_its_cell(order):
    rng = np.random.default_rng(0)
    chosen = [rng.integers(0, 3, (T, site.decisions)) for site in SITES]
    if order == "site":
        steps = [(site, 0, table) for site, table in enumerate(chosen)]
    else:
        steps = [(site, t, table[t : t + 1]) for t in range(T) for site, table in enumerate(chosen)]
    picture = draw_episode(FRAMES, SITES, steps)
    for site, table in enumerate(chosen):
        for (t, decision), value in np.ndenumerate(table):
            assert pixel(picture, site, t, decision) == COLOURS[Decision(value)]


def test_what_is_not_decided_yet_stays_white():
    picture = draw_episode(FRAMES, SITES, [(0, 1, np.full((1, SITES[0].decisions), Decision.USE))])
    assert pixel(picture, 0, 1, 0) == COLOURS[Decision.USE]
    assert pixel(picture, 0, 0, 0) == UNDECIDED
    assert pixel(picture, 1, 1, 0) == UNDECIDED


@pytest.mark.parametrize("caption", ["", "label x"])
def test_the_picture_has_room_for_all_and_is_uint8(caption):
    picture = draw_episode(FRAMES, SITES, [], caption)
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (MARGIN + T * CELL + GAP, 3)
    assert picture.shape[0] > tops(bool(caption))[-1] + 24


def test_the_frames_stand_above_their_columns():
    picture = draw_episode(FRAMES, SITES, [])
    for t in range(T):
        assert tuple(picture[CELL // 2, MARGIN + t * CELL + CELL // 2]) == (40 * t + 20,) * 3


def test_the_legend_shows_all_three_colours():
    legend = draw_episode(FRAMES, SITES, [])[tops()[-1] + 24 + GAP :]
    for colour in COLOURS.values():
        assert (legend == colour).all(-1).any()


def test_a_caption_puts_ink_above_the_frames():
    plain, captioned = (draw_episode(FRAMES, SITES, [], caption) for caption in ("", "label left"))
    assert captioned[:18].min() < 128  # letters are smoothed
    np.testing.assert_array_equal(captioned[18:], plain)


def test_wide_sites_get_a_row_of_pixels_for_every_decision():
    sites = tiny_backbone("basic", sites=["layer1.0"]).sites
    wide = [type(sites[0])(0, "wide", 3, 100, 100, 1)]
    turns = np.arange(100)[None] % 3
    column = draw_episode(FRAMES, wide, [(0, 0, turns)])[CELL + GAP + 1 :, MARGIN + 10][: ROW * 100 - 1]
    changes = (column[1:] != column[:-1]).any(-1).sum()
    assert changes == 99
