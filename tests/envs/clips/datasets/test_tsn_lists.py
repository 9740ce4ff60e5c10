import pytest
from layout_cases import frames, touch, write

from envs.clips import ClipError
from envs.clips.datasets import find_clips


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train_videofolder.txt", "val_videofolder.txt"),
        ("train_split.txt", "validation_split.txt"),
        ("sthv1_train_list_rawframes.txt", "sthv1_val_list_rawframes.txt"),
        ("jester_train_list_videos.txt", "jester_val_list_videos.txt"),
        ("ucf101_rgb_train_split_1.txt", "ucf101_rgb_val_split_1.txt"),
        ("ucf101_train_split_1_rawframes.txt", "ucf101_val_split_1_rawframes.txt"),
    ],
)
def test_the_names_of_public_code(tmp_path, train, val):
    write(tmp_path, {train: "7 3 0\n8 2 1\n", val: "9 2 1\n", "category.txt": "run\nwalk\n"})
    touch(tmp_path, f"{train.replace('rgb', 'flow')}_flow.txt")
    frames(tmp_path, "rawframes/7", 3, template="img_{:05d}.jpg")
    listing = find_clips(tmp_path, "train")
    assert (listing.paths, listing.labels) == (("rawframes/7", "rawframes/8"), (0, 1))
    assert (listing.frames, listing.template) == ((3, 2), "img_{:05d}.jpg")
    assert (listing.classes, listing.layout) == (("run", "walk"), "tsn_lists")
    assert find_clips(tmp_path, "val").labels == (1,)
    assert find_clips(tmp_path, "test").paths == find_clips(tmp_path, "val").paths
    assert f"so {val} is used for testing too" in find_clips(tmp_path, "test").note


def test_classes_without_names_are_numbers(tmp_path):
    write(tmp_path, {"train_videofolder.txt": "7 3 2\n"})
    assert find_clips(tmp_path, "train").classes == ("0", "1", "2")
    with pytest.raises(ClipError, match=r"expected val_videofolder.txt beside train_videofolder.txt"):
        find_clips(tmp_path, "val")


def test_optical_flow_is_left_alone(tmp_path):
    write(tmp_path, {"train_videofolder_flow.txt": "7 3 2\n", "ucf101_flow_train_split_1.txt": "7 3 2\n"})
    touch(tmp_path, *(f"a/{i}.mp4" for i in range(3)))
    assert find_clips(tmp_path, "train").layout == "class_folders"
