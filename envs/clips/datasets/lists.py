"""Our own lists: `train.txt`, `val.txt`, `test.txt` with a line `path label` or `path n_frames label` for each clip.

The paths are relative to the folder, or to a folder in it, and may contain spaces; labels are counted from 0.
Optionally `classes.txt`, a name a line, and `dataset.json` with any of `classes`, `reversed_class` (for each class the
class of its videos played backwards) and `paired` (the splits in which clips 2i and 2i+1 are each other's reversal).
A missing test split is replaced by the validation split, and the listing's note says so. A clip may be listed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from envs.clips.datasets.places import locate, or_validation
from envs.clips.datasets.reading import SIDECAR, find_classes, quoted, read_list
from envs.clips.datasets.registry import SPLITS, Layout, Listing, register_layout
from envs.clips.datasets.sidecar import read_sidecar
from envs.clips.source import ClipError

SPARSE = 1_000  # classes without names, up to which numbers may be left out


@register_layout
class Lists(Layout):
    name = "lists"
    order = 0

    def recognise(self, root: Path) -> bool:
        return bool(self._files(root))

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        return from_lists(root, split, self._files(root), "{}.txt", bad)

    def _files(self, root: Path) -> dict[str, Path]:
        return {name: file for name in SPLITS if (file := root / f"{name}.txt").is_file()}


def from_lists(root: Path, split: str, files: Mapping[str, Path], pattern: str, bad: list[ClipError] | None) -> Listing:
    """The clips of a split, whichever names its lists have.

    :param files: a list for each split that has one.
    :param pattern: the name of a list, with {} for the split.
    """
    if not files:
        raise ClipError(
            f"{root}: expected lists such as train.txt, val.txt and test.txt, but there are none; "
            "write them or correct the path"
        )
    names = {name: file.name for name, file in files.items()}
    used, note = or_validation(root, split, names, pattern.format(split))
    sidecar = read_sidecar(root)
    classes = find_classes(root) or sidecar.classes
    known = None if classes is None else len(classes)
    lists = {name: read_list(file, root, num_classes=known, bad=bad) for name, file in files.items()}
    if not lists[used]:
        raise ClipError(f"{files[used]}: expected clips, but none of its lines can be used; correct them")
    if classes is None:
        classes = _numbered(root, {row.label for rows in lists.values() for row in rows})
    listing = replace(
        locate(root, used, lists[used]),
        classes=tuple(classes),
        reversed_class=sidecar.reversed_class,
        paired=used in sidecar.paired,
        note=note,
    )
    _check_reversals(root, listing)
    return listing


def _numbered(root: Path, labels: set[int]) -> list[str]:
    """Names of classes that have none: their numbers.

    :raises ClipError: when most of many numbers are no clip's label: one wrong label would make thousands of classes.
    """
    highest = max(labels)
    if highest >= max(SPARSE, 2 * len(labels)):
        raise ClipError(
            f"{root}: expected names in classes.txt, or labels that are numbered through, got {len(labels)} different ones up "
            f"to {highest}; correct the labels or name the classes"
        )
    return [str(number) for number in range(highest + 1)]


def _check_reversals(root: Path, listing: Listing) -> None:
    reverse, labels = listing.reversed_class, listing.labels
    if reverse is not None and (
        len(reverse) != len(listing.classes)
        or any(label not in range(len(reverse)) or reverse[reverse[i]] != i for i, label in enumerate(reverse))
    ):
        raise ClipError(
            f"{root / SIDECAR}: expected reversed_class to give each of {len(listing.classes)} classes a class that "
            f"gives it back, got {quoted(list(reverse))}; correct or remove it"
        )
    if listing.paired and (
        reverse is None or len(labels) % 2 or any(reverse[a] != b for a, b in zip(labels[::2], labels[1::2]))
    ):
        raise ClipError(
            f"{root / SIDECAR}: expected every second clip of a paired split to be the reversal of the one before, "
            "but the labels say otherwise; correct the list or take the split out of 'paired'"
        )
