import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from layout_cases import frames, touch, video, write
from rich.console import Console

from experiments.__main__ import main
from experiments.commands import check_data
from experiments.commands.check_data import KINDS, Clip, examine, inspect, show
from experiments.config import CheckData


def clean_data(root):
    for i in range(6):
        video(root, f"v/{i}.mp4", seed=i)
    lists = {"train": "v/0.mp4 0\nv/1.mp4 1\n", "val": "v/2.mp4 0\nv/3.mp4 1\n", "test": "v/4.mp4 0\nv/5.mp4 1\n"}
    return write(root, {**{f"{name}.txt": text for name, text in lists.items()}, "classes.txt": "run\nwalk\n"})


def add(root, text, split="train"):
    with open(root / f"{split}.txt", "a") as file:
        file.write(text)


def found(root, **options):
    """Problems as (kind, splits, paths)."""
    report = examine(CheckData(root, workers=1, **options))
    return [(problem.kind, problem.splits, problem.paths) for problem in report.problems]


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


@pytest.mark.parametrize("link", ["loop.mp4", "v"])
def test_links_and_folders_in_place_of_videos_are_unreadable(tmp_path, link):
    (clean_data(tmp_path) / "loop.mp4").symlink_to(tmp_path / link)
    add(tmp_path, "loop.mp4 1\n")
    assert found(tmp_path) == [("unreadable", ("train",), ("loop.mp4",))]


def test_a_video_cut_short_is_unreadable(tmp_path):
    add(clean_data(tmp_path), "v/cut.mp4 1\n")
    whole = video(tmp_path, "whole.mp4", 30, seed=9) / "whole.mp4"
    (tmp_path / "v/cut.mp4").write_bytes(whole.read_bytes()[:-200])
    assert found(tmp_path) == [("unreadable", ("train",), ("v/cut.mp4",))]


def test_frames_wanted_decide_what_is_short(tmp_path):
    clean_data(tmp_path)
    assert not found(tmp_path, num_frames=8)
    assert {kind for kind, _, _ in found(tmp_path, num_frames=9)} == {"short"}


def test_the_same_bytes_twice(tmp_path):
    clean_data(tmp_path)
    shutil.copy(tmp_path / "v/0.mp4", tmp_path / "v/copy.mp4")
    shutil.copy(tmp_path / "v/1.mp4", tmp_path / "v/leak.mp4")
    add(tmp_path, "v/copy.mp4 0\nv/1.mp4 1\n")
    add(tmp_path, "v/leak.mp4 1\nv/3.mp4 1\n", "test")
    assert found(tmp_path) == [
        ("repeated", ("train",), ("v/1.mp4",)),
        ("duplicate", ("train",), ("v/0.mp4", "v/copy.mp4")),
        ("shared", ("train", "test"), ("v/1.mp4", "v/leak.mp4")),
        ("shared", ("val", "test"), ("v/3.mp4",)),
    ]


def test_every_line_that_lists_a_bad_clip_is_named(tmp_path):
    touch(clean_data(tmp_path), "v/bad.mp4")
    add(tmp_path, "\nv/bad.mp4 1\nv/bad.mp4 1\n")
    add(tmp_path, "v/bad.mp4 1\n", "val")
    lines = [f"{tmp_path}/train.txt:4", f"{tmp_path}/train.txt:5", f"{tmp_path}/val.txt:3"]
    repeated, empty = examine(CheckData(tmp_path, workers=1)).problems
    assert str(repeated) == f"{', '.join(lines[:2])}: v/bad.mp4 is listed 2 times for train"
    assert str(empty).startswith(f"{', '.join(lines)}: {tmp_path}/v/bad.mp4: expected ")


def test_folders_have_no_lines(tmp_path):
    for i in range(3):
        video(tmp_path, f"run/{i}.mp4", seed=i)
    (tmp_path / "run/0.mp4").write_bytes(b"")
    [problem] = examine(CheckData(tmp_path, workers=1)).problems
    assert str(problem).startswith(f"{tmp_path}/run/0.mp4: expected ")


def test_lines_and_labels_that_cannot_be_used_do_not_stop_it(tmp_path):
    add(clean_data(tmp_path), "v/0.mp4 2\nv/0.mp4\n/v/0.mp4 0\nv/gone.mp4 0\n")
    report = examine(CheckData(tmp_path, workers=1))
    assert [problem.kind for problem in report.problems] == ["label", "line", "line", "missing"]
    for line, problem in enumerate(report.problems, 3):
        assert str(problem).startswith(f"{tmp_path}/train.txt:{line}: ")


def test_a_split_that_cannot_be_listed_is_a_problem(tmp_path):
    (clean_data(tmp_path) / "val.txt").unlink()
    assert found(tmp_path) == [("list", ("val",), ())]


