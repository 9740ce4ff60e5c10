import pytest
from layout_cases import frames, touch, write

from envs.clips import ClipError
from envs.clips.datasets import find_clips

HEADER = "label,youtube_id,time_start,time_end,split\n"
TRAIN = (
    HEADER + '"air drumming",--nQbRBEz2s,104,114,train\nyoga,0wR5jVB-WPk,417,427,train\nyoga,gone0000000,0,10,train\n'
)
VAL = HEADER + "yoga,--a,1.0,11.0,val\n"
TEST = "youtube_id,time_start,time_end,split\n--b,1,11,test\n"
AIR, YOGA, VALID = "--nQbRBEz2s_000104_000114.mp4", "0wR5jVB-WPk_000417_000427.mp4", "--a_000001_000011.mp4"


def data_set(root, places, name="kinetics_{}.csv"):
    touch(root, *places)
    return write(root, {name.format("train"): TRAIN, name.format("val"): VAL, name.format("test"): TEST})


@pytest.mark.parametrize(
    "places",
    [
        (AIR, YOGA, VALID),
        (f"air drumming/{AIR}", f"yoga/{YOGA}", f"yoga/{VALID}"),
        (f"train/air_drumming/{AIR}", f"train/yoga/{YOGA}", f"val/yoga/{VALID}"),
        (f"videos_train/air_drumming/{AIR}", f"videos_train/yoga/{YOGA}", f"videos_val/yoga/{VALID}"),
        (f"videos/train/air drumming/{AIR}", f"videos/train/yoga/{YOGA}", f"videos/val/yoga/{VALID}"),
    ],
)
@pytest.mark.parametrize("name", ["kinetics_{}.csv", "annotations/kinetics-400_{}.csv", "labels/{}.csv"])
def test_the_official_files(tmp_path, places, name):
    listing = find_clips(data_set(tmp_path, places, name), "train")
    assert listing.layout == "kinetics"
    assert (listing.paths, listing.labels) == (places[:2], (0, 1))
    assert listing.classes == ("air drumming", "yoga")
    assert (listing.missing, listing.absent) == (1, ("gone0000000_000000_000010.mp4",))
    assert "1 of 3 clips listed for train are not in" in listing.note
    val = find_clips(tmp_path, "val")
    assert (val.paths, val.missing, val.note) == (places[2:], 0, "")


def test_validation_stands_in_for_a_test_split_without_labels(tmp_path):
    data_set(tmp_path, (AIR, YOGA, VALID))
    assert find_clips(tmp_path, "test").paths == (VALID,)
    assert "has no csv file for test with labels, so kinetics_val.csv is used" in find_clips(tmp_path, "test").note
    write(tmp_path, {"kinetics_test.csv": HEADER.replace("split", "split,is_cc") + "yoga,--a,1,11,test,0\n"})
    assert not find_clips(tmp_path, "test").note


def test_a_split_is_looked_for_in_its_own_folder_first(tmp_path):
    data_set(tmp_path, (f"train/yoga/{VALID}", f"val/yoga/{VALID}", f"train/{AIR}"))
    assert find_clips(tmp_path, "val").paths == (f"val/yoga/{VALID}",)


def test_adafuses_lists_of_mini_kinetics(tmp_path):
    frames(tmp_path, "images/train/air drumming/x_000000_000010", 3)
    frames(tmp_path, "images/val/yoga/y_000000_000010", 3)
    write(
        tmp_path,
        {
            "mini_train_videofolder.txt": "images/train/yoga/gone_000000_000010 60 1\n"
            "images/train/air drumming/x_000000_000010 3 0\n",
            "mini_val_videofolder.txt": "images/val/yoga/y_000000_000010 3 1\n",
            "minik_classInd.txt": "air drumming\nyoga\n",
        },
    )
    listing = find_clips(tmp_path, "train")
    assert listing.layout == "kinetics"
    assert listing.paths == ("images/train/air drumming/x_000000_000010",)
    assert (listing.labels, listing.frames, listing.missing, listing.template) == ((0,), (3,), 1, "{:05d}.jpg")
    assert listing.classes == ("air drumming", "yoga")
    test = find_clips(tmp_path, "test")
    assert test.missing == 0
    assert "mini_val_videofolder.txt is used for testing too" in test.note


