"""Lines of text: their width, their place, their colour."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from envs.rendering.text import font, shorten, write


def written(text: str, **kwargs) -> np.ndarray:
    canvas = Image.new("RGB", (200, 40), (255, 255, 255))
    write(ImageDraw.Draw(canvas), (100, 20), text, 15, **kwargs)
    return np.asarray(canvas)


@pytest.mark.parametrize("width", [5, 40, 90, 1000])
def test_a_shortened_line_fits_and_says_that_it_was_cut(width):
    text = "moving something\nfrom left to right"
    found = shorten(text, width, 15)
    assert font(15).getlength(found) <= max(width, font(15).getlength("…"))
    whole = found == "moving something from left to right"
    assert whole == (width == 1000)
    assert whole or found.endswith("…")


@pytest.mark.parametrize(("anchor", "columns", "rows"), [("la", 100, 20), ("rs", -100, -20), ("mm", 0, 0)])
def test_text_stands_where_its_anchor_says(anchor, columns, rows):
    dark = np.argwhere((written("some text", anchor=anchor) < 128).any(-1))
    (top, left), (bottom, right) = dark.min(0), dark.max(0)
    if columns > 0:
        assert 99 <= left <= 103
        assert top >= 20
    elif columns < 0:
        assert 96 <= right <= 100
        assert bottom <= 20
    else:
        assert abs((left + right) / 2 - 100) <= 2
        assert abs((top + bottom) / 2 - 20) <= 3


def test_text_has_its_colour_and_repeats_itself():
    red = written("word", colour=(255, 0, 0))
    assert (red == (255, 0, 0)).all(-1).any()
    np.testing.assert_array_equal(red, written("word", colour=(255, 0, 0)))
    assert (red != written("word", colour=(255, 0, 0), bold=True)).any()


def test_an_empty_line_writes_nothing():
    assert (written("") == 255).all()
