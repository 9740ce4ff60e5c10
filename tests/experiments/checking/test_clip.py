import os
import subprocess
import sys

from layout_cases import frames
from video_cases import gif, write

from experiments.checking import clip as clip_module
from experiments.checking.clip import Clip, inspect


def test_a_folder_with_fewer_frames_than_listed_is_short(tmp_path):
    frames(tmp_path, "a", 9)
    assert inspect(Clip(tmp_path / "a", 9, "{:05d}.jpg"), 8).kind == ""
    finding = inspect(Clip(tmp_path / "a", 10, "{:05d}.jpg"), 8)
    assert (finding.kind, finding.reason) == ("short", f"{tmp_path}/a: expected 10 frames, as listed, but there are 9")


def test_a_pipe_among_the_pictures_stops_nothing(tmp_path):
    frames(tmp_path, "a", 9)
    (tmp_path / "a" / "00003.jpg").unlink()
    os.mkfifo(tmp_path / "a" / "00003.jpg")
    finding = inspect(Clip(tmp_path / "a", 9, "{:05d}.jpg"), 8)
    assert finding.kind == "unreadable"
    assert "00003.jpg: expected a picture, but it is a pipe" in finding.reason
    assert finding.digest == ""


def test_a_clip_is_read_to_its_end_and_not_kept(tmp_path):
    path = write(tmp_path / "clip.mp4", 40)
    whole = inspect(Clip(path, None, None), 8)
    assert (whole.kind, len(whole.looks)) == ("", 3)
    path.write_bytes(path.read_bytes()[:-2000])
    assert inspect(Clip(path, None, None), 8).kind == "unreadable"
    wide = inspect(Clip(gif(tmp_path / "wide.gif", 65535, 8, 200), None, None), 8)  # 3 GB if every frame were kept
    assert wide.kind == ""


def test_whatever_one_clip_does_is_a_finding(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_module, "open_video", lambda *args, **kwargs: {}["such a case"])
    finding = inspect(Clip(write(tmp_path / "clip.mp4", 3), None, None), 8)
    assert (finding.kind, len(finding.digest)) == ("unreadable", 64)
    assert "cannot be read (KeyError: 'such a case')" in finding.reason
    assert inspect(Clip(tmp_path / "a\0b", None, None), 8).kind == "unreadable"


def test_workers_wait_for_no_torch():
    program = "import sys, experiments.checking.clip; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout == "False\n"
