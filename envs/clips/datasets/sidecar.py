"""`dataset.json` beside lists: facts about the classes and the splits that lists have no place for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from envs.clips.datasets.reading import SIDECAR, check_names, quoted, read_json
from envs.clips.source import ClipError


class Sidecar(NamedTuple):
    """What a folder's `dataset.json` says; of what it does not say, nothing.

    :param classes: K names.
    :param reversed_class: for each class the class of its videos played backwards.
    :param paired: splits in which clips 2i and 2i+1 are each other's reversal.
    """

    classes: tuple[str, ...] | None = None
    reversed_class: tuple[int, ...] | None = None
    paired: tuple[str, ...] = ()


def read_sidecar(root: Path) -> Sidecar:
    """The file of a folder, or that of a folder without one; what else it holds is passed over.

    :raises ClipError: when a value is none that it can be.
    """
    file = root / SIDECAR
    if not file.is_file():
        return Sidecar()
    content = read_json(file, dict)
    classes, reverse = _list(file, content, "classes"), _list(file, content, "reversed_class")
    if classes is not None:
        check_names(file, classes)
    if reverse and (odd := [label for label in reverse if type(label) is not int]):
        raise ClipError(f"{file}: expected whole numbers as reversed_class, got {quoted(odd[0])}; correct or remove it")
    paired = _list(file, content, "paired") or []
    if odd := [split for split in paired if not isinstance(split, str)]:
        raise ClipError(f"{file}: expected names of splits as paired, got {quoted(odd[0])}; correct or remove it")
    return Sidecar(None if classes is None else tuple(classes), tuple(reverse) if reverse else None, tuple(paired))


def _list(file: Path, content: dict[str, Any], name: str) -> list[Any] | None:
    value = content.get(name)
    if value is None and (name != "classes" or name not in content):
        return None
    if not isinstance(value, list) or (name == "classes" and not value):
        raise ClipError(f"{file}: expected a list as {name}, got {quoted(value)}; correct or remove it")
    return value
