"""Kinetics and Mini-Kinetics: mp4 files and the official csv files, or the lists of Mini-Kinetics.

A csv file has a header with `label` (not for the test split), `youtube_id`, `time_start`, `time_end`; its name ends in
`train`, `val`, `validate`, `validation` or `test`, such as `kinetics-400_train.csv`, and it lies in the root, in
`annotations` or in `labels`. Its videos are called `<youtube_id>_<start>_<end>.mp4`, seconds in six digits, and lie
anywhere down to three folders deep: side by side, in class folders, or in class folders for each split. Classes are
those of a class file such as `minik_classInd.txt`, else the labels of training, sorted. Lists are AdaFuse's
`mini_train_videofolder.txt` and `mini_val_videofolder.txt`.

Not every video can be had any more, so listed clips may be missing: they are left out, counted, and the note says so.
A test split without labels is replaced by validation, and the note says so.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from envs.clips.datasets.lists import from_lists
from envs.clips.datasets.places import folders, or_validation, videos, without_absent
from envs.clips.datasets.reading import Row, check_names, find_classes, inside, parse_each, quoted, read_lines, to_label
from envs.clips.datasets.registry import Layout, Listing, register_layout
from envs.clips.datasets.tsn_lists import find_lists
from envs.clips.source import ClipError

LABEL_FOLDERS = ("", "annotations", "labels")
COLUMNS = ("youtube_id", "time_start", "time_end")
ENDINGS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}
LISTS = ("mini_{}_videofolder.txt",)
FRAMES = ("rawframes", "frames", "images")  # folders of images, in which there are no videos to look for
DEPTH = 3


@register_layout
class Kinetics(Layout):
    name = "kinetics"

    def recognise(self, root: Path) -> bool:
        return bool(_find_csv(root) or find_lists(root, LISTS)[0])

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        files = _find_csv(root)
        if files:
            return without_absent(root, split, _from_csv(root, split, files, bad))
        lists, pattern = find_lists(root, LISTS)
        if not lists:
            raise ClipError(
                f"{root}: expected a csv file with the columns label,{','.join(COLUMNS)}, or mini_train_videofolder.txt "
                "and mini_val_videofolder.txt, but there is neither; put them there"
            )
        return without_absent(root, split, from_lists(root, split, lists, pattern, bad))


def _find_csv(root: Path) -> dict[str, Path]:
    """The csv file of each split, known by its header and the end of its name."""
    found: dict[str, Path] = {}
    for place in LABEL_FOLDERS:
        for file in sorted((root / place).glob("*.csv")):
            last = file.stem.lower().replace("-", "_").split("_")[-1]
            split = next((split for split, endings in ENDINGS.items() if last in endings), None)
            if split is None or not file.is_file() or not set(COLUMNS) <= set(_header(file)):
                continue
            if split in found:
                raise ClipError(
                    f"{root}: expected one csv file for {split}, got {found[split].name} and {file.name}; remove one"
                )
            found[split] = file
    return found


def _header(file: Path) -> list[str]:
    try:
        with open(file, encoding="utf-8-sig", errors="replace") as lines:
            return next(csv.reader([lines.readline(10_000)]), [])
    except (OSError, csv.Error):
        return []


def _from_csv(root: Path, split: str, files: dict[str, Path], bad: list[ClipError] | None) -> Listing:
    found = {name: file.name for name, file in files.items() if name != "test" or "label" in _header(file)}
    used, note = or_validation(root, split, found, f"csv file for {split} with labels")
    classes = find_classes(root)
    source = files.get("train", files[used])
    for file in (source, files[used]):
        if "label" not in _header(file):
            raise ClipError(
                f"{file}:1: expected a column label, got {quoted(', '.join(_header(file)))}; restore the file"
            )
    if classes is None:
        classes = sorted({fields["label"] for fields in parse_each(_read(source), _fields_of(source), bad=[])})
        check_names(source, classes)
    numbers = {name: number for number, name in enumerate(classes)}
    fields_of = _fields_of(files[used])

    def parse(line: str) -> Row:
        fields = fields_of(line)
        label = to_label(fields["label"], numbers, source)
        try:
            start, end = (int(float(fields[name])) for name in ("time_start", "time_end"))
        except (ValueError, OverflowError) as error:
            raise ClipError(
                f"expected seconds as time_start and time_end, got {quoted(fields['time_start'])} and "
                f"{quoted(fields['time_end'])}; correct the line"
            ) from error
        return Row(inside(f"{fields['youtube_id']}_{start:06d}_{end:06d}", root), label)

    rows = list(parse_each(_read(files[used]), parse, bad))
    if not rows:
        raise ClipError(f"{files[used]}: expected clips, but none of its lines can be used; correct them")
    there: dict[str, str] = {}
    for path in _find_videos(root, used):
        there.setdefault(Path(path).stem, path)
    return Listing(
        paths=tuple(there.get(row.path, f"{row.path}.mp4") for row in rows),
        labels=tuple(row.label for row in rows),
        classes=tuple(classes),
        places=tuple(row.place for row in rows),
        note=note,
    )


def _read(file: Path) -> Iterator[tuple[str, str]]:
    """Place and text of each line behind the header."""
    return ((f"{file}:{number}", line) for number, line in read_lines(file)[1:])


def _fields_of(file: Path) -> Callable[[str], dict[str, str]]:
    """What takes a line of a csv file apart, by the names in its header."""
    names = _header(file)

    def fields_of(line: str) -> dict[str, str]:
        try:
            fields = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise ClipError(f"expected csv, got {quoted(line)} ({error}); correct the line") from error
        if len(fields) != len(names):
            raise ClipError("expected as many fields as in the header, got more or fewer; correct the line")
        if odd := next((name for name in ("label", *COLUMNS) if not dict(zip(names, fields))[name].strip()), None):
            raise ClipError(f"expected something as {odd}, got nothing; correct the line")
        return dict(zip(names, fields))

    return fields_of


def _find_videos(root: Path, split: str, base: str = "", depth: int = 0) -> Iterator[str]:
    """Paths of the videos below the root; those in a folder that is named after the split come first."""
    for name in videos(root / base):
        yield os.path.join(base, name)
    if depth < DEPTH:
        for name in sorted(folders(root / base), key=lambda name: (not depth and split not in name, name)):
            if not name.startswith(FRAMES):
                yield from _find_videos(root, split, os.path.join(base, name), depth + 1)
