"""The suite's own check: what a test leaves in the temporary directory fails it, and is gone for the next."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from litter import expect_none, sweep


def test_tests_and_what_they_start_have_a_temporary_directory_of_their_own(temporary_directory, tmp_path_factory):
    assert temporary_directory.is_relative_to(tmp_path_factory.getbasetemp())
    assert Path(tempfile.gettempdir()) == temporary_directory
    code = "import tempfile; print(tempfile.gettempdir())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Path(told.stdout.strip()) == temporary_directory


def test_a_folder_and_a_file_are_found_named_and_removed(temporary_directory):
    Path(tempfile.mkdtemp(prefix="SB3-"), "log").touch()
    handle, name = tempfile.mkstemp(prefix="later")
    os.close(handle)
    with pytest.raises(AssertionError, match=rf"found SB3-.*, {Path(name).name}: remove"):
        expect_none(temporary_directory)
    expect_none(temporary_directory)


def test_what_is_removed_by_its_maker_passes(temporary_directory):
    with tempfile.TemporaryDirectory():
        pass
    expect_none(temporary_directory)


def test_multiprocessing_cleans_up_after_itself(tmp_path):
    (tmp_path / "pymp-1").mkdir()
    assert not sweep(tmp_path)
    assert (tmp_path / "pymp-1").exists()
