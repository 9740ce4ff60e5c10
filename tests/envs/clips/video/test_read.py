import errno
import os
from pathlib import Path

import pytest
from video_cases import BAD, assert_one_sentence, write

from envs.clips import ClipError
from envs.clips.video.read import open_video


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, case):
    make, message = BAD[case]
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(ClipError, match=message) as caught:
        open_video(path)
    assert_one_sentence(caught.value, path)


def test_a_name_that_cannot_be_one_is_refused(tmp_path):
    for name in ("a" * 300, "a\0b"):
        with pytest.raises(ClipError, match="cannot be read"):
            open_video(tmp_path / name)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.mp4", 3)
    path.chmod(0)
    if os.geteuid() == 0:  # who may read everything

        def refuse(self, *args, **kwargs):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ClipError, match=r"cannot be read \(Permission denied\)") as caught:
        open_video(path)
    assert_one_sentence(caught.value, path)
