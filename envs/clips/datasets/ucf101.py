"""UCF101: `UCF-101/<Class>/v_<Class>_g01_c01.avi` and the official lists, in `ucfTrainTestlist` or beside the videos.

`classInd.txt` numbers the classes from 1, `trainlist01.txt` has lines `<Class>/<video> <number>` and `testlist01.txt`
lines `<Class>/<video>`. The layout `ucf101` is the first of the three official divisions; `ucf101_2` and `ucf101_3` are
the others.

There is no validation list. Clips of one group (`g08`) were cut from one video, so validation holds out whole groups of
the training list, and never a part of one: in each class a tenth of its groups, rounded, at least one, those of the
highest numbers. Training goes on with the rest, and the notes of both splits say so; testing is on the official list.

The lists write some names in other letters than the archive (`HandStandPushups`): a video that is not found by its
name is looked for without regard to capitals.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from envs.clips.datasets.places import locate, videos
from envs.clips.datasets.reading import Row, inside, quoted, read_classes, read_rows, to_label
from envs.clips.datasets.registry import Layout, Listing, register_layout
from envs.clips.source import ClipError

LIST_FOLDERS = ("ucfTrainTestlist", "annotations", "")
FOLDER = "UCF-101"


@register_layout
class UCF101(Layout):
    name = "ucf101"
    division = 1

    def recognise(self, root: Path) -> bool:
        return self.division == 1 and any(_official(root / place) for place in LIST_FOLDERS)

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        lists = next((root / place for place in LIST_FOLDERS if _official(root / place)), root / LIST_FOLDERS[0])
        files = {part: lists / f"{part}list{self.division:02d}.txt" for part in ("train", "test")}
        for file in (lists / "classInd.txt", *files.values()):
            if not file.is_file():
                raise ClipError(f"{file}: expected an official list of UCF101, but there is none; put it there")
        classes = read_classes(lists / "classInd.txt")
        file = files["test" if split == "test" else "train"]
        rows = _read(root, file, classes, numbered=split != "test", bad=bad)
        note = ""
        if split != "test":
            held_out = _held_out(rows)
            rows = [row for row in rows if (row.path in held_out) == (split == "val")]
            note = (
                f"UCF101 has no validation list, so {len(held_out)} clips of {file.name}, whole groups, are held out "
                "of training for validation."
            )
        if not rows:
            raise ClipError(f"{file}: expected at least 2 groups of clips in a class, got fewer; restore the list")
        listing = locate(root, "", rows, prefer=FOLDER)
        return replace(listing, paths=_in_their_letters(root, listing.paths), classes=tuple(classes), note=note)


@register_layout
class UCF101Second(UCF101):
    name = "ucf101_2"
    division = 2


@register_layout
class UCF101Third(UCF101):
    name = "ucf101_3"
    division = 3


def _official(folder: Path) -> bool:
    return (folder / "classInd.txt").is_file() and any(folder.glob("trainlist0[123].txt"))


def _read(root: Path, file: Path, classes: list[str], *, numbered: bool, bad: list[ClipError] | None) -> list[Row]:
    numbers = {name: number for number, name in enumerate(classes)}

    def parse(line: str) -> Row:
        path, *number = line.rsplit(maxsplit=1) if numbered else (line,)
        label = to_label(Path(path).parent.name, numbers, file.with_name("classInd.txt"))
        if numbered and number != [str(label + 1)]:
            raise ClipError(
                f"expected '{path} {label + 1}', as classInd.txt numbers the class, got {quoted(line)}; correct the line"
            )
        return Row(inside(path, root), label)

    return read_rows(file, parse, form="'Class/video number'" if numbered else "'Class/video'", bad=bad)


def _held_out(rows: list[Row]) -> set[str]:
    groups: defaultdict[int, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        match = re.search(r"_g(\d+)_c\d+\.\w+$", row.path)
        groups[row.label][match[1] if match else row.path].append(row.path)
    held_out: set[str] = set()
    for of_class in groups.values():
        names = sorted(of_class)
        for name in names[len(names) - max(1, round(len(names) / 10)) :]:
            held_out.update(of_class[name])
    return held_out


def _in_their_letters(root: Path, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The paths, in the letters that the disk has where it has no such file."""
    there: dict[Path, dict[str, str]] = {}
    found = []
    for path in map(Path, paths):
        if path.parent not in there:
            there[path.parent] = {name.lower(): name for name in videos(root / path.parent)}
        names = there[path.parent]
        exact = path.name in names.values() if len(names) < 2 else names.get(path.name.lower()) == path.name
        found.append(str(path if exact else path.with_name(names.get(path.name.lower(), path.name))))
    return tuple(found)
