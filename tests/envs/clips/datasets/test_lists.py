import pytest
from layout_cases import frames, touch, write

from envs.clips import ClipError
from envs.clips.datasets import find_clips


def test_folders_of_frames_with_their_numbers(tmp_path):
    write(tmp_path, {"train.txt": "a 3 0\nb 2 1\n", "val.txt": "a 3 0\n", "classes.txt": "run\nwalk\n"})
    frames(tmp_path, "a", 3, template="img_{:05d}.jpg")
    listing = find_clips(tmp_path, "train")
    assert (listing.paths, listing.frames, listing.template) == (("a", "b"), (3, 2), "img_{:05d}.jpg")
    assert (listing.classes, listing.layout) == (("run", "walk"), "lists")


def test_videos_with_a_number_of_frames_stay_videos(tmp_path):
    write(tmp_path, {"train.txt": "a.mp4 30 0\n"})
    listing = find_clips(tmp_path, "train")
    assert (listing.paths, listing.frames, listing.template) == (("a.mp4",), None, None)


def test_folders_of_frames_without_numbers(tmp_path):
    write(tmp_path, {"train.txt": "a 0\nb 1\n"})
    frames(tmp_path, "a", 3)
    assert (find_clips(tmp_path, "train").frames, find_clips(tmp_path, "train").template) == (None, "{:05d}.jpg")


def test_videos_may_lie_a_folder_deeper(tmp_path):
    write(tmp_path, {"train.txt": "a.mp4 0\n", "test.txt": "b.mp4 0\n"})
    touch(tmp_path, "videos/a.mp4", "videos/b.mp4")
    assert find_clips(tmp_path, "train").paths == ("videos/a.mp4",)
    assert find_clips(tmp_path, "test").paths == ("videos/b.mp4",)


def test_a_list_of_bad_lines_only(tmp_path):
    write(tmp_path, {"train.txt": "a.mp4\n"})
    bad = []
    with pytest.raises(ClipError, match="none of its lines can be used"):
        find_clips(tmp_path, "train", bad=bad)
    assert len(bad) == 1


def test_labels_without_names_are_numbered_through_or_named(tmp_path):
    write(tmp_path, {"train.txt": "a.mp4 0\nb.mp4 99999\n"})
    with pytest.raises(
        ClipError, match=r"names in classes\.txt, or labels that are numbered through, got 2 .* up to 99999"
    ):
        find_clips(tmp_path, "train")
    write(tmp_path, {"classes.txt": "".join(f"c{i}\n" for i in range(100_000))})
    assert len(find_clips(tmp_path, "train").classes) == 100_000
