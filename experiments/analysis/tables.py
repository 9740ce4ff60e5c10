"""Tables as cells of text, and cells as Markdown or as aligned columns that fit their place."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

WIDTH = 100  # of text where no terminal says its own


def as_markdown(header: Sequence[str], rows: Sequence[Sequence[str]], *, aligned: bool = False) -> str:
    """A table of Markdown.

    :param aligned: pad the cells, so that it reads well on a terminal, too
    """
    lines = [header, ["---"] * len(header), *rows]
    if aligned:
        widths = _widths([header, *rows])
        lines = [[cell.ljust(width) for cell, width in zip(row, widths)] for row in (header, *rows)]
        lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_text(header: Sequence[str], rows: Sequence[Sequence[str]], *, names: int = 1, width: int | None = None) -> str:
    """Aligned columns; those that do not fit beside each other stand below, each part with the columns that name a row.

    :param names: how many columns name a row
    :param width: letters in a line, by default what the terminal has
    """
    width = width or shutil.get_terminal_size((WIDTH, 24)).columns
    columns = list(zip(header, *rows))
    taken = _widths([header, *rows])
    parts: list[list[int]] = []
    room = 0
    for number in range(names, len(columns)):
        if not parts or taken[number] + 2 > room:
            parts.append(list(range(names)))
            room = width - sum(taken[:names]) - 2 * (names - 1)
        parts[-1].append(number)
        room -= taken[number] + 2
    return "\n\n".join(_aligned([columns[number] for number in part]) for part in parts or [list(range(names))])


def in_lines(text: str, *, width: int | None = None) -> str:
    """Sentences, and bullets of them, in lines that fit their place.

    :param width: as in ``as_text``
    """
    width = width or shutil.get_terminal_size((WIDTH, 24)).columns
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent="  " * line.startswith("- "), break_on_hyphens=False)
        for line in text.split("\n")
    )


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows)]


def _aligned(columns: Sequence[Sequence[str]]) -> str:
    wide = [max(map(len, column)) for column in columns]
    lines = ["  ".join(cell.ljust(room) for cell, room in zip(row, wide)).rstrip() for row in zip(*columns)]
    return "\n".join([lines[0], "-" * (sum(wide) + 2 * (len(wide) - 1)), *lines[1:]])