def test_lists_of_mini_kinetics_may_name_the_mp4_files(tmp_path):
    touch(tmp_path, f"train/yoga/{YOGA}")
    write(tmp_path, {"mini_train_videofolder.txt": f"yoga/{YOGA.removesuffix('.mp4')} 300 0\nyoga/gone 300 0\n"})
    listing = find_clips(tmp_path, "train")
    assert (listing.paths, listing.missing) == ((f"train/yoga/{YOGA}",), 1)


def test_both_notes_are_told(tmp_path):
    data_set(tmp_path, (VALID,))
    write(tmp_path, {"kinetics_val.csv": VAL + "yoga,gone,0,10,val\n"})
    note = find_clips(tmp_path, "test").note
    assert "for testing too. 1 of 2 clips listed for test are not in" in note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "yoga,a,1,11,train\nyoga,b,x,11,train\n", r"train.csv:3: expected seconds.*'x' and '11'"),
        (HEADER + "yoga,a,inf,11,train\n", r"train.csv:2: expected seconds"),
        (HEADER + "yoga,a,1\n", r"train.csv:2: expected as many fields as in the header"),
        (HEADER + "yoga,a,1,11,train,1,2\n", r"train.csv:2: expected as many fields"),
        (HEADER + "yoga,../../a,1,11,train\n", r"train.csv:2: .*inside it"),
        (HEADER + "yoga,a,1,11,train\nyoga\n", r"train.csv:3: expected as many fields as in the header"),
        (HEADER + ",a,1,11,train\n", r"train.csv:2: expected something as label, got nothing"),
        (HEADER + f"yoga,{'a' * 200_000},1,11,train\n", r"train.csv:2: expected csv, got 'yoga,aaa.*\(field larger"),
        (HEADER + "yoga,a,1e300,11,train\n", r"train.csv:2: expected a path that a file can have"),
        (HEADER.removeprefix("label,") + "a,1,11,train\n", r"train.csv:1: expected a column label, got 'youtube_id"),
        (HEADER, r"train.csv: expected clips"),
        (HEADER + "yoga,a,1,11,train\n", r"none of 1 is there"),
        (HEADER.encode() + b"yoga,\xff,1,11,train\n", r"train.csv: expected UTF-8"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, message):
    write(tmp_path, {"kinetics_train.csv": text})
    with pytest.raises(ClipError, match=message) as caught:
        find_clips(tmp_path, "train")
    assert "\n" not in str(caught.value)


def test_a_label_that_is_in_no_class_file(tmp_path):
    write(data_set(tmp_path, (AIR, YOGA)), {"classes.txt": "yoga\nbowling\n"})
    with pytest.raises(ClipError, match=r"train.csv:2: expected one of the 2 classes .*got 'air drumming'"):
        find_clips(tmp_path, "train")


def test_two_csv_files_for_a_split(tmp_path):
    write(data_set(tmp_path, (AIR,)), {"kinetics_validate.csv": VAL})
    with pytest.raises(ClipError, match=r"one csv file for val, got kinetics_val.csv and kinetics_validate.csv"):
        find_clips(tmp_path, "val")


def test_one_bad_line_leaves_the_others(tmp_path):
    data_set(tmp_path, (YOGA,))
    write(
        tmp_path, {"kinetics_train.csv": HEADER + "yoga\nyoga,a\0,1,11,train\n" + f"yoga,{YOGA[:11]},417,427,train\n"}
    )
    bad = []
    find_clips(tmp_path, "train", bad=bad)
    assert [":2: expected as many" in str(bad[0]), ":3: expected a path that" in str(bad[1])] == [True, True]


def test_a_link_to_a_device_is_no_csv_file(tmp_path):
    (tmp_path / "kinetics_train.csv").symlink_to("/dev/zero")
    with pytest.raises(ClipError):
        find_clips(tmp_path, "train")
