"""A folder for each class: `<class>/*.mp4`, divided here: a tenth of each class for testing, a tenth for validation.

Where `groups.csv` or a pattern tells which clips come from one source (`groups.py`), sources are divided, never the clips of
one; else each file stands for itself. `division.py` has the rule, and folds for cross-validation.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import compress
from pathlib import Path

from envs.clips.datasets.division import Division, divide
from envs.clips.datasets.groups import GROUPS, find_groups
from envs.clips.datasets.places import folders, videos
from envs.clips.datasets.registry import Layout, Listing, register_layout
from envs.clips.source import ClipError


@register_layout
class ClassFolders(Layout):
    name = "class_folders"
    order = 4

    def __init__(self, division: Division | None = None) -> None:
        self.division = division or Division()

    def divided(self, division: Division) -> ClassFolders:
        return type(self)(division)

    def recognise(self, root: Path) -> bool:
        return True  # asked last; its complaint tells what else would do

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        found = {name: files for name in folders(root, strict=True) if (files := videos(root / name))}
        if not found:
            raise ClipError(
                f"{root}: expected lists (train.txt), folders train/<class>/, a folder of videos for each class or the "
                "official files of a data set, but there is none of them; arrange the videos in one of these ways"
            )
        paths = [f"{name}/{file}" for name, files in found.items() for file in files]
        labels = [label for label, files in enumerate(found.values()) for _ in files]
        groups = find_groups(root, paths, self.division.group_pattern, bad=bad)
        if groups is None:
            _check_sizes(root, found)
        elif groups.unnamed == len(paths):
            raise ClipError(
                f"{root / GROUPS}: expected paths of videos below {root}, such as {paths[0]}, but none of its "
                f"{len(groups.strays)} is one, the first being {groups.strays[0]}; correct the paths"
            )
        try:
            splits = divide(paths, paths if groups is None else groups.of, labels, self.division)
        except ClipError as error:
            raise ClipError(f"{root}: {error}") from error
        here = [one == split for one in splits]
        mine = tuple(compress(labels, here))
        listing = Listing(paths=tuple(compress(paths, here)), labels=mine, classes=tuple(found))
        if groups is None:
            return listing
        missing = [name for label, name in enumerate(found) if label not in mine]
        few = f"{split} has no clips of {', '.join(missing)}, which too few sources show." if missing else ""
        note = " ".join(filter(None, (groups.remark(), few)))
        return replace(listing, groups=tuple(compress(groups.of, here)), note=note)


def _check_sizes(root: Path, found: dict[str, list[str]]) -> None:
    """:raises ClipError: when a class has too few videos to be in every split."""
    for name, files in found.items():
        if len(files) < 3:
            raise ClipError(
                f"{root / name}: expected at least 3 videos to divide into training, validation and test, "
                f"got {len(files)}; add some or list the splits in train.txt, val.txt and test.txt"
            )
