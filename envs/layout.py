"""The former place of ``envs/spaces.py``; its names go on for this release."""

from __future__ import annotations

import warnings

from envs import spaces

MOVED = {"Layout": "StepLayout", "Rows": "Rows", "ORDERS": "ORDERS"}


def __getattr__(name: str) -> object:
    if name not in MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"envs.layout.{name} is envs.spaces.{MOVED[name]} now; the old name goes with the next release",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(spaces, MOVED[name])
