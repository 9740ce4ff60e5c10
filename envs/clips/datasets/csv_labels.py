"""What the first two releases of 20BN have in common: folders of JPEGs, and csv files without a header.

`<set>-labels.csv` has a class a line, `<set>-train.csv` and `<set>-validation.csv` lines `id;label`, `<set>-test.csv`
bare ids. The later release calls them `labels/labels.csv`, `labels/train.csv` and so on, and adds the labels of the
test clips as `labels/test-answers.csv`; without that file validation stands in for testing, and the note says so. The
classes are numbered as `labels.csv` lists them (so do AdaFuse and MMAction2), or, where `category.txt` or another class
file is there, as that does (TSM sorts them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from envs.clips.datasets.lists import from_lists
from envs.clips.datasets.places import locate, or_validation
from envs.clips.datasets.reading import (
    Row,
    check_names,
    find_classes,
    inside,
    quoted,
    read_lines,
    read_rows,
    to_label,
)
from envs.clips.datasets.registry import SPLITS, Layout, Listing
from envs.clips.datasets.tsn_lists import find_lists
from envs.clips.source import ClipError

LABEL_FOLDERS = ("", "labels", "annotations")
ENDINGS = {"labels": "labels", "train": "train", "val": "validation", "test": "test-answers"}


class CSVLabels(Layout):
    """A data set of folders of JPEGs in `folder`, with labels in csv files whose names begin with `prefix`."""

    prefix: str
    folder: str

    def recognise(self, root: Path) -> bool:
        official = any((root / place / f"{self.prefix}-labels.csv").is_file() for place in LABEL_FOLDERS)
        return official or ((root / self.folder).is_dir() and bool(self._files(root) or find_lists(root)[0]))

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        files = self._files(root)
        if "labels" not in files:
            lists, pattern = find_lists(root)
            if lists:
                return from_lists(root, split, lists, pattern, bad)
            raise ClipError(
                f"{root}: expected the classes in {self.prefix}-labels.csv, but there is no such file, nor one called "
                "labels/labels.csv; put it there"
            )
        found = {name: files[name].name for name in SPLITS if name in files}
        used, note = or_validation(root, split, found, f"{self.prefix}-{ENDINGS[split]}.csv")
        classes = order_classes(root, files["labels"], [line for _, line in read_lines(files["labels"])])
        numbers = {name: number for number, name in enumerate(classes)}

        def parse(line: str) -> Row:
            clip, *label = (field.strip() for field in line.split(";", 1))
            if not clip or not label:
                raise ClipError(f"expected 'id;label', got {quoted(line)}; correct the line")
            return Row(inside(clip, root), to_label(label[0], numbers, files["labels"]))

        rows = read_rows(files[used], parse, form="'id;label'", bad=bad)
        if not rows:
            raise ClipError(f"{files[used]}: expected clips, but none of its lines can be used; correct them")
        return replace(locate(root, used, rows, prefer=self.folder), classes=tuple(classes), note=note)

    def _files(self, root: Path) -> dict[str, Path]:
        """The csv files that are there, by split, and "labels"."""
        found: dict[str, Path] = {}
        for place in LABEL_FOLDERS:
            for kind, ending in ENDINGS.items():
                for name in (f"{self.prefix}-{ending}.csv", f"{ending}.csv"):
                    if (root / place / name).is_file():
                        found.setdefault(kind, root / place / name)
        return found


def order_classes(root: Path, file: Path, names: Sequence[str]) -> list[str]:
    """Official class names, in the order of a class file such as `category.txt` where there is one.

    :param file: where the names are from.
    :raises ClipError: when there are none, some are given twice, or the class file has others.
    """
    if not names:
        raise ClipError(f"{file}: expected the name of a class on each line, but the file is empty; restore it")
    check_names(file, list(names))
    ordered = find_classes(root) or list(names)
    if other := set(ordered) ^ set(names):
        raise ClipError(
            f"{root}: expected the class file to have the {len(names)} classes of {file.name}, but they differ, for "
            f"instance in {min(other)!r}; correct or remove it"
        )
    return ordered
