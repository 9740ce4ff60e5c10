"""Which clips were cut from one source: `groups.csv` beside the videos, or a pattern of their names.

Clips of one source share its place, its people, its camera: they are no independent evidence, and must not stand on both
sides of a split. `groups.csv` has lines `path,group`, with or without that header; a path is relative to the folder of the
file, with or without the suffix of the video. A pattern is a regular expression that is searched for in a clip's name,
without folder and suffix, and whose first pair of parentheses holds the source's name.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from envs.clips.datasets.reading import VIDEO_SUFFIXES, inside, parse_each, quoted, read_lines
from envs.clips.source import ClipError

GROUPS = "groups.csv"
HEADER = ("path", "group")


class Groups(NamedTuple):
    """The groups of N clips.

    :param of: (N,) the group of each; a clip that nothing names is a group of its own, called by its path.
    :param unnamed: how many these are.
    :param strays: paths of `groups.csv` that are none of the clips.
    """

    of: tuple[str, ...]
    unnamed: int
    strays: tuple[str, ...] = ()

    def remark(self) -> str:
        """What is to be said of clips that nothing names, and of paths that name nothing; else ""."""
        said = []
        if self.unnamed:
            said.append(
                f"{self.unnamed} of {len(self.of)} clips are named by no group: each counts as a source of its own."
            )
        if self.strays:
            said.append(
                f"{len(self.strays)} paths in {GROUPS} are none of the clips, the first being {self.strays[0]}."
            )
        return " ".join(said)


def find_groups(
    root: Path, paths: Sequence[str], pattern: str | None = None, *, bad: list[ClipError] | None = None
) -> Groups | None:
    """The groups of clips: by the pattern if there is one, else by `groups.csv`; None where there is neither.

    :param paths: of the N clips, relative to the root.
    :param bad: takes an error for each line of `groups.csv` that cannot be used; None raises the first.
    :raises ClipError: when the pattern is none, or fits no name.
    """
    if pattern is not None:
        return _by_pattern(root, paths, pattern)
    file = root / GROUPS
    if not file.is_file():
        return None
    named = read_groups(file, bad=bad)
    keys = [path if path in named else without_suffix(path) for path in paths]
    known = set(keys)
    found = tuple(named.get(key, path) for key, path in zip(keys, paths))
    unnamed = sum(key not in named for key in keys)
    return Groups(found, unnamed, tuple(path for path in named if path not in known))


def read_groups(file: Path, *, bad: list[ClipError] | None = None) -> dict[str, str]:
    """Path -> group, as `groups.csv` has them; paths are tidied, and have a suffix or not.

    :param bad: takes an error for each line that cannot be used, which is left out then; None raises the first.
    :raises ClipError: when the file cannot be read, or has no lines.
    """
    lines = read_lines(file)
    if lines and tuple(field.strip().lower() for field in lines[0][1].split(",")) == HEADER:
        lines = lines[1:]
    if not lines:
        raise ClipError(f"{file}: expected lines 'path,group', but there are none; fill or remove the file")
    named: dict[str, str] = {}

    def parse(line: str) -> None:
        try:
            fields = [field.strip() for field in next(csv.reader([line], strict=True))]
        except csv.Error:
            fields = []
        if len(fields) != 2 or not all(fields):
            raise ClipError(
                f"expected 'path,group', got {quoted(line)}; correct the line, a comma in a name needs quotes"
            )
        path, group = inside(fields[0], file.parent), fields[1]
        if named.setdefault(path, group) != group:
            raise ClipError(
                f"expected one group for {path}, got {quoted(named[path])} and {quoted(group)}; remove one of the lines"
            )

    list(parse_each(((f"{file}:{number}", line) for number, line in lines), parse, bad))
    return named


def without_suffix(path: str) -> str:
    """A path without the suffix of a video, if it has one."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix.lower() in VIDEO_SUFFIXES else path


def _by_pattern(root: Path, paths: Sequence[str], pattern: str) -> Groups:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ClipError(
            f"expected a regular expression as group pattern, got {pattern!r} ({error}); correct it"
        ) from error
    if not compiled.groups:
        raise ClipError(
            f"expected a group pattern whose parentheses hold the source's name, such as '(.*)_c\\d+', got {pattern!r}; "
            "put them around it"
        )
    found = [compiled.search(os.path.basename(without_suffix(path))) for path in paths]
    names = [match[1] if match else None for match in found]
    unnamed = sum(not name for name in names)
    if paths and unnamed == len(paths):
        raise ClipError(
            f"{root}: expected a group pattern that fits names such as {os.path.basename(without_suffix(paths[0]))!r}, "
            f"but {pattern!r} fits none of {len(paths)}; correct it"
        )
    return Groups(tuple(name or path for name, path in zip(names, paths)), unnamed)
