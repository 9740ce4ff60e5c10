"""The page: what the browser's test finds on it, and nothing that asks a network."""

import base64
import re

import pytest
from page_cases import Elements

from experiments.inspecting.page import Shown, data_uri, write_page

PNG, GIF = b"\x89PNG picture", b"GIF89a moving"
NASTY = "<b>&\"'</script>"


def episode(kind="clip", run="one", gif=GIF, **kwargs) -> Shown:
    given = {"name": "clip_0", "title": "clip 0: left", "png": PNG, "facts": {"label": "left"}, **kwargs}
    return Shown(kind=kind, run=run, gif=gif, **given)


def page(episodes=None, **kwargs) -> str:
    given = {
        "notes": ["A note."],
        "tables": {"Runs": (["run", "cost"], [["one", "0.5"]])},
        "front": PNG,
        "learning": "No.",
    }
    shown = [episode(), episode("failure"), episode("dearest")] if episodes is None else episodes
    return write_page("a run", episodes=shown, **{**given, **kwargs})


def test_it_has_the_elements_that_a_browser_is_to_find():
    elements = Elements(page())
    for name in ("table", "front", "learning", "episodes", "kind"):
        assert len(elements.by_id(name)) == 1
    assert [elements.by_id(name)[0][0] for name in ("next", "previous")] == ["button", "button"]
    figures = elements.figures()
    assert [figure["class"] for figure in figures] == ["episode shown", "episode", "episode"]
    assert [figure["data-kind"] for figure in figures] == ["clip", "failure", "dearest"]
    assert sum(tag == "img" for tag, _ in elements.found) == 3 + 1  # episodes and front
    assert sum(tag == "td" for tag, _ in elements.found) == 2


def test_it_asks_no_network_for_anything():
    text = page([episode(), episode(run="two", gif=None)])
    assert not re.search(r"(https?:)?//[a-z0-9]", text, re.IGNORECASE)
    assert "@import" not in text
    assert "url(" not in text
    for tag, given in Elements(text).found:
        for name in ("src", "href", "data-other", "srcset", "action", "poster"):
            assert given.get(name, "#").startswith(("data:", "#")), (tag, given)
        assert tag not in ("iframe", "object", "embed", "base")


def test_pictures_are_held_whole():
    for content, kind in ((PNG, "png"), (GIF, "gif")):
        found = data_uri(content)
        assert found.startswith(f"data:image/{kind};base64,")
        assert base64.b64decode(found.split(",")[1]) == content
    elements = Elements(page([episode(), episode(gif=None)]))
    images = [given for tag, given in elements.found if tag == "img" and "clip 0" in given["alt"]]
    assert [data_uri(GIF) == image.get("data-other") for image in images] == [True, False]


def test_what_is_missing_has_a_sentence_in_its_place():
    elements = Elements(page(front="Left out: why.", learning="No curve."))
    assert "Left out: why." in elements.text
    assert "No curve." in elements.text


@pytest.mark.parametrize("runs", [("one",), ("one", "two")])
def test_runs_are_told_apart_where_there_are_several(runs):
    elements = Elements(page([episode(run=run) for run in runs]))
    assert bool(elements.by_id("run")) == (len(runs) > 1)
    assert ("one: clip 0" in elements.text) == (len(runs) > 1)


def test_names_that_look_like_markup_are_text():
    shown = episode(run=NASTY, title=NASTY, facts={NASTY: NASTY})
    text = write_page(
        NASTY, notes=[NASTY], tables={NASTY: ([NASTY], [[NASTY]])}, front=NASTY, learning=NASTY, episodes=[shown]
    )
    elements = Elements(text)
    assert not [tag for tag, _ in elements.found if tag == "b"]
    assert text.count("</script>") == 1
    assert elements.figures()[0]["data-run"] == NASTY


def test_without_episodes_there_is_still_a_page():
    assert Elements(page([])).figures() == []
