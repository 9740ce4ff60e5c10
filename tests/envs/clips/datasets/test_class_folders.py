from itertools import combinations

import pytest
from layout_cases import touch

from envs.clips import ClipError
from envs.clips.datasets import Division, find_clips


def test_a_folder_for_each_class_is_asked_last(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.mp4" for name in ("train", "car") for i in range(3)))
    assert find_clips(tmp_path, "train", "class_folders").classes == ("car", "train")
    assert find_clips(tmp_path, "train").layout == "class_folders"


def test_a_class_is_not_lost_with_its_link(tmp_path):
    touch(tmp_path, *(f"car/{i}.mp4" for i in range(3)))
    (tmp_path / "train").symlink_to(tmp_path / "train")
    with pytest.raises(ClipError, match="train: expected the folder of a class"):
        find_clips(tmp_path, "train")


CLIPS = [f"{name}/s{source}_c{clip}.mp4" for name in ("car", "train") for source in range(12) for clip in range(3)]


def sources(listing):
    return {path.split("/")[1].split("_")[0] for path in listing.paths}


@pytest.mark.parametrize("how", ["pattern", "file"])
def test_sources_stand_on_one_side(tmp_path, how):
    touch(tmp_path, *CLIPS)
    division = Division(r"(.*)_c\d" if how == "pattern" else None)
    if how == "file":
        text = "".join(f"{path[:-4]},{path.split('/')[1].split('_')[0]}\n" for path in CLIPS)
        (tmp_path / "groups.csv").write_text(text)
    parts = [find_clips(tmp_path, split, division=division) for split in ("train", "val", "test")]
    assert sorted(path for part in parts for path in part.paths) == sorted(CLIPS)
    assert all(not sources(one) & sources(other) for one, other in combinations(parts, 2))
    for part in parts:
        assert set(part.labels) == {0, 1}
        assert set(part.groups) == sources(part)
        assert part.note == ""


def test_control_without_sources_they_leak(tmp_path):
    touch(tmp_path, *CLIPS)
    train, test = (find_clips(tmp_path, split) for split in ("train", "test"))
    assert sources(train) & sources(test)
    assert train.groups == ()


def test_folds_cover_all_clips_and_part_no_source(tmp_path):
    touch(tmp_path, *CLIPS)
    found = []
    for fold in (1, 2, 3, 4):
        train, val, test = (
            find_clips(tmp_path, split, division=Division(r"(.*)_c\d", 4, fold)) for split in ("train", "val", "test")
        )
        assert not sources(test) & (sources(train) | sources(val))
        found += test.paths
    assert sorted(found) == sorted(CLIPS)


def test_what_groups_do_not_name_and_what_they_name_in_vain_is_said(tmp_path):
    touch(tmp_path, *CLIPS)
    (tmp_path / "groups.csv").write_text("".join(f"{path},{path[-11:-7]}\n" for path in CLIPS[6:]) + "car/gone,x\n")
    note = find_clips(tmp_path, "val").note
    assert note.startswith("6 of 72 clips are named by no group: each counts as a source of its own. 1 paths in")
    (tmp_path / "groups.csv").write_text("gone/a,x\ngone/b,y\n")
    with pytest.raises(ClipError, match=r"such as car/s0_c0.mp4, but none of its 2 is one, the first being gone/a"):
        find_clips(tmp_path, "val")


def test_a_class_of_few_sources_is_said_to_be_missing(tmp_path):
    touch(tmp_path, *(path for path in CLIPS if path.startswith("car/") or "/s0_" in path))
    division = Division(r"(.*)_c\d")
    assert find_clips(tmp_path, "train", division=division).note == ""
    assert find_clips(tmp_path, "test", division=division).note == (
        "test has no clips of train, which too few sources show."
    )


@pytest.mark.parametrize(
    ("division", "message"),
    [
        (Division("(s)"), r"at least 3 sources to divide into 3 parts, got 1; add videos"),
        (Division(r"(.*)_c\d", 13, 1), r"at least 13 sources to divide into 13 parts, got 12; ask for fewer"),
    ],
)
def test_too_few_sources_are_named_with_their_folder(tmp_path, division, message):
    touch(tmp_path, *CLIPS)
    with pytest.raises(ClipError, match=f"{tmp_path}: expected clips of {message}"):
        find_clips(tmp_path, "train", division=division)
