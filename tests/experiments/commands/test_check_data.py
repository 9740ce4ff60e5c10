import json

import pytest
from checking_cases import add, clean_data, found
from layout_cases import video

from experiments.__main__ import main
from experiments.checking import workers
from experiments.checking.report import KINDS


def test_nothing_is_wrong(tmp_path, capsys):
    clean_data(tmp_path)
    assert main(["check-data", str(tmp_path), "--workers", "1"]) == 0
    printed = capsys.readouterr()
    assert "Nothing is wrong with these data." in printed.out
    assert printed.err == ""  # no progress bar where there is no terminal


DEFECTS = {
    "missing": lambda path: None,
    "empty": lambda path: path.touch(),
    "unreadable": lambda path: path.write_bytes(b"no video at all"),
    "short": lambda path: video(path.parent, path.name, 7, seed=9),
}


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_clip_that_cannot_be_used(tmp_path, kind, capsys):
    add(clean_data(tmp_path), "v/bad.mp4 1\n")
    DEFECTS[kind](tmp_path / "v/bad.mp4")
    assert found(tmp_path) == [(kind, ("train",), ("v/bad.mp4",))]
    assert main(["check-data", str(tmp_path), "--workers", "1"]) == 1
    printed = capsys.readouterr().out
    assert f"{KINDS[kind]}: 1\n" in printed
    assert f"  {tmp_path}/train.txt:3: {tmp_path}/v/bad.mp4: expected " in printed


def test_no_data_is_an_error(tmp_path, capsys):
    assert main(["check-data", str(tmp_path), "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"Error: {tmp_path}: expected ")


def test_json_for_scripts(tmp_path, capsys):
    add(clean_data(tmp_path), "v/gone.mp4 1\n")
    assert main(["check-data", str(tmp_path), "--json", "--workers", "1"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["clean"], report["layout"], report["classes"]) == (False, "lists", 2)
    assert report["counts"] == {**dict.fromkeys(KINDS, 0), "missing": 1}
    assert report["splits"]["train"]["clips"] == 3
    assert report["splits"]["train"]["per_class"] == {"min": 1, "median": 1.5, "max": 2}
    [problem] = report["problems"]
    assert (problem["kind"], problem["splits"], problem["paths"]) == ("missing", ["train"], ["v/gone.mp4"])
    assert problem["places"] == [f"{tmp_path}/train.txt:3"]


def test_ctrl_c_leaves_no_half_report(tmp_path, capsys, monkeypatch):
    def interrupt(clip, num_frames):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "inspect", interrupt)
    assert main(["check-data", str(clean_data(tmp_path)), "--workers", "1", "--json"]) == 130
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Stopped" in printed.err
