import json

import pytest

from envs.clips import ClipError
from envs.clips.datasets import find_clips


def lists(root, **content: str | bytes):
    root.mkdir(exist_ok=True)
    for name, text in content.items():
        (root / f"{name}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def touch(root, *names: str):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


# Lists


def test_lists_are_read_with_names_and_without(tmp_path):
    root = lists(tmp_path, train="a.mp4 0\nsub/b.mp4 2\n", val="c.mp4 1\n")
    listing = find_clips(root, "train")
    assert listing.paths == ("a.mp4", "sub/b.mp4")
    assert listing.labels == (0, 2)
    assert listing.classes == ("0", "1", "2")
    assert (listing.reversed_class, listing.paired, listing.note) == (None, False, "")
    assert find_clips(root, "val").classes == ("0", "1", "2")
    lists(root, classes="run\nwalk\nsit down\n")
    assert find_clips(root, "train").classes == ("run", "walk", "sit down")


@pytest.mark.parametrize(
    "text",
    [
        "my clip 1.mp4 1\nb.mp4 0\n",
        "my clip 1.mp4\t1\r\nb.mp4 0\r\n",
        b"\xef\xbb\xbfmy clip 1.mp4 1\n\n   \nb.mp4   0",
        "./my clip 1.mp4 1 \n  x/../b.mp4 0\n\n",
    ],
)
def test_lists_may_come_from_any_editor(tmp_path, text):
    listing = find_clips(lists(tmp_path, train=text, classes=b"\xef\xbb\xbfrun\r\n\r\nwalk\r\n"), "train")
    assert listing.paths == ("my clip 1.mp4", "b.mp4")
    assert listing.labels == (1, 0)
    assert listing.classes == ("run", "walk")


def test_validation_stands_in_for_a_missing_test_split_and_says_so(tmp_path):
    by_list = lists(tmp_path / "lists", train="a.mp4 0\n", val="b.mp4 0\n")
    by_folder = touch(tmp_path / "folders", "train/run/a.mp4", "val/run/b.mp4")
    for root in (by_list, by_folder):
        assert find_clips(root, "test").paths == find_clips(root, "val").paths
        assert "val" in find_clips(root, "test").note
        assert not find_clips(root, "val").note
    lists(by_list, test="c.mp4 0\n")
    assert find_clips(by_list, "test").paths == ("c.mp4",)
    assert not find_clips(by_list, "test").note


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b.mp4", r"train.txt:2: expected 'path label'.*'b.mp4'"),
        ("b.mp4 x", r"train.txt:2: .*'b.mp4 x'"),
        ("b.mp4 -1", r"train.txt:2: "),
        ("b.mp4 1.0", r"train.txt:2: "),
        ("1", r"train.txt:2: "),
        ("../b.mp4 1", r"train.txt:2: .*inside it"),
        ("x/../../b.mp4 1", r"train.txt:2: .*inside it"),
        ("/b.mp4 1", r"train.txt:2: .*inside it"),
        (". 1", r"train.txt:2: .*inside it"),
        ("b.mp4 2", r"train.txt:2: expected labels from 0 to 1 .*got 2 for b.mp4"),
    ],
)
def test_a_bad_line_is_shown_with_its_number(tmp_path, line, message):
    lists(tmp_path, train=f"a.mp4 0\n{line}\n", classes="run\nwalk\n")
    with pytest.raises(ClipError, match=message) as caught:
        find_clips(tmp_path, "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "split", "message"),
    [
        ({"val": "a.mp4 0\n"}, "train", "expected train.txt beside val.txt"),
        ({"train": "a.mp4 0\n"}, "val", "expected val.txt beside train.txt"),
        ({"train": "a.mp4 0\n"}, "test", "expected test.txt beside train.txt"),
        ({"train": "\n \n"}, "train", "the list is empty"),
        ({"train": b"\xff\xfea\x00"}, "train", "expected UTF-8"),
    ],
)
def test_missing_and_unreadable_lists(tmp_path, content, split, message):
    with pytest.raises(ClipError, match=message):
        find_clips(lists(tmp_path, **content), split)