def test_no_data_is_an_error(tmp_path, capsys):
    assert main(["check-data", str(tmp_path), "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"Error: {tmp_path}: expected ")


def test_class_balance(tmp_path):
    write(clean_data(tmp_path), {"classes.txt": "run\nwalk\nswim\n"})
    add(tmp_path, "v/6.mp4 1\n")
    video(tmp_path, "v/6.mp4", seed=6)
    report = examine(CheckData(tmp_path, workers=1))
    assert report.splits["train"].per_class == {"min": 0, "median": 1, "max": 2}
    assert report.splits["train"].clips_of == {"run": 1, "walk": 2, "swim": 0}
    assert report.splits["train"].without_clips == ("swim",)
    assert report.clean  # said, but no fault of the data


def test_validation_that_stands_in_is_not_shared_with_itself(tmp_path):
    (clean_data(tmp_path) / "test.txt").unlink()
    report = examine(CheckData(tmp_path, workers=1))
    assert report.clean
    assert "val.txt is used for testing too" in report.splits["test"].note


def test_folders_of_frames(tmp_path):
    frames(tmp_path, "20bn-jester-v1/1", 8)
    frames(tmp_path, "20bn-jester-v1/2", 8, shade=8)
    frames(tmp_path, "20bn-jester-v1/3", 8)
    frames(tmp_path, "20bn-jester-v1/4", 7, shade=16)
    frames(tmp_path, "20bn-jester-v1/5", 9, shade=24)
    write(tmp_path, {"20bn-jester-v1/5/00004.jpg": b"\xff\xd8\xffno picture"})
    (tmp_path / "20bn-jester-v1/6").mkdir()
    touch(tmp_path, "20bn-jester-v1/2/flow_x_00001.jpg")
    write(tmp_path, {"jester-v1-labels.csv": "up\ndown\n", "jester-v1-validation.csv": "3;up\n"})
    write(tmp_path, {"jester-v1-train.csv": "1;up\n2;up\n4;up\n5;up\n6;down\n7;down\n8;left\n"})
    folder = "20bn-jester-v1"
    assert found(tmp_path) == [
        ("label", (), ()),
        ("short", ("train",), (f"{folder}/4",)),
        ("unreadable", ("train",), (f"{folder}/5",)),
        ("empty", ("train",), (f"{folder}/6",)),
        ("missing", ("train",), (f"{folder}/7",)),
        ("shared", ("train", "val"), (f"{folder}/1", f"{folder}/3")),
    ]


def test_a_folder_with_fewer_frames_than_listed_is_short(tmp_path):
    frames(tmp_path, "a", 9)
    assert inspect(Clip(tmp_path / "a", 9, "{:05d}.jpg"), 8).kind == ""
    finding = inspect(Clip(tmp_path / "a", 10, "{:05d}.jpg"), 8)
    assert (finding.kind, finding.reason) == ("short", f"{tmp_path}/a: expected 10 frames, as listed, but there are 9")


def test_missing_clips_that_the_layout_allows_are_counted_and_no_problem(tmp_path):
    for i in range(2):
        video(tmp_path, f"yoga/{i}_000000_000010.mp4", seed=i)
    header = "label,youtube_id,time_start,time_end,split\n"
    write(tmp_path, {"kinetics_train.csv": header + "yoga,0,0,10,train\nyoga,9,0,10,train\n"})
    write(tmp_path, {"kinetics_val.csv": header + "yoga,1,0,10,val\n"})
    report = examine(CheckData(tmp_path, workers=1))
    assert report.clean
    assert [split.absent for split in report.splits.values()] == [1, 0, 0]


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


def test_many_problems_are_cut_short_and_names_are_printed_as_they_are(tmp_path, capsys):
    names = [f"v/[bold]{i}.mp4" for i in range(12)]
    touch(clean_data(tmp_path), *names)
    add(tmp_path, "".join(f"{name} 1\n" for name in names))
    show(examine(CheckData(tmp_path, workers=1)), Console(soft_wrap=True, highlight=False, markup=False))
    printed = capsys.readouterr().out
    assert printed.count("/v/[bold]") == 10
    assert "and 2 more: --json lists them all" in printed


def test_a_layout_can_be_named(tmp_path):
    clean_data(tmp_path)
    with pytest.raises(ValueError, match="got 'nothing'"):
        examine(CheckData(tmp_path, layout="nothing", workers=1))


def test_ctrl_c_leaves_no_half_report(tmp_path, capsys, monkeypatch):
    def interrupt(clip, num_frames):
        raise KeyboardInterrupt

    monkeypatch.setattr(check_data, "inspect", interrupt)
    assert main(["check-data", str(clean_data(tmp_path)), "--workers", "1", "--json"]) == 130
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Stopped" in printed.err


class Deadly(type(Path())):
    """A path that kills whoever looks at it."""

    def stat(self, **kwargs):
        os._exit(1)


@pytest.mark.slow
def test_processes_look_at_clips_and_survive_the_death_of_one(tmp_path):
    clean_data(tmp_path)
    clips = {str(i): Clip(tmp_path / f"v/{i}.mp4", None, None) for i in range(6)}
    clips["bad"] = Clip(Deadly(tmp_path / "v/0.mp4"), None, None)
    findings = dict(check_data._inspect_apart(clips, 8, 1, 4))
    assert findings.pop("bad").reason.count("the process that decoded it died") == 1
    assert findings == {str(i): inspect(clips[str(i)], 8) for i in range(6)}
    assert len({finding.digest for finding in findings.values()}) == 6
    del clips["bad"]
    some = check_data._inspect_apart(clips, 8, 2, 4)
    next(some)
    some.close()
    assert not multiprocessing.active_children()
