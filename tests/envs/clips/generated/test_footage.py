import shutil

import numpy as np
import pytest
from footage_cases import footage, scene
from layout_cases import touch, write

from envs.clips import ClipError
from envs.clips.generated.footage import Reel, check_enough, find_footage, read_groups, split_sources
from envs.clips.video.decode import write_video


def test_videos_are_found_at_any_depth_and_are_sources_of_their_own(tmp_path):
    touch(tmp_path, "b.mp4", "a/c.webm", "a/.hidden.mp4", "notes.txt")
    found = find_footage(tmp_path)
    assert found.sources == {"a/c.webm": "a/c.webm", "b.mp4": "b.mp4"}
    assert found.unknown == 0


@pytest.mark.parametrize(
    "text",
    [
        "path,group\na.mp4,one\nb/c.mp4,one\n",
        "a,one\nb/c,one",
        "\ufeffpath,group\r\na.mp4, one\r\n\r\n./b/c.mp4,one\r\n",
    ],
)
def test_groups_tell_sources(tmp_path, text):
    touch(tmp_path, "a.mp4", "b/c.mp4", "d.mp4", 'e, "f".mp4')
    write(tmp_path, {"groups.csv": text + '\n"e, ""f"".mp4",two\ngone.mp4,two\n'})
    found = find_footage(tmp_path)
    assert found.sources == {"a.mp4": "one", "b/c.mp4": "one", "d.mp4": "d.mp4", 'e, "f".mp4': "two"}
    assert found.unknown == 1
    (tmp_path / "groups.csv").rename(tmp_path / "mine.txt")
    assert find_footage(tmp_path, tmp_path / "mine.txt") == found
    assert find_footage(tmp_path).sources["a.mp4"] == "a.mp4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,group\na.mp4\n", r"groups.csv:2: expected 'path,group', got 'a.mp4'"),
        ("a.mp4,one,two\n", r"groups.csv:1: expected 'path,group'"),
        ("a.mp4,\n", r"groups.csv:1: expected 'path,group'"),
        ("a.mp4,one\na.mp4,two\n", r"groups.csv:2: expected one group for a.mp4, got 'one' and 'two'"),
        ("path,group\n", r"groups.csv: expected lines 'path,group', but there are none"),
        ("../a.mp4,one\n", r"groups.csv:1: expected a path relative to"),
        ("b.mp4,one\n", r"none of 1 is there, the first being b.mp4"),
        (b"\xff,one\n", "expected UTF-8 text"),
    ],
)
def test_groups_that_cannot_be_used(tmp_path, text, said):
    touch(tmp_path, "a.mp4")
    write(tmp_path, {"groups.csv": text})
    with pytest.raises(ClipError, match=said):
        find_footage(tmp_path)


def test_a_group_may_be_said_twice(tmp_path):
    write(tmp_path, {"groups.csv": "a.mp4,one\na.mp4,one\n"})
    assert read_groups(tmp_path / "groups.csv") == {"a.mp4": "one"}


def test_no_footage(tmp_path):
    with pytest.raises(ClipError, match=r"expected videos in .*, found none that ends in \.avi"):
        find_footage(tmp_path)
    with pytest.raises(ClipError, match="expected a folder of footage, but there is nothing"):
        find_footage(tmp_path / "nowhere")
    with pytest.raises(ClipError, match="but it is a file"):
        find_footage(touch(tmp_path, "a.mp4") / "a.mp4")
    with pytest.raises(ClipError, match="expected a text file, but it cannot be read"):
        find_footage(tmp_path, tmp_path / "groups.csv")


def test_the_fingerprint_is_of_what_is_there_wherever_it_lies(tmp_path):
    root = write(tmp_path / "a", {"a.mp4": "1", "b.mp4": "22"})
    before = find_footage(root).fingerprint
    assert find_footage(shutil.copytree(root, tmp_path / "b")).fingerprint == before
    seen = {before}
    for change in ({"b.mp4": "333"}, {"c.mp4": ""}, {"groups.csv": "a.mp4,x\nb.mp4,x"}):
        write(root, change)
        seen.add(find_footage(root).fingerprint)
    (root / "a.mp4").unlink()
    (root / "a.mp4").symlink_to("nowhere")
    seen.add(find_footage(root).fingerprint)
    assert len(seen) == 5


@pytest.mark.parametrize(("count", "val", "test"), [(3, 1, 1), (4, 1, 1), (20, 2, 5), (46, 5, 12), (300, 30, 75)])
def test_sources_are_dealt_out_by_shares(count, val, test):
    names = [f"source {i}" for i in range(count)]
    dealt = split_sources([*names, *names], seed=0)
    assert dealt.keys() == set(names)
    assert [list(dealt.values()).count(split) for split in ("train", "val", "test")] == [count - val - test, val, test]
    assert split_sources(names[::-1], seed=0) == dealt
    assert count < 20 or split_sources(names, seed=1) != dealt


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_sources_cannot_be_divided(count):
    with pytest.raises(ClipError, match=f"at least 3 sources, one for each of train, val, test, got {count}"):
        split_sources(["one", "two"][:count] * 5, seed=0)


def test_a_reel_is_every_other_frame_scaled_down(tmp_path):
    write_video(tmp_path / "a.mp4", scene(0, 11, 48, 64))
    reel = Reel(tmp_path / "a.mp4", side=24)
    assert len(reel) == 6
    reel.check(6)
    frames = reel.frames(np.array([0, 5]))
    assert frames.shape == (2, 24, 32, 3)
    np.testing.assert_array_equal(frames, reel.video.frames([0, 10], size=24))


def test_footage_that_does_not_do_is_refused_in_one_sentence(tmp_path):
    footage(tmp_path, "a.mp4")
    reel = Reel(tmp_path / "a.mp4", side=26)
    with pytest.raises(ClipError, match="at least 26 pixels on its shorter side, as it is not enlarged, got 32 x 24"):
        reel.check(6)
    with pytest.raises(ClipError, match="at least 13 frames, as every other one is taken, got 12"):
        reel.check(7)
    with pytest.raises(ClipError, match="there is nothing"):
        Reel(tmp_path / "b.mp4", side=24)


def test_a_few_broken_videos_are_nothing_and_more_than_half_are_an_error():
    check_enough(4, {"a": "broken", "b": "broken"})
    with pytest.raises(ClipError, match="most of which can be used, but 3 of 4 videos cannot, the first: a is broken"):
        check_enough(4, dict.fromkeys("abc", "a is broken"))
    with pytest.raises(ClipError):
        check_enough(1, {"a": "broken"})
