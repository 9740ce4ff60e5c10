import pytest
from layout_cases import frames, write

from envs.clips import ClipError
from envs.clips.datasets import find_clips

FOLDER = "20bn-something-something-v1"
LABELS = "Holding something\nTurning something upside down\nPutting something, something and something on the table\n"


def data_set(root):
    """As it is unpacked, with the four csv files beside the folder."""
    for clip, count in (("100218", 4), ("24413", 3), ("7", 3)):
        frames(root, f"{FOLDER}/{clip}", count)
    return write(
        root,
        {
            "something-something-v1-labels.csv": LABELS,
            "something-something-v1-train.csv": "100218;Putting something, something and something on the table\n"
            "24413;Holding something\n",
            "something-something-v1-validation.csv": "7;Turning something upside down\n",
            "something-something-v1-test.csv": "1\n2\n",
        },
    )


def test_the_official_files(tmp_path):
    listing = find_clips(data_set(tmp_path), "train")
    assert listing.layout == "something_v1"
    assert listing.paths == (f"{FOLDER}/100218", f"{FOLDER}/24413")
    assert listing.labels == (2, 0)
    assert listing.classes == tuple(LABELS.splitlines())
    assert (listing.frames, listing.template, listing.note) == (None, "{:05d}.jpg", "")
    test = find_clips(tmp_path, "test")
    assert test.paths == find_clips(tmp_path, "val").paths == (f"{FOLDER}/7",)
    assert "something-something-v1-validation.csv is used for testing too" in test.note


def test_tsm_sorts_the_classes_and_its_category_file_says_so(tmp_path):
    write(data_set(tmp_path), {"category.txt": "\n".join(sorted(LABELS.splitlines()))})
    assert find_clips(tmp_path, "train").classes == tuple(sorted(LABELS.splitlines()))
    assert find_clips(tmp_path, "train").labels == (1, 0)
    write(tmp_path, {"category.txt": "Holding something\nFlying\n"})
    with pytest.raises(ClipError, match="differ, for instance in 'Flying'"):
        find_clips(tmp_path, "train")


def test_tsn_lists_in_place_of_the_csv_files(tmp_path):
    for file in data_set(tmp_path).glob("*.csv"):
        file.unlink()
    write(tmp_path, {"train_videofolder.txt": "100218 4 2\n24413 3 0\n", "val_videofolder.txt": "7 3 1\n"})
    write(tmp_path, {"category.txt": LABELS})
    listing = find_clips(tmp_path, "train")
    assert (listing.layout, listing.frames) == ("something_v1", (4, 3))
    assert listing.paths == (f"{FOLDER}/100218", f"{FOLDER}/24413")
    assert listing.classes == tuple(LABELS.splitlines())


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("train", "1;Holding something\n2;Flying\n", r"train.csv:2: expected one of the 3 classes of .*got 'Flying'"),
        ("train", "1;Holding something\n2\n", r"train.csv:2: expected 'id;label', got '2'"),
        ("train", "../1;Holding something\n", r"train.csv:1: expected a path relative"),
        ("train", "\n", r"train.csv: expected a line 'id;label'"),
        ("train", b"1;\xff\n", r"train.csv: expected UTF-8"),
        ("labels", "", r"labels.csv: expected the name of a class"),
        ("labels", "a\nb\na\n", r"labels.csv: expected different names, got 'a' twice"),
        ("labels", None, r"expected the classes in something-something-v1-labels.csv, but there is no such file"),
        ("train", None, r"expected something-something-v1-train.csv beside something-something-v1-validation.csv"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, file, text, message):
    path = data_set(tmp_path) / f"something-something-v1-{file}.csv"
    if text is None:
        path.unlink()
    else:
        write(tmp_path, {path.name: text})
    with pytest.raises(ClipError, match=message) as caught:
        find_clips(tmp_path, "train")
    assert "\n" not in str(caught.value)


def test_windows_wrote_the_list(tmp_path):
    write(data_set(tmp_path), {"something-something-v1-train.csv": b"\xef\xbb\xbf7;Holding something\r\n\r\n"})
    assert find_clips(tmp_path, "train").paths == (f"{FOLDER}/7",)
