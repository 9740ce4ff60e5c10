import pytest
from layout_cases import touch, write

from envs.clips import ClipError
from envs.clips.datasets import LAYOUTS, Division, Layout, Listing, find_clips, register_layout


@pytest.fixture
def own_layout():
    @register_layout
    class Own(Layout):
        name = "own"

        def recognise(self, root):
            return (root / "own.txt").exists()

        def list(self, root, split, bad):
            return Listing(paths=(split,), labels=(0,), classes=("a",))

    yield Own
    del LAYOUTS["own"]


def test_a_registered_layout_is_recognised(tmp_path, own_layout):
    touch(tmp_path, "own.txt", "a/1.mp4")
    assert find_clips(tmp_path, "val") == Listing(paths=("val",), labels=(0,), classes=("a",), layout="own")


def test_a_name_belongs_to_one_layout(own_layout):
    with pytest.raises(ValueError, match="own is registered already"):
        register_layout(own_layout)


def test_a_layout_can_be_named(tmp_path, own_layout):
    touch(tmp_path, *(f"a/{i}.mp4" for i in range(3)))
    assert find_clips(tmp_path, "val").layout == "class_folders"
    assert find_clips(tmp_path, "val", "own").paths == ("val",)
    with pytest.raises(ClipError, match=r"expected a layout among class_folders, jester, .*got 'nothing'"):
        find_clips(tmp_path, "val", "nothing")


def test_two_data_sets_in_one_folder_are_not_guessed_at(tmp_path, own_layout):
    write(tmp_path, {"own.txt": "", "jester-v1-labels.csv": "a\n"})
    with pytest.raises(ClipError, match="looks like jester and own; name the layout"):
        find_clips(tmp_path, "val")
    assert find_clips(tmp_path, "val", "own").layout == "own"


def test_own_lists_come_before_a_data_set(tmp_path, own_layout):
    write(tmp_path, {"own.txt": "", "train.txt": "a.mp4 0\n"})
    assert find_clips(tmp_path, "train").layout == "lists"


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_refuses_an_empty_folder_in_one_sentence(tmp_path, name):
    with pytest.raises(ClipError, match=str(tmp_path)) as caught:
        find_clips(tmp_path, "train", name)
    assert "\n" not in str(caught.value)


def test_a_link_to_itself_is_no_folder(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ClipError, match="loop: expected a folder of videos"):
        find_clips(tmp_path / "loop", "train")


def test_groups_are_known_in_any_layout_and_folds_of_given_splits_are_refused(tmp_path):
    write(tmp_path, {"train.txt": "v/a_1.mp4 0\nv/a_2.mp4 0\n", "test.txt": "v/b_1.mp4 0\nv/b_2.mp4 0\nv/c_1.mp4 0\n"})
    assert find_clips(tmp_path, "test").groups == ()
    assert find_clips(tmp_path, "test", division=Division("(.)_")).groups == ("b", "b", "c")
    write(tmp_path, {"groups.csv": "v/a_1,x\nv/a_2,x\nv/b_1,y\nv/b_2.mp4,y\n"})
    found = find_clips(tmp_path, "test")
    assert found.groups == ("y", "y", "v/c_1.mp4")
    assert found.note == "1 of 3 clips are named by no group: each counts as a source of its own."
    assert find_clips(tmp_path, "train").note == ""  # though the file names clips of another split
    with pytest.raises(ClipError, match="expected class folders to divide into 3 folds, got the layout lists"):
        find_clips(tmp_path, "test", division=Division(folds=3, fold=1))
    write(tmp_path, {"groups.csv": "v/a_1,x\n"})
    assert find_clips(tmp_path, "test").groups == ()
