"""Where the clips of a list lie: folders, videos and frames below a root, symbolic links followed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress, product
from pathlib import Path

from envs.clips.datasets.reading import VIDEO_SUFFIXES, Row
from envs.clips.datasets.registry import Listing
from envs.clips.source import ClipError

IMAGE = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)(?P<suffix>\.(jpe?g|png))", re.IGNORECASE)
FLOW = ("flow", "x_", "y_")  # optical flow that lies beside the frames
LOOKED_AT = 20  # clips of a list that are looked for before it counts as not there
FOLDERS_LOOKED_AT = 64


def or_validation(root: Path, split: str, found: Mapping[str, str], missing: str) -> tuple[str, str]:
    """The split to use among those found, and a note if validation stands in for a missing test split.

    :param found: what each split that is there calls its file or folder.
    :param missing: what this one would, for the note or the error.
    :raises ClipError: when the split is not there.
    """
    if split in found:
        return split, ""
    if split == "test" and "val" in found:
        return "val", f"{root} has no {missing}, so {found['val']} is used for testing too."
    raise ClipError(
        f"{root}: expected {missing} beside {', '.join(found.values()) or 'the videos'}, but there is none; add it"
    )


def folders(path: Path, *, strict: bool = False) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden ones; empty if it is no folder itself.

    :param strict: each folder is a class, so that a link which leads nowhere is an error, not something to pass over.
    """
    return [entry.name for entry in _scan(path) if _is_folder(entry, strict)]


def videos(path: Path) -> list[str]:
    """Names of what should be videos in a folder, sorted, without hidden ones."""
    return [entry.name for entry in _scan(path) if _is_video(entry.name)]


def find_videos(folder: Path) -> list[Path]:
    """All that is named like a video in a folder and in those within, links followed, hidden things aside; sorted.

    :raises ClipError: there is none
    """
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder around it
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names = [name for name in [*folders, *files] if not name.startswith(".")]
        found += [Path(place, name) for name in names if _is_video(name)]
    found.sort()
    if not found:
        raise ClipError(
            f"expected videos in {folder}, found none that ends in {', '.join(sorted(VIDEO_SUFFIXES))}: check the path"
        )
    return found


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def _scan(path: Path) -> list[os.DirEntry]:
    if not path.is_dir():
        return []
    try:
        with os.scandir(path) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise ClipError(
            f"{path}: expected a folder, but it cannot be read ({error.strerror}); correct its rights or remove it"
        ) from error


def _is_folder(entry: os.DirEntry, strict: bool) -> bool:
    if not entry.is_symlink() or os.path.exists(entry.path):
        return entry.is_dir()
    if strict and not _is_video(entry.name):
        raise ClipError(
            f"{entry.path}: expected the folder of a class, but it is a link that leads nowhere; correct or remove it"
        )
    return False


def find_template(folder: Path) -> str | None:
    """The pattern of the frames' names in a folder, such as "img_{:05d}.jpg"; None if there are no frames."""
    names = frame_names(folder)
    match = IMAGE.fullmatch(names[0]) if names else None
    if match is None:
        return None
    prefix, suffix = (match[part].replace("{", "{{").replace("}", "}}") for part in ("prefix", "suffix"))
    return f"{prefix}{{:0{len(match['number'])}d}}{suffix}"


def frame_names(folder: Path) -> list[str]:
    """Names of the numbered pictures in a folder, sorted, optical flow left out; empty if it cannot be read."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(name for name in names if IMAGE.fullmatch(name) and not name.startswith(FLOW))


def locate(root: Path, split: str, rows: Sequence[Row], *, prefer: str = "", videos_first: bool = False) -> Listing:
    """A listing, yet without classes, of rows whose paths are relative to the root or to a folder below it.

    That folder is the one in which the first clip that is there is found: the root, a folder in it, or a folder named
    after the split in one of these. A path without a video's suffix is a folder of frames, or a video whose suffix is
    left out.

    :param prefer: name of the folder to look in first.
    :param videos_first: where both are there, take the videos rather than the folders of frames.
    :raises ClipError: when some clips are videos and others are folders of frames.
    """
    bare = [row for row in rows if not _is_video(row.path)]
    base, suffix = _find_base(root, split, (bare or rows)[:LOOKED_AT], prefer, videos_first)
    first = next((path for row in bare[:LOOKED_AT] if (path := root / base / (row.path + suffix)).exists()), None)
    of_frames = bool(bare) and (first.is_dir() if first else all(row.frames for row in bare))
    if of_frames and len(bare) < len(rows):
        raise ClipError(
            f"{root}: expected either videos or folders of frames for {split}, but {bare[0].path} is a folder and "
            "others are videos; list them apart"
        )
    listing = Listing(
        paths=tuple(os.path.join(base, row.path) + ("" if _is_video(row.path) else suffix) for row in rows),
        labels=tuple(row.label for row in rows),
        classes=(),
        places=tuple(row.place for row in rows),
    )
    if not of_frames:
        return listing
    templates = (find_template(root / path) for path in listing.paths[:LOOKED_AT])
    counts = tuple(row.frames for row in rows if row.frames)
    return replace(
        listing,
        frames=counts if len(counts) == len(rows) else None,
        template=next((template for template in templates if template), "{:05d}.jpg"),
    )


def _find_base(root: Path, split: str, rows: Sequence[Row], prefer: str, videos_first: bool) -> tuple[str, str]:
    """The folder below the root that holds the rows, and the suffix to put behind their paths; ("", "") if none does."""
    below = folders(root)[:FOLDERS_LOOKED_AT]
    preferred = [prefer] if prefer and (root / prefer).is_dir() else []
    below = [*preferred, "", *sorted(below, key=lambda name: (split not in name, name))]
    aliases = ("", "val", "validation") if split == "val" else ("", split)
    bases = [os.path.join(name, alias) if alias else name for name in below for alias in aliases]
    as_named, as_video = ("",), (".webm", ".mp4", ".avi", ".mkv")
    for suffixes in (as_video, as_named) if videos_first else (as_named, as_video):
        for base, row, suffix in product(bases, rows, suffixes):
            if os.path.exists(root / base / (row.path + suffix)):
                return base, suffix
    return (prefer if preferred else ""), ""


def without_absent(root: Path, split: str, listing: Listing) -> Listing:
    """The listing without the clips that are not there, which it counts and its note tells.

    :raises ClipError: when none is there.
    """
    there = [os.path.exists(root / path) for path in listing.paths]
    absent = tuple(path for path, is_there in zip(listing.paths, there) if not is_there)
    if not absent:
        return listing
    if len(absent) == len(listing.paths):
        raise ClipError(
            f"{root}: expected the clips that are listed for {split}, but none of {len(absent)} is there, the first "
            f"being {absent[0]}; put them there or correct the list"
        )
    note = f"{len(absent)} of {len(listing.paths)} clips listed for {split} are not in {root} and are left out."
    return replace(
        listing,
        paths=tuple(compress(listing.paths, there)),
        labels=tuple(compress(listing.labels, there)),
        frames=None if listing.frames is None else tuple(compress(listing.frames, there)),
        places=tuple(compress(listing.places, there)),
        absent=absent,
        note=f"{listing.note} {note}".strip(),
    )
