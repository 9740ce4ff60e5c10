import pytest
from layout_cases import frames, touch

from envs.clips import ClipError
from envs.clips.datasets.places import find_template, find_videos, folders, locate, videos, without_absent
from envs.clips.datasets.reading import Row

FOLDERS = [Row("7", 0, 3), Row("8", 1, 2)]


@pytest.mark.parametrize("template", ["{:05d}.jpg", "img_{:05d}.jpg", "{:06d}.jpg", "{:01d}.png", "a{{b_{:03d}.JPG"])
def test_the_pattern_of_the_frames_is_seen(tmp_path, template):
    frames(tmp_path, "clip", 12, template=template)
    touch(tmp_path, "clip/flow_x_00001.jpg", "clip/notes.txt")
    found = find_template(tmp_path / "clip")
    assert [found.format(i) for i in (1, 12)] == [template.format(i) for i in (1, 12)]


def test_no_frames_no_pattern(tmp_path):
    assert find_template(tmp_path) is None
    assert find_template(tmp_path / "nowhere") is None


@pytest.mark.parametrize("base", ["", "20bn-jester-v1", "frames/val", "rawframes_val", "videos/validation"])
def test_clips_are_found_in_the_root_or_below(tmp_path, base):
    touch(tmp_path, "a/x.txt", "val_notes/y.txt")
    for row in FOLDERS:
        frames(tmp_path / base, row.path, row.frames)
    listing = locate(tmp_path, "val", FOLDERS)
    assert [tmp_path / path for path in listing.paths] == [tmp_path / base / row.path for row in FOLDERS]
    assert (listing.labels, listing.frames, listing.template) == ((0, 1), (3, 2), "{:05d}.jpg")


def test_a_videos_suffix_may_be_left_out(tmp_path):
    touch(tmp_path, "videos/7.webm", "videos/8.webm")
    listing = locate(tmp_path, "train", FOLDERS)
    assert listing.paths == ("videos/7.webm", "videos/8.webm")
    assert (listing.frames, listing.template) == (None, None)


def test_videos_or_frames_where_both_are_there(tmp_path):
    touch(tmp_path, "v/7.webm")
    frames(tmp_path, "v/7", 2)
    assert locate(tmp_path, "train", FOLDERS, prefer="v").paths[0] == "v/7"
    assert locate(tmp_path, "train", FOLDERS, prefer="v", videos_first=True).paths[0] == "v/7.webm"


def test_clips_that_are_nowhere_stay_as_listed(tmp_path):
    assert locate(tmp_path, "train", [Row("a.mp4", 0)]).paths == ("a.mp4",)
    assert locate(tmp_path, "train", FOLDERS).template == "{:05d}.jpg"
    assert locate(tmp_path, "train", [Row("7", 0)]).template is None


def test_videos_and_folders_do_not_mix(tmp_path):
    frames(tmp_path, "7", 2)
    with pytest.raises(ClipError, match=r"either videos or folders.*7 is a folder"):
        locate(tmp_path, "train", [Row("7", 0), Row("a.mp4", 0)])


def test_absent_clips_are_counted(tmp_path):
    frames(tmp_path, "8", 2)
    listing = without_absent(tmp_path, "train", locate(tmp_path, "train", FOLDERS))
    assert (listing.paths, listing.labels, listing.frames) == (("8",), (1,), (2,))
    assert (listing.missing, listing.absent) == (1, ("7",))
    assert listing.note == f"1 of 2 clips listed for train are not in {tmp_path} and are left out."
    with pytest.raises(ClipError, match="none of 1 is there"):
        without_absent(tmp_path, "train", locate(tmp_path, "train", [Row("9.mp4", 0)]))


@pytest.mark.parametrize("target", ["loop", "nowhere"])
def test_a_class_that_is_a_link_to_nowhere_is_one_sentence(tmp_path, target):
    (tmp_path / "loop").symlink_to(tmp_path / target)
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    assert folders(tmp_path) == []
    assert videos(tmp_path) == ["loop.mp4"]
    with pytest.raises(ClipError, match=r"loop: expected the folder of a class, but it is a link that leads nowhere"):
        folders(tmp_path, strict=True)


def test_links_are_followed_and_hidden_things_are_not_seen(tmp_path):
    touch(tmp_path, "real/a.mp4", ".cache/b.mp4", "real/.c.mp4")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    assert folders(tmp_path) == ["link", "real"]
    assert videos(tmp_path / "link") == ["a.mp4"]


def test_videos_at_any_depth_links_are_followed_but_not_in_circles(video_folder, tmp_path):
    place = tmp_path / "links"
    place.mkdir()
    (place / "all").symlink_to(video_folder)
    (video_folder / "more" / "around").symlink_to(place)
    found = [path.relative_to(place) for path in find_videos(place)]
    assert [path.name for path in found] == ["00000.mp4", "00001.mp4", "00002.mp4", "00003.mp4", "été, 1.MP4"]
    assert {path.parts[0] for path in found} == {"all"}


def test_a_folder_without_videos(tmp_path):
    touch(tmp_path, "notes.txt", ".hidden.mp4")
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ClipError, match=r"found none that ends in \.avi, .*: check the path"):
            find_videos(place)
