import pytest

from experiments.analysis.tables import WIDTH, as_markdown, as_text, in_lines

HEADER = ["method", "cost weight", *(f"figure number {number}" for number in range(9))]
ROWS = [[name, weight, *["0.123 [0.120, 0.126]"] * 9] for name in ("one", "a long name of a method") for weight in "12"]


def test_markdown_has_a_line_a_row():
    assert as_markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_aligned_markdown_says_the_same():
    lines = as_markdown(HEADER, ROWS, aligned=True).splitlines()
    assert len({len(line) for line in lines}) == 1
    plain = as_markdown(HEADER, ROWS).splitlines()
    assert [line.split() for line in lines[2:]] == [line.split() for line in plain[2:]]


@pytest.mark.parametrize("width", [80, 100])
def test_text_is_split_rather_than_wrapped(width):
    text = as_text(HEADER, ROWS, names=2, width=width)
    assert max(map(len, text.splitlines())) <= width
    parts = text.split("\n\n")
    assert len(parts) > 1
    for part in parts:
        assert part.startswith("method")
        assert "cost weight" in part
        assert len(part.splitlines()) == 2 + len(ROWS)
    assert all(text.count(cell) == 1 for cell in HEADER[2:])
    assert len(as_text(HEADER, ROWS, width=1000).split("\n\n")) == 1


def test_the_width_is_that_of_the_terminal_or_else_fits_most(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert as_text(HEADER, ROWS) == as_text(HEADER, ROWS, width=400)
    monkeypatch.setenv("COLUMNS", "0")  # no terminal says its own
    assert as_text(HEADER, ROWS) == as_text(HEADER, ROWS, width=WIDTH)


@pytest.mark.parametrize("width", [40, 100])
def test_sentences_fit_their_place_and_say_the_same(width):
    text = "A title:\n\n- " + "some words of a bullet " * 20 + "\n- the next one\n\n" + "words without an end " * 12
    lines = in_lines(text, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(lines).split() == text.split()
    assert [line for line in lines if line.startswith("- ")] == [lines[2], "- the next one"]
    assert lines[3].startswith("  ")  # the bullet goes on under its text
    assert lines[:2] == ["A title:", ""]
