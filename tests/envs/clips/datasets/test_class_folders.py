import pytest
from layout_cases import touch

from envs.clips import ClipError
from envs.clips.datasets import find_clips


def test_a_folder_for_each_class_is_asked_last(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.mp4" for name in ("train", "car") for i in range(3)))
    assert find_clips(tmp_path, "train", "class_folders").classes == ("car", "train")
    assert find_clips(tmp_path, "train").layout == "class_folders"


def test_a_class_is_not_lost_with_its_link(tmp_path):
    touch(tmp_path, *(f"car/{i}.mp4" for i in range(3)))
    (tmp_path / "train").symlink_to(tmp_path / "train")
    with pytest.raises(ClipError, match="train: expected the folder of a class"):
        find_clips(tmp_path, "train")
