"""Lists, labels and class names: text files to rows, with the line's number in every complaint."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from envs.clips.source import ClipError

T = TypeVar("T")

VIDEO_SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"))
SIDECAR = "dataset.json"
CLASS_FILES = (  # ours, TSM's, UCF101's and AdaFuse's, AdaFuse's for Mini-Kinetics, MMAction2's, TSM's for Kinetics
    "classes.txt",
    "category.txt",
    "classInd.txt",
    "minik_classInd.txt",
    "label_map.txt",
    "kinetics_label_map.txt",
)


MOST_BYTES = 1 << 27  # of a file that describes data: two million lines
MOST_CLASSES = 100_000
MOST_FRAMES = 10_000_000  # of one clip: four days of video
LONGEST = 255, 4096  # bytes of a file's name and of a path


class LabelError(ClipError):
    """A label that no class has."""


class Row(NamedTuple):
    """A clip as a list has it: a path or name, its label, and its number of frames where the list says that.

    `place` is where it stands there, such as "/data/train.txt:7".
    """

    path: str
    label: int
    frames: int | None = None
    place: str = ""


def quoted(value: object) -> str:
    """What came, as an error quotes it: a line of a list may be as long as the list."""
    text = repr(value[:200] if isinstance(value, str) else value)
    return text if len(text) <= 120 else f"{text[:100]}..."


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark, its lines ending in a line feed.

    :raises ClipError: when it cannot be read, is no file or none of a list's size, or is not UTF-8.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ClipError(f"{file}: expected a text file, but it is a device, a pipe or a folder; put a file there")
        with open(file, encoding="utf-8-sig") as lines:
            text = lines.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ClipError(
                f"{file}: expected a text file of at most {MOST_BYTES >> 20} MiB, got more; is it what its name says?"
            )
        return text
    except UnicodeDecodeError as error:
        raise ClipError(f"{file}: expected UTF-8 text, got other bytes ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise ClipError(
            f"{file}: expected a text file, but it cannot be read ({error.strerror}); correct its name or its rights"
        ) from error


def read_lines(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, stripped, each with its number from 1."""
    lines = enumerate(read_text(file).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_rows(file: Path, parse: Callable[[str], T], *, form: str, bad: list[ClipError] | None) -> list[T]:
    """What `parse` makes of each line.

    :param parse: raises a ClipError that says what is wrong with a line; file and number are put before it.
    :param form: what a line should look like, for the complaint about an empty file.
    :param bad: takes these errors, and the other lines are returned; None raises the first.
    """
    lines = read_lines(file)
    if not lines:
        raise ClipError(f"{file}: expected a line {form} for each clip, but the list is empty; fill or remove it")
    return list(parse_each(((f"{file}:{number}", line) for number, line in lines), parse, bad))


def parse_each(items: Iterator[tuple[str, object]], parse: Callable, bad: list[ClipError] | None) -> Iterator:
    """As `read_rows`, for whatever has a place to be named by; rows are given theirs."""
    for place, item in items:
        try:
            parsed = parse(item)
            yield parsed._replace(place=place) if isinstance(parsed, Row) else parsed
        except ClipError as error:
            if bad is None:
                raise type(error)(f"{place}: {error}") from error
            bad.append(type(error)(f"{place}: {error}"))


def read_list(file: Path, root: Path, *, num_classes: int | None, bad: list[ClipError] | None) -> list[Row]:
    """The clips of a list, all of whose lines are either `path label` or `path n_frames label`.

    Fields are parted by spaces or tabs, and a path may contain spaces itself. The lines have a number of frames where
    in most of them the field before the label is a whole number.

    :param num_classes: K, where the classes are known.
    """
    lines = [line for _, line in read_lines(file)]
    counted = 2 * sum(_has_count(line) for line in lines) > len(lines)
    form = "'path n_frames label'" if counted else "'path label'"

    def parse(line: str) -> Row:
        *path, label = line.rsplit(maxsplit=2 if counted else 1)
        count = path.pop() if counted and path else "1"
        if not path or not is_whole(count.removeprefix("-")) or _is_stray_count(path[0]):
            raise ClipError(
                f"expected {form} on every line, got {quoted(line)}; correct the line, so that it has the fields of the others"
            )
        if not is_whole(label):
            raise ClipError(
                f"expected {form} with a whole number from 0 as label, got {quoted(line)}; correct the line"
            )
        clip = inside(path[0].strip(), root)
        if (frames := bounded(count, MOST_FRAMES)) is None or frames < 1:
            raise ClipError(
                f"expected {'at least 1 frame' if frames is not None else f'at most {MOST_FRAMES} frames'}, got {count[:20]} for "
                f"{clip}; correct the number or the clip"
            )
        classes = MOST_CLASSES if num_classes is None else num_classes
        if (number := bounded(label, classes - 1)) is None:
            known = f"{classes} classes" if num_classes is not None else "classes without names"
            raise LabelError(
                f"expected labels from 0 to {classes - 1} for {known}, got {label[:20]} for {clip}; correct the label or name "
                "the class"
            )
        return Row(clip, number, frames if counted else None)

    return read_rows(file, parse, form=form, bad=bad)


def is_whole(text: str) -> bool:
    """Whether a text is a whole number from 0, in plain digits."""
    return text.isascii() and text.isdigit()


def bounded(text: str, most: int) -> int | None:
    """The whole number that a text is; None if it is more than ``most``, of however many digits."""
    text = text.lstrip("0") or "0"
    return int(text) if len(text) <= len(str(most)) and int(text) <= most else None


def _has_count(line: str) -> bool:
    fields = line.split()
    return len(fields) > 2 and is_whole(fields[-2].removeprefix("-"))


def _is_stray_count(path: str) -> bool:
    """Whether what stands before the label is a video and one number more."""
    video, *count = path.rsplit(maxsplit=1)
    return bool(count) and is_whole(count[0]) and Path(video).suffix.lower() in VIDEO_SUFFIXES


def inside(path: str, root: Path) -> str:
    """A path relative to the root, tidied.

    :raises ClipError: when it leads elsewhere.
    """
    raw = path.encode(errors="replace")
    lengths = len(max(raw.split(b"/"), key=len)), len(raw)
    if "\0" in path or raw.decode() != path or any(length > most for length, most in zip(lengths, LONGEST)):
        raise ClipError(f"expected a path that a file can have, got {quoted(path)}; correct it")
    tidy = os.path.normpath(path)
    if os.path.isabs(tidy) or tidy.split(os.sep)[0] in (os.pardir, os.curdir):
        raise ClipError(
            f"expected a path relative to {root} and inside it, got {quoted(path)}; move the video there or link it"
        )
    return tidy


def find_classes(root: Path) -> list[str] | None:
    """The names in the first class file of a folder, or None if there is no such file."""
    file = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    return None if file is None else read_classes(file)


def read_classes(file: Path) -> list[str]:
    """Class names, one a line: bare, or behind their number as `0,name` or `1 name`, counted from 0 or 1.

    :raises ClipError: when the file is empty, or numbers or names are given twice or left out.
    """
    lines = [line for _, line in read_lines(file)]
    if not lines:
        raise ClipError(f"{file}: expected the name of a class on each line, but the file is empty; fill or remove it")
    names = [line.strip('"') for line in lines]
    for pattern in (r"(\d{1,9}),\s*(.+)", r"(\d{1,9})\s+(.+)"):
        found = [match for line in lines if (match := re.fullmatch(pattern, line))]
        if len(found) == len(lines):
            numbered = sorted((int(match[1]), match[2].strip('"')) for match in found)
            first = numbered[0][0]
            if first > 1 or [number for number, _ in numbered] != list(range(first, first + len(numbered))):
                raise ClipError(
                    f"{file}: expected the classes to be numbered from 0 or 1 without a gap, got "
                    f"{numbered[0][0]} to {numbered[-1][0]} for {len(numbered)} classes; correct the numbers"
                )
            names = [name for _, name in numbered]
            break
    check_names(file, names)
    return names


def check_names(file: Path, names: list[str]) -> None:
    """:raises ClipError: when two classes have the same name, or what is given is no names."""
    if odd := [name for name in names if not isinstance(name, str) or not 0 < len(name) <= LONGEST[1]]:
        raise ClipError(f"{file}: expected the names of classes, got {quoted(odd[0])}; correct it")
    if twice := [name for name, count in Counter(names).most_common(1) if count > 1]:
        raise ClipError(f"{file}: expected different names, got {quoted(twice[0])} twice; correct one of them")
    if len(names) > MOST_CLASSES:
        raise ClipError(f"{file}: expected at most {MOST_CLASSES} classes, got {len(names)}; is it what its name says?")


def to_label(name: str, numbers: dict[str, int], file: Path) -> int:
    """The number of a class.

    :raises LabelError: when there is no such class in `file`.
    """
    if name not in numbers:
        raise LabelError(
            f"expected one of the {len(numbers)} classes of {file.name}, got {quoted(name)}; correct either file"
        )
    return numbers[name]


def read_json(file: Path, kind: type[T]) -> T:
    """JSON whose outermost value is a `dict` or a `list`.

    :raises ClipError: when it is something else.
    """
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
        if isinstance(error, ClipError):
            raise
        raise ClipError(f"{file}: expected JSON, got {quoted(str(error))}; correct or remove the file") from error
    if not isinstance(content, kind):
        wanted = "object" if kind is dict else "list"
        raise ClipError(f"{file}: expected a JSON {wanted}, got a {type(content).__name__}; correct or remove the file")
    return content
