import pytest
from layout_cases import touch, write

from envs.clips import ClipError
from envs.clips.datasets import find_clips

CLASSES = ("ApplyEyeMakeup", "HandstandPushups")


def clips(name, groups, stem=None):
    return [f"{name}/v_{stem or name}_g{group:02d}_c{clip:02d}.avi" for group in groups for clip in (1, 2)]


def data_set(root, lists="ucfTrainTestlist", folder="UCF-101"):
    """Groups 1 to 7 for testing, 8 to 25 for training, as in the first official division."""
    train = [(path, 1) for path in clips(CLASSES[0], range(8, 26))]
    train += [(path, 2) for path in clips(CLASSES[1], range(8, 26), "HandStandPushups")]
    test = clips(CLASSES[0], range(1, 8)) + clips(CLASSES[1], range(1, 8), "HandStandPushups")
    there = [path for path, _ in train] + test
    touch(root / folder, *(path.replace("Stand", "stand") if "g09" in path else path for path in there))
    for number in (1, 2, 3):
        write(
            root / lists,
            {
                f"trainlist{number:02d}.txt": "".join(f"{path} {label}\r\n" for path, label in train[number - 1 :]),
                f"testlist{number:02d}.txt": "".join(f"{path}\r\n" for path in test),
            },
        )
    write(root / lists, {"classInd.txt": "1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n"})
    return root


def test_the_official_division(tmp_path):
    listings = {split: find_clips(data_set(tmp_path), split) for split in ("train", "val", "test")}
    assert listings["test"].layout == "ucf101"
    assert listings["test"].paths[0] == "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"
    assert listings["test"].classes == CLASSES
    assert {split: len(listing.labels) for split, listing in listings.items()} == {"train": 64, "val": 8, "test": 28}
    assert listings["test"].labels == (0,) * 14 + (1,) * 14
    assert all((tmp_path / path).exists() for listing in listings.values() for path in listing.paths)


def test_validation_holds_out_whole_groups(tmp_path):
    data_set(tmp_path)
    groups = {
        split: {(path.split("_")[1], path.split("_")[2]) for path in find_clips(tmp_path, split).paths}
        for split in ("train", "val", "test")
    }
    assert not groups["train"] & groups["val"]
    assert {group for _, group in groups["val"]} == {"g24", "g25"}
    for split in ("train", "val"):
        assert "8 clips of trainlist01.txt, whole groups, are held out" in find_clips(tmp_path, split).note
    assert not find_clips(tmp_path, "test").note


@pytest.mark.parametrize(("lists", "folder"), [("annotations", "videos"), ("", "")])
def test_other_folders(tmp_path, lists, folder):
    listing = find_clips(data_set(tmp_path, lists, folder), "test")
    assert listing.layout == "ucf101"
    assert (tmp_path / listing.paths[0]).exists()


def test_the_other_divisions_are_named(tmp_path):
    data_set(tmp_path)
    counts = [len(find_clips(tmp_path, "train", name).labels) for name in ("ucf101", "ucf101_2", "ucf101_3")]
    assert counts == [64, 63, 62]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("trainlist01.txt", "ApplyEyeMakeup/v_g08_c01.avi 2\n", r"trainlist01.txt:1: expected '.* 1', as classInd"),
        ("trainlist01.txt", "ApplyEyeMakeup/v_g08_c01.avi\n", r"trainlist01.txt:1: expected '.* 1'"),
        ("trainlist01.txt", "Flying/v_g08_c01.avi 2\n", r"trainlist01.txt:1: expected one of the 2.*'Flying'"),
        ("trainlist01.txt", "../ApplyEyeMakeup/v.avi 1\n", r"trainlist01.txt:1: .*inside it"),
        ("trainlist01.txt", "", r"trainlist01.txt: .*the list is empty"),
        ("trainlist01.txt", "ApplyEyeMakeup/v_g08_c01.avi 1\n", r"trainlist01.txt: expected at least 2 groups"),
        ("classInd.txt", "", r"classInd.txt: .*the file is empty"),
        ("testlist01.txt", None, r"testlist01.txt: expected an official list of UCF101, but there is none"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, file, text, message):
    path = data_set(tmp_path) / "ucfTrainTestlist" / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ClipError, match=message):
        find_clips(tmp_path, "train")
