"""Names that have moved: the old ones go on working for a release, and say where the new ones are."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def moved_names(module: str, moved: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` (PEP 562) for names that live elsewhere now.

    :param module: its ``__name__``
    :param moved: old name -> "package.module.new_name"
    """

    def __getattr__(name: str) -> Any:
        if name not in moved:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, now = moved[name].rpartition(".")
        warnings.warn(f"{module}.{name} is {moved[name]} now", DeprecationWarning, stacklevel=2)
        return getattr(import_module(home), now)

    return __getattr__
