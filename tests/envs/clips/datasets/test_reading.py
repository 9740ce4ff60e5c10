import os
import re
from pathlib import Path

import pytest
from layout_cases import write

from envs.clips import ClipError
from envs.clips.datasets import reading
from envs.clips.datasets.reading import (
    LabelError,
    Row,
    check_names,
    find_classes,
    inside,
    read_classes,
    read_json,
    read_list,
    read_text,
)

ROOT = Path("/data")


def read(tmp_path, text, **kwargs):
    """The rows, without their places."""
    file = write(tmp_path, {"list.txt": text}) / "list.txt"
    rows = read_list(file, ROOT, num_classes=kwargs.pop("num_classes", 3), bad=kwargs.pop("bad", None))
    return [row._replace(place="") for row in rows]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a.mp4 0\nb.mp4 2\n", [Row("a.mp4", 0), Row("b.mp4", 2)]),
        ("100218 45 1\n24413 8 0", [Row("100218", 1, 45), Row("24413", 0, 8)]),
        ("x/air drumming/7LSJ 60 0\n", [Row("x/air drumming/7LSJ", 0, 60)]),
        ("a.mp4\t45\t1\r\n\r\nb c.mp4\t3\t2\r\n", [Row("a.mp4", 1, 45), Row("b c.mp4", 2, 3)]),
        (b"\xef\xbb\xbfa.mp4 0\n\n", [Row("a.mp4", 0)]),
        ("a.mp4 0\na.mp4 0\n", [Row("a.mp4", 0), Row("a.mp4", 0)]),
        ("take 5.mp4 0\nb.mp4 1\nc 7 1\n", [Row("take 5.mp4", 0), Row("b.mp4", 1), Row("c 7", 1)]),
        ("ä/ß.mp4 1\n", [Row("ä/ß.mp4", 1)]),
    ],
)
def test_both_forms_of_a_list(tmp_path, text, rows):
    assert read(tmp_path, text) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 5 0\nb 0 1\n", r"list.txt:2: expected at least 1 frame, got 0 for b"),
        ("a 5 0\nb -3 1\n", r"list.txt:2: expected at least 1 frame, got -3 for b"),
        ("a 5 0\nb 1\nc 5 0\n", r"list.txt:2: expected 'path n_frames label'.*'b 1'"),
        ("a 5 0\nb x 1\nc 5 0\n", r"list.txt:2: expected 'path n_frames label'.*'b x 1'"),
        ("a.mp4 0\nb.mp4 1\nc.mp4 30 1\n", r"list.txt:3: expected 'path label'.*on every line.*fields of the others"),
        ("a.mp4 0\n\nb.mp4 zero\n", r"list.txt:3: expected 'path label'.*'b.mp4 zero'"),
        ("a.mp4 3\n", r"list.txt:1: expected labels from 0 to 2 for 3 classes, got 3 for a.mp4"),
        ("a 5 0\n../b 5 0\n", r"list.txt:2: .*inside it, got '../b'"),
        ("a 5 0\n/b 5 0\n", r"list.txt:2: .*inside it, got '/b'"),
        ("", r"list.txt: expected a line 'path label' for each clip, but the list is empty"),
        ("\n \r\n", r"list.txt: .*the list is empty"),
        (b"a.mp4 0\n\xff\xfe 1\n", r"list.txt: expected UTF-8 text"),
    ],
)
def test_a_line_that_cannot_be_used_is_one_sentence(tmp_path, text, message):
    with pytest.raises(ClipError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_row_knows_its_line(tmp_path):
    file = write(tmp_path, {"list.txt": "\ufeffa.mp4 0\r\n\r\nb.mp4 1\r\n"}) / "list.txt"
    rows = read_list(file, ROOT, num_classes=None, bad=None)
    assert [row.place for row in rows] == [f"{file}:1", f"{file}:3"]


def test_bad_lines_can_be_collected(tmp_path):
    bad = []
    rows = read(tmp_path, "a.mp4 0\nb.mp4\nc.mp4 7\n../d.mp4 0\ne.mp4 1\n", bad=bad)
    assert rows == [Row("a.mp4", 0), Row("e.mp4", 1)]
    assert [type(error) for error in bad] == [ClipError, LabelError, ClipError]
    assert [str(error).partition("list.txt:")[2][0] for error in bad] == ["2", "3", "4"]


@pytest.mark.parametrize("path", ["..", ".", "/x", "a/../..", "../x", ""])
def test_a_path_out_of_the_root_is_refused(path):
    with pytest.raises(ClipError, match="inside it"):
        inside(path, ROOT)


def test_a_path_is_tidied():
    assert inside("./a//b/../c.mp4", ROOT) == "a/c.mp4"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Swiping Left\nSwiping Right\n", ["Swiping Left", "Swiping Right"]),
        ("0,Swiping Left\n1,Putting something, something and something\n", None),
        ("1 ApplyEyeMakeup\r\n2 ApplyLipstick\r\n", ["ApplyEyeMakeup", "ApplyLipstick"]),
        ("1,b\n0,a\n", ["a", "b"]),
        ('"air drumming"\nyoga\n', ["air drumming", "yoga"]),
        ("3 steps\nrunning\n", ["3 steps", "running"]),
    ],
)
def test_class_names_bare_and_numbered(tmp_path, text, names):
    write(tmp_path, {"classInd.txt": text})
    assert find_classes(tmp_path) == (names or ["Swiping Left", "Putting something, something and something"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "but the file is empty"),
        ("0,a\n2,b\n", "numbered from 0 or 1 without a gap, got 0 to 2 for 2"),
        ("7 a\n8 b\n", "numbered from 0 or 1"),
        ("a\nb\na\n", "different names, got 'a' twice"),
    ],
)
def test_class_names_that_cannot_be_right(tmp_path, text, message):
    with pytest.raises(ClipError, match=message):
        read_classes(write(tmp_path, {"c.txt": text}) / "c.txt")


