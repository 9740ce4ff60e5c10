"""How far something long has come: a bar on a terminal, a line every ten seconds where there is none."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

EVERY = 10.0  # seconds
LINE = "{desc}: {n_fmt} of {total_fmt} ({unit}) after {elapsed}, {remaining} left{postfix}"


class Bar(tqdm):
    """tqdm's bar. Where stderr is no terminal (a log file, a batch job) it says a line every ten seconds in its place.

    :param disable: True says nothing at all
    """

    disable: bool

    def __init__(self, *arguments: Any, disable: bool | None = None, **options: Any) -> None:
        self.in_lines = disable is None and not sys.stderr.isatty()
        if self.in_lines:
            options |= {
                "mininterval": EVERY,
                "maxinterval": EVERY,
                "miniters": 1,
                "delay": EVERY,
                "bar_format": LINE,
                "leave": False,
            }
        super().__init__(*arguments, disable=False if self.in_lines else disable, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar, or write the line."""
        if not self.in_lines:
            return super().display(msg, pos)
        if msg is None:
            print(str(self).strip().removeprefix(": "), file=sys.stderr, flush=True)
        return True

    def close(self) -> None:
        """Take the bar off; of lines nothing is to be taken off."""
        if self.in_lines and not self.disable:
            self.disable = True
            self._decr_instances(self)
        super().close()

    def set_postfix(self, *arguments: Any, refresh: bool = True, **options: Any) -> None:
        """The same, without a line of its own."""
        super().set_postfix(*arguments, refresh=refresh and not self.in_lines, **options)