def test_the_sidecar_tells_reversals(tmp_path):
    root = lists(tmp_path, train="a.mp4 0\n", val="b.mp4 1\nc.mp4 0\n")
    (root / "dataset.json").write_text(
        json.dumps({"classes": ["up", "down"], "reversed_class": [1, 0], "paired": ["val"]})
    )
    assert find_clips(root, "val").paired
    assert not find_clips(root, "train").paired
    assert find_clips(root, "train").classes == ("up", "down")
    assert find_clips(root, "train").reversed_class == (1, 0)


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "JSON object"),
        ('{"reversed_class": [1]}', "reversed_class"),
        ('{"reversed_class": [1, 1]}', "reversed_class"),
        ('{"reversed_class": [2, 0]}', "reversed_class"),
        ('{"reversed_class": [0, 1], "paired": ["train"]}', "every second clip"),
        ('{"paired": ["train"]}', "every second clip"),
    ],
)
def test_a_sidecar_that_contradicts_the_list_is_refused(tmp_path, sidecar, message):
    lists(tmp_path, train="a.mp4 0\nb.mp4 1\n")
    (tmp_path / "dataset.json").write_text(sidecar)
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path, "train")


# Folders


def test_a_folder_for_each_split_and_class(tmp_path):
    root = touch(tmp_path, "train/walk/b.MP4", "train/run/a.webm", "train/run/notes.txt", "train/run/.hidden.mp4")
    touch(root, "val/walk/c.avi", ".cache/x.mp4", "README.md")
    listing = find_clips(root, "train")
    assert listing.paths == ("train/run/a.webm", "train/walk/b.MP4")
    assert listing.labels == (0, 1)
    assert listing.classes == ("run", "walk")
    assert find_clips(root, "val").labels == (1,)
    touch(root, "val/swim/d.mp4")
    with pytest.raises(ClipError, match="'swim'"):
        find_clips(root, "val")


@pytest.mark.parametrize(
    ("names", "split", "message"),
    [
        (["val/run/a.mp4"], "val", "expected a folder train/"),
        (["train/run/a.mp4"], "val", "expected val/"),
        (["train/a.mp4", "val/b.mp4"], "train", "a folder of videos for each class"),
        (["train/run/a.txt"], "train", "there are none"),
        (["run/a.txt", "b.mp4"], "train", "there is none of them"),
        ([], "train", "there is none of them"),
        (["run/a.mp4", "run/b.mp4"], "train", "at least 3 videos"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, names, split, message):
    with pytest.raises(ClipError, match=message):
        find_clips(touch(tmp_path, *names), split)


def test_class_folders_are_divided_by_name_alone(tmp_path):
    names = [f"run/{i}.mp4" for i in range(30)] + [f"walk/{i}.mp4" for i in range(3)]
    one = touch(tmp_path / "one", *names)
    two = touch(tmp_path / "two", *reversed(names))
    parts = {split: find_clips(one, split) for split in ("train", "val", "test")}
    assert sorted(path for part in parts.values() for path in part.paths) == sorted(names)
    for split, part in parts.items():
        assert part == find_clips(two, split)
        assert part.classes == ("run", "walk")
        assert part.labels.count(0) == {"train": 24, "val": 3, "test": 3}[split]
        assert part.labels.count(1) == 1
    assert list(parts["test"].paths[:3]) != names[:3]  # not simply the first ones


def test_a_class_may_be_called_train(tmp_path):
    root = touch(tmp_path, *(f"{name}/{i}.mp4" for name in ("train", "car") for i in range(3)))
    assert find_clips(root, "train").classes == ("car", "train")


def test_roots_that_are_not_there(tmp_path):
    with pytest.raises(ClipError, match="there is nothing"):
        find_clips(tmp_path / "nowhere", "train")
    with pytest.raises(ClipError, match="it is a file"):
        find_clips(touch(tmp_path, "file") / "file", "train")
    with pytest.raises(ClipError, match="train, val, test, got 'valid'"):
        find_clips(tmp_path, "valid")
