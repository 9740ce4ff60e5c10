"""What an option may be: its type, and the range that its declaration gives. Checked wherever options are made, be it from a
command line, from a run's config.json or in a program."""

from __future__ import annotations

import math
import types
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Within:
    """A number from ``low`` to ``high``, both included: ``Annotated[int, Within(1, 9)]``."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = (
            f"{end:g}" if abs(end) < 1e5 else f"{end:.0e}".replace("e+0", "e") for end in (self.low, self.high)
        )
        return f"from {low} to {high}"


AtLeast1 = Annotated[int, Within(1, 10**12)]
AtLeast0 = Annotated[int, Within(0, 10**12)]
Batch = Annotated[int, Within(1, 10**6)]
"""What is in memory at once."""
Pixels = Annotated[int, Within(1, 8192)]
Frames = Annotated[int, Within(1, 4096)]
Cores = Annotated[int, Within(0, 1024)]
Units = Annotated[int, Within(1, 10**5)]
Seed = Annotated[int, Within(0, 2**31 - 1)]
"""What every library's generator takes."""
Share = Annotated[float, Within(0, 1)]
Percent = Annotated[float, Within(0, 100)]
Weight = Annotated[float, Within(0, 10**6)]
"""Of a cost: never a reward for it."""
Rate = Annotated[float, Within(0, 100)]
"""Of learning, or in proportion to another."""


class Checked:
    """A dataclass of options, each of which is what its declaration says.

    :raises ValueError: an option of another type, out of its range, no number or not finite, or text that no file or name can
        have
    """

    def __post_init__(self) -> None:
        for name, expected, value in _wrong(self):
            raise ValueError(f"expected --{name} {expected}, got {_shown(value)}")


def _wrong(options: object, prefix: str = "") -> list[tuple[str, str, object]]:
    """(name, what was expected, value) of each option that is not what it may be."""
    found = []
    for name, hint in _hints(type(options)).items():  # type: ignore[arg-type]  # of cached functions mypy asks for a Hashable
        value = getattr(options, name)
        if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, hint):
            found += _wrong(value, f"{prefix}{name}.")
        elif expected := _expected(hint, value):
            found.append((f"{prefix}{name}".replace("_", "-"), expected, value))
    return found


@cache
def _hints(kind: Any) -> dict[str, Any]:
    names = {option.name for option in fields(kind)}
    return {name: hint for name, hint in get_type_hints(kind, include_extras=True).items() if name in names}


def _expected(hint: Any, value: Any) -> str | None:
    """What a value that does not fit should be, in words behind the option's name; None where it fits."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        ranges = [extra for extra in inner[1:] if isinstance(extra, Within)]
        return _expected(inner[0], value) or next((str(r) for r in ranges if not r.low <= value <= r.high), None)
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in inner:
            return None
        return _first(_expected(kind, value) for kind in inner if kind is not types.NoneType)
    if origin is Literal:
        return None if value in inner else f"to be one of {', '.join(map(str, inner))}"
    if origin in (tuple, list):
        if not isinstance(value, tuple | list):
            return "to be a list"
        kinds = inner if origin is tuple and inner[-1] is not Ellipsis else (inner[0],) * len(value)
        if len(kinds) != len(value):
            return f"to be {len(kinds)} values"
        return next((said for kind, each in zip(kinds, value) if (said := _expected(kind, each))), None)
    return _expected_plain(hint, value)


def _first(expected: Any) -> str | None:
    """Of the kinds that a value may have: None if it fits one."""
    said = list(expected)
    return None if None in said else said[0]


def _expected_plain(kind: Any, value: Any) -> str | None:
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number and math.isfinite(value) else "to be a finite number"
    if kind is int:
        return None if type(value) is int else "to be a whole number"
    if kind in (str, Path):
        if not isinstance(value, kind):
            return "to be a path" if kind is Path else "to be a text"
        return None if "\0" not in str(value) and str(value) else "to be a text without NUL that is not empty"
    return None if not isinstance(kind, type) or isinstance(value, kind) else f"to be of type {kind.__name__}"


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 300:
        return f"a number of {value.bit_length()} bits"
    text = ascii(value) if isinstance(value, str | Path) and "\0" in str(value) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
