"""Finds the labelled videos of a folder, whichever of three layouts it has.

1. Lists, as TSN has them: `train.txt`, `val.txt`, `test.txt` with a line `path label` for each clip, the path relative
   to the folder (it may contain spaces) and the label counted from 0. Optionally `classes.txt`, a name a line, and
   `dataset.json` with any of `classes`, `reversed_class` (for each class the class of its videos played backwards) and
   `paired` (the splits in which clips 2i and 2i+1 are each other's reversal).
2. A folder for each split and class: `train/<class>/*.mp4`, `val/<class>/...`, `test/<class>/...`.
3. A folder for each class: `<class>/*.mp4`. In each class the files are ordered by the sha256 of their name; the first
   tenth (rounded, at least one) is for testing, the next for validation and the rest for training.

In layouts 1 and 2 a missing test split is replaced by the validation split, and the listing's note says so.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from envs.clips.source import ClipError

SPLITS = ("train", "val", "test")
VIDEO_SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"))
SIDECAR = "dataset.json"
UNFINISHED = SIDECAR + ".part"


@dataclass(frozen=True)
class Listing:
    """The N clips of one split.

    :param paths: relative to the root.
    :param labels: in 0..K-1.
    :param classes: K names.
    :param reversed_class: for each class the class of its videos played backwards, or None.
    :param paired: clips 2i and 2i+1 are each other's reversal.
    :param note: a sentence when the split is not the one asked for, else empty.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    reversed_class: tuple[int, ...] | None = None
    paired: bool = False
    note: str = ""


def find_clips(root: str | Path, split: str) -> Listing:
    """The clips of a split ("train", "val" or "test"); the module's docstring tells the layouts.

    :raises ClipError: when the folder or a list is missing, empty or contradicts itself.
    """
    root = Path(root)
    if split not in SPLITS:
        raise ClipError(f"expected a split among {', '.join(SPLITS)}, got {split!r}")
    if not root.is_dir():
        came = "it is a file" if root.exists() else "there is nothing"
        raise ClipError(f"{root}: expected a folder of videos, but {came}; correct the path")
    if (root / UNFINISHED).exists():
        raise ClipError(
            f"{root}: expected whole data, but their generation is still running or was interrupted; run it again"
        )
    if any((root / f"{name}.txt").is_file() for name in SPLITS):
        return _from_lists(root, split)
    folders = _folders(root)
    if set(folders) & set(SPLITS) and (set(folders) <= set(SPLITS) or _folders(root / "train")):
        return _from_split_folders(root, split)
    return _from_class_folders(root, split, folders)


# Layout 1 ------------------------------------------------------------------------------------------------------------


def _from_lists(root: Path, split: str) -> Listing:
    found = [name for name in SPLITS if (root / f"{name}.txt").is_file()]
    used, note = _or_validation(root, split, found, "{}.txt")
    lists = {name: _parse_list(root, root / f"{name}.txt") for name in found}
    sidecar = _parse_sidecar(root / SIDECAR)
    if (root / "classes.txt").is_file():
        classes = [line.strip() for line in _read_text(root / "classes.txt").splitlines() if line.strip()]
    else:
        highest = max(label for clips in lists.values() for _, label in clips)
        classes = sidecar.get("classes", [str(number) for number in range(highest + 1)])
    for name, clips in lists.items():
        for path, label in clips:
            if label >= len(classes):
                raise ClipError(
                    f"{root / name}.txt: expected labels from 0 to {len(classes) - 1} for {len(classes)} classes, "
                    f"got {label} for {path}; correct the label or name the class in classes.txt"
                )
    paths, labels = zip(*lists[used])
    listing = Listing(
        paths=paths,
        labels=labels,
        classes=tuple(classes),
        reversed_class=tuple(sidecar["reversed_class"]) if sidecar.get("reversed_class") else None,
        paired=used in sidecar.get("paired", ()),
        note=note,
    )
    _check_reversals(root, listing)
    return listing


