import pytest
from layout_cases import write

from envs.clips import ClipError
from envs.clips.datasets.groups import find_groups, read_groups, without_suffix

CLIPS = ("run/a.mp4", "run/b.mp4", "walk/c.mp4")


def listed(root, text):
    return write(root, {"groups.csv": text})


@pytest.mark.parametrize("header", ["", "path,group\n", "Path, Group\n", "\ufeffpath,group\r\n"])
def test_paths_have_a_suffix_or_not_and_a_header_may_be_there(tmp_path, header):
    found = find_groups(listed(tmp_path, f"{header}run/a,one\n./walk/c.mp4, one\nrun/b.mp4,two\n"), CLIPS)
    assert found == (("one", "two", "one"), 0, ())
    assert found.remark() == ""


def test_commas_and_spaces_are_kept_between_quotes(tmp_path):
    assert read_groups(listed(tmp_path, '"run/a, b.mp4","x, y"\n') / "groups.csv") == {"run/a, b.mp4": "x, y"}


def test_a_clip_that_nothing_names_is_a_group_of_its_own_and_is_counted(tmp_path):
    found = find_groups(listed(tmp_path, "run/a,one\nwalk/c,one\ngone/d,two\ngone/e,two\n"), CLIPS)
    assert found == (("one", "run/b.mp4", "one"), 1, ("gone/d", "gone/e"))
    assert found.remark() == (
        "1 of 3 clips are named by no group: each counts as a source of its own. "
        "2 paths in groups.csv are none of the clips, the first being gone/d."
    )


def test_without_a_file_or_a_pattern_nothing_is_known(tmp_path):
    assert find_groups(tmp_path, CLIPS) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run/a,one\nrun/b\n", r"groups.csv:2: expected 'path,group', got 'run/b'; correct the line"),
        ("run/a,one,1\n", r"groups.csv:1: expected 'path,group'"),
        ("run/a,\n", r"groups.csv:1: expected 'path,group'"),
        (",one\n", r"groups.csv:1: expected 'path,group'"),
        ('"run/a,one\n', r"groups.csv:1: expected 'path,group'"),
        ("../a,one\n", r"groups.csv:1: expected a path relative to .* and inside it"),
        ("run/a,one\nrun/a,two\n", r"groups.csv:2: expected one group for run/a, got 'one' and 'two'"),
        ("", r"groups.csv: expected lines 'path,group', but there are none"),
        ("path,group\n\n", r"groups.csv: expected lines 'path,group', but there are none"),
    ],
)
def test_lines_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(ClipError, match=message) as caught:
        find_groups(listed(tmp_path, text), CLIPS)
    assert "\n" not in str(caught.value)


def test_bad_lines_are_collected_where_that_is_asked_for(tmp_path):
    bad = []
    assert read_groups(listed(tmp_path, "a,one\nb\na,two\nc,two\n") / "groups.csv", bad=bad) == {"a": "one", "c": "two"}
    assert [str(error).split(": ")[0] for error in bad] == [f"{tmp_path}/groups.csv:{line}" for line in (2, 3)]


def test_a_pattern_names_sources_in_place_of_the_file(tmp_path):
    listed(tmp_path, "run/a,one\n")
    clips = ("run/x_c01.mp4", "walk/x_c02.avi", "run/y.z_c1.mp4", "run/other.mp4")
    found = find_groups(tmp_path, clips, r"(.*)_c\d+")
    assert found == (("x", "x", "y.z", "run/other.mp4"), 1, ())


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"expected a regular expression as group pattern, got '\('"),
        (r".*_c\d+", r"whose parentheses hold the source's name, such as '\(\.\*\)_c\\d\+'"),
        (r"(q+)_c\d+", r"expected a group pattern that fits names such as 'a', but '\(q\+\)_c\\\\d\+' fits none of 3"),
        ("(q*)", "fits none of 3"),  # it does, but names nothing
    ],
)
def test_patterns_that_tell_nothing(tmp_path, pattern, message):
    with pytest.raises(ClipError, match=message):
        find_groups(tmp_path, CLIPS, pattern)


def test_only_suffixes_of_videos_are_left_out():
    assert [without_suffix(name) for name in ("a/b.MP4", "a/b.c", "a.b/c", "b.webm")] == ["a/b", "a/b.c", "a.b/c", "b"]
