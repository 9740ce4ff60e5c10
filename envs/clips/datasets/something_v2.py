"""Something-Something V2: `20bn-something-something-v2/<id>.webm` and the official json files, or TSN lists.

`something-something-v2-labels.json` gives each class its number, `...-train.json` and `...-validation.json` list clips
with an `id` and a `template`, which is the class with "something" in brackets. The later release calls them
`labels/labels.json` and so on, and adds the test clips' labels as `labels/test-answers.csv` (`id;label`); without that
file validation stands in for testing, and the note says so. Where the videos were unpacked into folders of frames, such
as `20bn-something-something-v2-frames/<id>/000001.jpg`, and are gone themselves, the frames are taken; where both are
there, name the layout `tsn_lists` for the frames. As AdaFuse's copy has them, clips may lie in `frames/train` and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from envs.clips.datasets.csv_labels import LABEL_FOLDERS, order_classes
from envs.clips.datasets.lists import from_lists
from envs.clips.datasets.places import locate, or_validation
from envs.clips.datasets.reading import Row, inside, is_whole, parse_each, quoted, read_json, read_rows, to_label
from envs.clips.datasets.registry import SPLITS, Layout, Listing, register_layout
from envs.clips.datasets.tsn_lists import find_lists
from envs.clips.source import ClipError

PREFIX = "something-something-v2"
FOLDER = "20bn-something-something-v2"
FILES = {"labels": "labels.json", "train": "train.json", "val": "validation.json", "test": "test-answers.csv"}


@register_layout
class SomethingV2(Layout):
    name = "something_v2"

    def recognise(self, root: Path) -> bool:
        official = any((root / place / f"{PREFIX}-labels.json").is_file() for place in LABEL_FOLDERS)
        return official or ((root / FOLDER).is_dir() and bool(_files(root) or find_lists(root)[0]))

    def list(self, root: Path, split: str, bad: list[ClipError] | None) -> Listing:
        files = _files(root)
        if "labels" not in files:
            lists, pattern = find_lists(root)
            if lists:
                return from_lists(root, split, lists, pattern, bad)
            raise ClipError(
                f"{root}: expected the classes in {PREFIX}-labels.json, but there is no such file, nor one called "
                "labels/labels.json; put it there"
            )
        found = {name: files[name].name for name in SPLITS if name in files}
        used, note = or_validation(root, split, found, FILES[split])
        classes = order_classes(root, files["labels"], _read_classes(files["labels"]))
        numbers = {name: number for number, name in enumerate(classes)}

        def to_row(clip: object, name: object) -> Row:
            if not isinstance(clip, str) or not clip or not isinstance(name, str):
                raise ClipError(
                    f"expected an id and a template, got {quoted(clip)} and {quoted(name)}; correct the entry"
                )
            return Row(inside(clip, root), to_label(name.replace("[", "").replace("]", ""), numbers, files["labels"]))

        rows = (_read_answers if used == "test" else _read_entries)(files[used], to_row, bad)
        if not rows:
            raise ClipError(f"{files[used]}: expected clips, but there are none that can be used; restore the file")
        listing = locate(root, used, rows, prefer=FOLDER, videos_first=True)
        return replace(listing, classes=tuple(classes), note=note)


def _files(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for place in LABEL_FOLDERS:
        for kind, ending in FILES.items():
            for name in (f"{PREFIX}-{ending}", ending):
                if (root / place / name).is_file():
                    found.setdefault(kind, root / place / name)
    return found


def _read_classes(file: Path) -> list[str]:
    """Class names in the order of their numbers, which are written as text."""
    numbers = read_json(file, dict)
    if sorted(map(str, numbers.values())) != sorted(map(str, range(len(numbers)))):
        raise ClipError(
            f"{file}: expected the {len(numbers)} classes to have the numbers from 0 to {len(numbers) - 1}, got "
            "others; restore the file"
        )
    return sorted(numbers, key=lambda name: int(numbers[name]))


def _read_entries(file: Path, to_row: Callable[[object, object], Row], bad: list[ClipError] | None) -> list[Row]:
    def parse(entry: object) -> Row:
        if not isinstance(entry, dict):
            raise ClipError(f"expected an object with id and template, got {quoted(entry)}; correct the entry")
        return to_row(entry.get("id"), entry.get("template"))

    entries = ((f"{file}: entry {number}", entry) for number, entry in enumerate(read_json(file, list), start=1))
    return list(parse_each(entries, parse, bad))


def _read_answers(file: Path, to_row: Callable[[object, object], Row], bad: list[ClipError] | None) -> list[Row]:
    def parse(line: str) -> Row:
        clip, *name = (field.strip() for field in line.split(";", 1))
        if not name or not is_whole(clip):
            raise ClipError(f"expected 'id;label', got {quoted(line)}; correct the line")
        return to_row(clip, name[0])

    return read_rows(file, parse, form="'id;label'", bad=bad)