def _parse_list(root: Path, file: Path) -> list[tuple[str, int]]:
    clips = []
    for number, line in enumerate(_read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        *path, label = line.rsplit(maxsplit=1)
        if not path or not (label.isascii() and label.isdigit()):
            raise ClipError(
                f"{file}:{number}: expected 'path label' with a whole number from 0 as label, got {line.strip()!r}; "
                "correct the line"
            )
        inside = os.path.normpath(path[0].strip())
        if os.path.isabs(inside) or inside.split(os.sep)[0] in (os.pardir, os.curdir):
            raise ClipError(
                f"{file}:{number}: expected a path relative to {root} and inside it, got {path[0].strip()!r}; "
                "move the video there or link it"
            )
        clips.append((inside, int(label)))
    if not clips:
        raise ClipError(f"{file}: expected a line 'path label' for each clip, but the list is empty; fill or remove it")
    return clips


def _parse_sidecar(file: Path) -> dict:
    if not file.is_file():
        return {}
    try:
        content = json.loads(_read_text(file))
    except json.JSONDecodeError as error:
        raise ClipError(f"{file}: expected JSON, got {error}; correct or remove the file") from error
    if not isinstance(content, dict):
        raise ClipError(f"{file}: expected a JSON object, got a {type(content).__name__}; correct or remove the file")
    return content


def _check_reversals(root: Path, listing: Listing) -> None:
    reverse, labels = listing.reversed_class, listing.labels
    if reverse is not None and (
        len(reverse) != len(listing.classes)
        or any(label not in range(len(reverse)) or reverse[reverse[i]] != i for i, label in enumerate(reverse))
    ):
        raise ClipError(
            f"{root / SIDECAR}: expected reversed_class to give each of {len(listing.classes)} classes a class that "
            f"gives it back, got {list(reverse)}; correct or remove it"
        )
    if listing.paired and (
        reverse is None or len(labels) % 2 or any(reverse[a] != b for a, b in zip(labels[::2], labels[1::2]))
    ):
        raise ClipError(
            f"{root / SIDECAR}: expected every second clip of a paired split to be the reversal of the one before, "
            "but the labels say otherwise; correct the list or take the split out of 'paired'"
        )


# Layouts 2 and 3 -----------------------------------------------------------------------------------------------------


def _from_split_folders(root: Path, split: str) -> Listing:
    found = [name for name in SPLITS if (root / name).is_dir()]
    used, note = _or_validation(root, split, found, "{}/")
    if "train" not in found:
        raise ClipError(f"{root}: expected a folder train/, whose folders name the classes, but there is none; add it")
    classes = _folders(root / "train")
    if not classes:
        raise ClipError(
            f"{root / 'train'}: expected a folder of videos for each class, but there is no folder in it; "
            "sort the videos into folders or list them in train.txt"
        )
    if unknown := sorted(set(_folders(root / used)) - set(classes)):
        raise ClipError(f"{root / used}: expected the classes of train/, got {unknown[0]!r} too; rename or remove it")
    clips = [(f"{used}/{name}/{file}", k) for k, name in enumerate(classes) for file in _videos(root / used / name)]
    if not clips:
        raise ClipError(f"{root / used}: expected videos in a folder for each class, but there are none; add some")
    paths, labels = zip(*clips)
    return Listing(paths=paths, labels=labels, classes=tuple(classes), note=note)


def _from_class_folders(root: Path, split: str, folders: list[str]) -> Listing:
    videos = {name: files for name in folders if (files := _videos(root / name))}
    if not videos:
        raise ClipError(
            f"{root}: expected lists (train.txt), folders train/<class>/ or a folder of videos for each class, "
            "but there is none of them; arrange the videos in one of these ways"
        )
    clips = []
    for label, (name, files) in enumerate(videos.items()):
        if len(files) < 3:
            raise ClipError(
                f"{root / name}: expected at least 3 videos to divide into training, validation and test, "
                f"got {len(files)}; add some or list the splits in train.txt, val.txt and test.txt"
            )
        files = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file)).digest())
        held_out = max(1, round(len(files) / 10))
        parts = {"test": files[:held_out], "val": files[held_out : 2 * held_out], "train": files[2 * held_out :]}
        clips += [(f"{name}/{file}", label) for file in sorted(parts[split])]
    paths, labels = zip(*clips)
    return Listing(paths=paths, labels=labels, classes=tuple(videos))


# Shared --------------------------------------------------------------------------------------------------------------


def _or_validation(root: Path, split: str, found: list[str], pattern: str) -> tuple[str, str]:
    if split in found:
        return split, ""
    missing = pattern.format(split)
    if split == "test" and "val" in found:
        return "val", f"{root} has no {missing}, so {pattern.format('val')} is used for testing too."
    raise ClipError(
        f"{root}: expected {missing} beside {', '.join(pattern.format(name) for name in found)}, "
        "but there is none; add it"
    )


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClipError(f"{file}: expected UTF-8 text, got other bytes ({error.reason}); save it as UTF-8") from error


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def _videos(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in VIDEO_SUFFIXES
        )
