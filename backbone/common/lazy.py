"""Packages whose names are imported when they are first used (PEP 562), so that naming a package costs no torch."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from backbone.common.deprecation import moved_names


def lazy_names(
    package: str, *, moved: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__, __dir__ = lazy_names(__name__)`` in a package's ``__init__.py`` that lists its names so::

        if TYPE_CHECKING:
            from package.module import Name

    Type checkers and editors read that list as it stands, and so does this function: it is declared nowhere else. The
    package's modules are found too, ``package.module`` without an import of its own.

    :param moved: former names, as ``moved_names`` takes them
    """
    module = sys.modules[package]
    former = moved_names(package, moved or {})
    where = _listed(inspect.getsource(module))

    def __getattr__(name: str) -> Any:
        if name in where:
            value = getattr(import_module(where[name]), name)
        elif not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            value = import_module(f"{package}.{name}")
        else:
            return former(name)
        setattr(module, name, value)  # the next use does not come here
        return value

    return __getattr__, lambda: sorted({*vars(module), *where})


def _listed(source: str) -> dict[str, str]:
    """Every name imported under ``if TYPE_CHECKING:`` -> its module."""
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    lines = [line for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING" for line in block.body]
    imports = [line for line in lines if isinstance(line, ast.ImportFrom)]
    return {alias.name: line.module for line in imports if line.module is not None for alias in line.names}