def test_without_a_class_file_there_are_no_names(tmp_path):
    assert find_classes(tmp_path) is None
    with pytest.raises(ClipError, match=r"c.txt: expected a text file.*No such file"):
        read_classes(tmp_path / "c.txt")


@pytest.mark.parametrize("text", ["{", "[1]", "", "[" * 100_000])
def test_json_of_another_kind_is_refused(tmp_path, text):
    with pytest.raises(ClipError, match="expected"):
        read_json(write(tmp_path, {"x.json": text}) / "x.json", dict)


# -- what no list of clips says --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("b.mp4 10000000", "expected labels from 0 to 99999 for classes without names, got 10000000 for b.mp4"),
        (f"b.mp4 {'9' * 5000}", "expected labels from 0 to 99999 .* got 9{20} for b.mp4"),
        ("b\0.mp4 1", "expected a path that a file can have"),
        (f"{'b' * 256}.mp4 1", "expected a path that a file can have"),
        (f"{'b/' * 2500}c.mp4 1", "expected a path that a file can have"),
        ("b" * 10_000_000, r"expected 'path label' on every line, got 'b{50,}\.\.\."),
    ],
)
def test_an_absurd_line_is_one_short_sentence_and_the_others_are_read(tmp_path, line, said):
    (tmp_path / "list.txt").write_text(f"a.mp4 0\n{line}\nc.mp4 1\n")
    bad = []
    rows = read_list(tmp_path / "list.txt", tmp_path, num_classes=None, bad=bad)
    assert [row.path for row in rows] == ["a.mp4", "c.mp4"]
    (error,) = bad
    assert re.search(f"list.txt:2: {said}", str(error))
    assert len(str(error)) < 400


@pytest.mark.parametrize("count", ["1" + 18 * "0", "9" * 5000])
def test_an_absurd_number_of_frames_is_refused(tmp_path, count):
    (tmp_path / "list.txt").write_text(f"a 3 0\nb {count} 1\nc 3 1\n")
    bad = []
    assert len(read_list(tmp_path / "list.txt", tmp_path, num_classes=None, bad=bad)) == 2
    assert "list.txt:2: expected at most 10000000 frames, got" in str(bad[0])


def test_what_is_no_file_or_none_of_a_lists_size_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.txt")
    for name in ("zero.txt", "pipe.txt", "."):
        with pytest.raises(ClipError, match="expected a text file, but it is a device, a pipe or a folder"):
            read_text(tmp_path / name)
    monkeypatch.setattr(reading, "MOST_BYTES", 1 << 20)
    (tmp_path / "long.txt").write_text("a" * (1 << 20) + "b")
    with pytest.raises(ClipError, match="expected a text file of at most 1 MiB, got more"):
        read_text(tmp_path / "long.txt")


def test_classes_are_names_each_once_and_not_without_end(tmp_path):
    for names, said in (
        (["a"] * 2, "got 'a' twice"),
        (["a", ""], "names of classes"),
        (["a" * 5000], "names of classes"),
    ):
        with pytest.raises(ClipError, match=said):
            check_names(tmp_path / "classes.txt", names)
    with pytest.raises(ClipError, match="at most 100000 classes, got 100001"):
        check_names(tmp_path / "classes.txt", list(map(str, range(100_001))))
