import pytest
from layout_cases import frames, touch, write

from envs.clips import ClipError
from envs.clips.datasets import find_clips

FOLDER = "20bn-something-something-v2"
LABELS = {"Approaching something with your camera": "0", "Moving something up": "2", "Closing something": "1"}
CLASSES = ("Approaching something with your camera", "Closing something", "Moving something up")
TRAIN = [
    {
        "id": "78687",
        "label": "moving a pen up",
        "template": "Moving [something] up",
        "placeholders": ["a pen"],
    },
    {"id": "42326", "label": "closing a box", "template": "Closing [something]", "placeholders": ["a box"]},
]
VALIDATION = [{"id": "74225", "label": "closing a tin", "template": "Closing [something]", "placeholders": ["a tin"]}]
OFFICIAL = {
    "something-something-v2-labels.json": LABELS,
    "something-something-v2-train.json": TRAIN,
    "something-something-v2-validation.json": VALIDATION,
    "something-something-v2-test.json": [{"id": "1420"}],
}


def data_set(root):
    touch(root, *(f"{FOLDER}/{clip}.webm" for clip in (78687, 42326, 74225, 1420)))
    return write(root, OFFICIAL)


def test_the_official_files(tmp_path):
    listing = find_clips(data_set(tmp_path), "train")
    assert listing.layout == "something_v2"
    assert listing.paths == (f"{FOLDER}/78687.webm", f"{FOLDER}/42326.webm")
    assert (listing.labels, listing.classes) == ((2, 1), CLASSES)
    assert (listing.frames, listing.template, listing.note) == (None, None, "")
    assert find_clips(tmp_path, "test").paths == (f"{FOLDER}/74225.webm",)
    assert "something-something-v2-validation.json is used for testing too" in find_clips(tmp_path, "test").note


def test_the_later_release_has_the_answers(tmp_path):
    touch(tmp_path, *(f"{FOLDER}/{clip}.webm" for clip in (78687, 42326, 74225, 1420)))
    files = {f"labels/{name.rpartition('v2-')[2]}": content for name, content in OFFICIAL.items()}
    write(tmp_path, {**files, "labels/test-answers.csv": "1420;Moving something up\n"})
    test = find_clips(tmp_path, "test")
    assert (test.layout, test.paths, test.labels, test.note) == ("something_v2", (f"{FOLDER}/1420.webm",), (2,), "")
    assert find_clips(tmp_path, "val").labels == (1,)


@pytest.mark.parametrize(("folder", "template"), [(f"{FOLDER}-frames", "{:06d}.jpg"), ("rawframes", "img_{:05d}.jpg")])
def test_folders_of_frames(tmp_path, folder, template):
    write(tmp_path, OFFICIAL)
    frames(tmp_path, f"{folder}/78687", 3, template=template)
    listing = find_clips(tmp_path, "train")
    assert listing.paths == (f"{folder}/78687", f"{folder}/42326")
    assert (listing.frames, listing.template) == (None, template)


def test_videos_before_frames_unless_the_lists_are_named(tmp_path):
    frames(data_set(tmp_path), f"{FOLDER}-frames/78687", 3, template="{:06d}.jpg")
    write(tmp_path, {"train_videofolder.txt": "78687 3 2\n", "category.txt": "\n".join(CLASSES)})
    assert find_clips(tmp_path, "train").paths[0].endswith(".webm")
    assert find_clips(tmp_path, "train", "tsn_lists").paths == (f"{FOLDER}-frames/78687",)


def test_adafuses_lists_and_folders(tmp_path):
    frames(tmp_path, "frames/val/74225", 2)
    frames(tmp_path, "frames/train/42326", 2)
    write(tmp_path, {"train_videofolder.txt": "train/42326 2 1\n", "val_videofolder.txt": "val/74225 2 1\n"})
    write(tmp_path, {"classInd.txt": "".join(f"{i},{name}\n" for i, name in enumerate(CLASSES))})
    assert find_clips(tmp_path, "train").paths == ("frames/train/42326",)
    assert find_clips(tmp_path, "val").paths == ("frames/val/74225",)
    assert find_clips(tmp_path, "val").classes == CLASSES


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train", [{"id": "1", "template": "Flying"}], r"train.json: entry 1: expected one of the 3.*'Flying'"),
        ("train", [TRAIN[0], {"id": "1"}], r"train.json: entry 2: expected an id and a template"),
        ("train", [{"id": 1, "template": "Closing [something]"}], r"entry 1: expected an id and a template, got 1"),
        ("train", [{"id": "../1", "template": "Closing [something]"}], r"entry 1: .*inside it"),
        ("train", ["1"], r"entry 1: expected an object"),
        ("train", [], r"train.json: expected clips"),
        ("train", {}, r"train.json: expected a JSON list, got a dict"),
        ("train", "{", r"train.json: expected JSON"),
        ("labels", [], r"labels.json: expected a JSON object"),
        ("labels", {"a": "0", "b": "0"}, r"labels.json: expected the 2 classes to have the numbers from 0 to 1"),
        ("labels", {"a": "x"}, r"labels.json: expected the 1 classes"),
        ("labels", None, r"expected the classes in something-something-v2-labels.json"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, file, content, message):
    path = data_set(tmp_path) / f"something-something-v2-{file}.json"
    if content is None:
        path.unlink()
    else:
        write(tmp_path, {path.name: content})
    with pytest.raises(ClipError, match=message) as caught:
        find_clips(tmp_path, "train", "something_v2")
    assert "\n" not in str(caught.value)
