"""A bar on a terminal; where there is none, a line every so many seconds, and nothing of what is over sooner."""

import io
import re
import time
from contextlib import redirect_stderr

import pytest

from backbone.common import progress
from backbone.common.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def said(request, monkeypatch):
    """What stderr takes: no terminal, unless the test asks for one."""
    monkeypatch.setattr(progress, "EVERY", 0.05)
    return getattr(request, "param", io.StringIO)()


def test_lines_come_at_their_interval_and_end_where_they_end(said):
    with redirect_stderr(said), Bar(total=40, desc="pretraining", unit="batch") as bar:
        for step in range(40):
            time.sleep(0.005)
            bar.update()
            bar.set_postfix(loss=f"{step / 7:.2f}")
    lines = said.getvalue().splitlines()
    assert 1 <= len(lines) <= 5
    assert all(
        re.fullmatch(r"pretraining: \d+ of 40 \(batch\) after \S+, \S+ left(, loss=.*)?", line) for line in lines
    )
    assert "\r" not in said.getvalue()


def test_what_is_over_soon_says_nothing(said):
    with redirect_stderr(said):
        assert list(Bar(range(5), desc="soon")) == [0, 1, 2, 3, 4]
    assert said.getvalue() == ""


@pytest.mark.parametrize("said", [io.StringIO, Terminal], indirect=True)
def test_what_is_to_be_quiet_is(said):
    with redirect_stderr(said):
        for _ in Bar(range(20), disable=True):
            time.sleep(0.005)
    assert said.getvalue() == ""


@pytest.mark.parametrize("said", [Terminal], indirect=True)
def test_a_terminal_has_a_bar(said):
    with redirect_stderr(said):
        assert list(Bar(range(3), desc="here")) == [0, 1, 2]
    assert "\r" in said.getvalue()
    assert "100%" in said.getvalue()
