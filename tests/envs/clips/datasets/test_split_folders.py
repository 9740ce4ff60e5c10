from layout_cases import touch

from envs.clips.datasets import find_clips


def test_splits_and_classes_by_their_folders(tmp_path):
    touch(tmp_path, "train/run/a.mp4", "train/walk/b.mp4", "test/walk/c.mp4")
    assert find_clips(tmp_path, "test").paths == ("test/walk/c.mp4",)
    assert find_clips(tmp_path, "test").labels == (1,)
    assert find_clips(tmp_path, "test").layout == "split_folders"
