"""Layouts by name, and the listing that each of them makes of a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path

from backbone.common.naming import did_you_mean, paths_nearby
from backbone.common.registry import Registry
from envs.clips.datasets.division import Division
from envs.clips.datasets.groups import find_groups
from envs.clips.datasets.reading import SIDECAR
from envs.clips.source import ClipError

SPLITS = ("train", "val", "test")
UNFINISHED = SIDECAR + ".part"
LAYOUTS: Registry[Layout] = Registry("layout")


@dataclass(frozen=True)
class Listing:
    """The N clips of one split.

    :param paths: relative to the root: files, or folders of frames where `template` is given.
    :param labels: in 0..K-1.
    :param classes: K names.
    :param reversed_class: for each class the class of its videos played backwards, or None.
    :param paired: clips 2i and 2i+1 are each other's reversal.
    :param note: a sentence or more when the split is not exactly the one asked for, else empty.
    :param frames: how many images each folder of frames holds according to the list; None where it does not say.
    :param template: of the images' names, such as "{:05d}.jpg", where the clips are folders of frames; else None.
    :param absent: clips that the list has and the disk has not, left out because the layout allows that.
    :param layout: the layout's name.
    :param places: where each clip is listed, such as "/data/train.txt:7"; empty where folders tell what there is.
    :param groups: the source that each clip was cut from; empty where it is not known.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    reversed_class: tuple[int, ...] | None = None
    paired: bool = False
    note: str = ""
    frames: tuple[int, ...] | None = None
    template: str | None = None
    absent: tuple[str, ...] = ()
    layout: str = ""
    places: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """Clips that were listed and left out."""
        return len(self.absent)


class Layout(ABC):
    """One way in which a data set lies on the disk.

    `name` is what a user calls it; layouts of a lower `order` are asked first whether a folder is theirs.
    """

    name: str
    order: int = 1

    @abstractmethod
    def recognise(self, root: Path) -> bool:
        """Whether the folder has this layout, judged by the names in it."""

    @abstractmethod
    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        """The clips of a split.

        :param bad: takes an error for each line that cannot be used, which is left out then; None raises the first.
        :raises ClipError: when the folder or a list is missing, empty or contradicts itself.
        """

    def divided(self, division: Division) -> Layout:
        """The same layout, dividing its clips as the user says.

        :raises ClipError: when they are divided already, and folds are asked for.
        """
        if division.folds:
            raise ClipError(
                f"expected class folders to divide into {division.folds} folds, got the layout {self.name}, whose splits are "
                "given; leave the folds out"
            )
        return self


def register_layout(kind: type[Layout]) -> type[Layout]:
    """Record a layout under its name."""
    LAYOUTS.register(kind(), kind.name)
    return kind


def find_clips(
    root: str | Path,
    split: str,
    layout: str | None = None,
    *,
    division: Division | None = None,
    bad: list[ClipError] | None = None,
) -> Listing:
    """The clips of a split ("train", "val" or "test").

    :param layout: the layout's name; None recognises it.
    :param division: how class folders are divided, and what tells the clips of one source, in any layout.
    :param bad: takes an error for each line that cannot be used, and the others are listed; None raises the first.
    :raises ClipError: when the folder or a list is missing, empty or contradicts itself, or the layout is unknown.
    """
    root = Path(root)
    if split not in SPLITS:
        raise ClipError(f"expected a split among {', '.join(SPLITS)}, got {split!r}{did_you_mean(split, SPLITS)}")
    if not root.is_dir():
        came = "it is a file" if root.exists() else "there is nothing"
        raise ClipError(f"{root}: expected a folder of videos, but {came}; correct the path{paths_nearby(root)}")
    if (root / UNFINISHED).exists():
        raise ClipError(
            f"{root}: expected whole data, but their generation is still running or was interrupted; run it again"
        )
    chosen = _recognise(root) if layout is None else layout
    if chosen not in LAYOUTS:
        raise ClipError(LAYOUTS.unknown(chosen))
    division = division or Division()
    listing = replace(LAYOUTS[chosen].divided(division).list(root, split, bad), layout=chosen)
    return listing if listing.groups else _with_groups(root, listing, division, bad)


def _with_groups(root: Path, listing: Listing, division: Division, bad: list[ClipError] | None) -> Listing:
    """The listing with the groups of its clips, as far as anything tells them."""
    groups = find_groups(root, listing.paths, division.group_pattern, bad=bad)
    if groups is None:
        return listing
    remark = groups._replace(strays=()).remark()  # the other splits' paths are no strays
    known = groups.of if groups.unnamed < len(groups.of) else ()
    return replace(listing, groups=known, note=f"{listing.note} {remark}".strip())


def _recognise(root: Path) -> str:
    for order in sorted({layout.order for layout in LAYOUTS.values()}):
        names = [name for name, layout in LAYOUTS.items() if layout.order == order and layout.recognise(root)]
        if len(names) > 1:
            raise ClipError(
                f"{root}: expected one data set, but this looks like {' and '.join(sorted(names))}; "
                "name the layout or give each its own folder"
            )
        if names:
            return names[0]
    raise ClipError(f"{root}: expected one of the layouts {', '.join(sorted(LAYOUTS))}, but it has none of them")
