import os

import pytest

from experiments.executors.lock import driving, token_of
from experiments.executors.machines import Unfit, expect_folders, expect_same_program, facts_of_machine


def test_other_versions_and_commits_are_refused_and_both_named():
    ours = facts_of_machine()
    expect_same_program(ours, facts_of_machine())
    theirs = {"name": "far", "program": {**ours["program"], "torch": "0.1", "commit": "abc"}}
    with pytest.raises(Unfit, match=rf"far has torch 0.1, commit abc where {ours['name']} has torch .*, commit "):
        expect_same_program(ours, theirs)


@pytest.fixture
def stays_here():
    before = os.getcwd()
    yield
    os.chdir(before)


def test_a_machine_without_the_working_folder_is_named(tmp_path):
    with pytest.raises(Unfit, match=r"working folder .*gone on every machine, far has none"):
        expect_folders("far", str(tmp_path / "gone"), {}, ())


def test_a_folder_that_a_machine_does_not_see_is_named(tmp_path, stays_here):
    with driving(tmp_path / "run"):
        run = str(tmp_path / "run")
        expect_folders("far", str(tmp_path), {run: token_of(tmp_path / "run")}, ())
        with pytest.raises(Unfit, match=r"far does not see what was written to .*run: name a shared folder, or a URL"):
            expect_folders("far", str(tmp_path), {run: "another"}, ())


def test_videos_that_a_machine_lacks_are_named_and_embedded_ones_are_made_there(tmp_path, stays_here):
    expect_folders("far", str(tmp_path), {}, ["data/eight-motions"])
    with pytest.raises(Unfit, match=r"expected the videos in mine on every machine, far has none there"):
        expect_folders("far", str(tmp_path), {}, ["mine"])
