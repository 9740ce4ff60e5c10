"""A folder of videos becomes a table, that of an interrupted call included."""

import csv
import json
import shutil

import numpy as np
import pytest

from backbone.common.interruption import Interrupted
from envs.clips import motions
from envs.clips.datasets.places import find_videos
from envs.clips.video.decode import write_video
from experiments.__main__ import main
from experiments.commands.predict import run as predict
from experiments.config import Predict
from experiments.videos import predict_folder
from experiments.videos.predict_folder import columns_of
from experiments.videos.prediction import open_trained, play


def options(video, run, **kwargs) -> Predict:
    return Predict(video, run, threads=1, device="cpu", **kwargs)


def read_csv(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_csv(one_run, videos, video_folder, tmp_path, capsys):
    target = tmp_path / "new" / "out.csv"
    predict(options(video_folder, one_run, csv=target))
    assert f"{target}: 5 videos of {video_folder}\n" == capsys.readouterr().out
    rows = read_csv(target)
    assert [row["path"] for row in rows] == [str(path) for path in find_videos(video_folder)]
    assert list(rows[0]) == columns_of(5)
    trained = open_trained(options(video_folder, one_run))
    for row in rows:
        expected = play(trained, row["path"])
        best = expected.probabilities[-1].argsort()[::-1][:5]
        assert [row[f"label_{place}"] for place in range(1, 6)] == [motions.CLASSES[label] for label in best]
        found = [float(row[f"probability_{place}"]) for place in range(1, 6)]
        assert found == pytest.approx(expected.probabilities[-1][best], abs=1e-6)
        assert float(row["cost"]) == pytest.approx(expected.macs_ratio, abs=1e-6)
        assert row["error"] == ""


def test_by_default_the_csv_is_in_the_runs_folder_and_json_says_so(one_run, video_folder, tmp_path, capsys):
    run = shutil.copytree(one_run, tmp_path / "run")
    assert main(["predict", str(video_folder), "--run", str(run), "--device", "cpu", "--json", "--top", "99"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"csv": str(run / "predictions.csv"), "videos": 5, "predicted": 5, "failed": 0}
    assert list(read_csv(run / "predictions.csv")[0]) == columns_of(len(motions.CLASSES))


def test_whatever_is_named_like_a_video_has_a_line(one_run, video_folder, tmp_path):
    (video_folder / "directory.mp4").mkdir()
    (video_folder / "circle.mp4").symlink_to(video_folder / "circle.mp4")
    (video_folder / "nowhere.mp4").symlink_to(video_folder / "gone")
    predict(options(video_folder, one_run, csv=tmp_path / "out.csv"))
    errors = {row["path"].rpartition("/")[2]: row["error"] for row in read_csv(tmp_path / "out.csv") if row["error"]}
    assert list(errors) == ["circle.mp4", "directory.mp4", "nowhere.mp4"]
    for error, expected in zip(errors.values(), ("cannot be read", "it is a directory", "there is nothing")):
        assert expected in error


def test_a_broken_video_has_a_line_and_is_tried_again(one_run, videos, video_folder, tmp_path, capsys):
    target = tmp_path / "out.csv"
    (video_folder / "00001.mp4").write_bytes(b"no video")
    write_video(video_folder / "00002.mp4", np.zeros((3, 32, 32, 3), np.uint8))
    predict(options(video_folder, one_run, csv=target))
    assert "5 videos" in (said := capsys.readouterr().out)
    assert "2 cannot be used" in said
    _, broken, short, *_ = read_csv(target)
    assert "does not decode" in broken["error"]
    assert "3 decode" in short["error"]
    assert broken["label_1"] == broken["cost"] == ""

    shutil.copy(videos / "test" / "00001.mp4", video_folder)
    predict(options(video_folder, one_run, csv=target))
    assert "5 videos" in (said := capsys.readouterr().out)
    assert "3 were there already, 1 cannot be used" in said
    rows = read_csv(target)
    assert [bool(row["error"]) for row in rows] == [False, False, True, False, False]
    assert [row["path"] for row in rows] == [str(path) for path in find_videos(video_folder)]


def count_plays(monkeypatch, stop_at: int | None = None) -> list:
    """Note the videos that are played; Ctrl-C at one of them."""
    played, real = [], play

    def noted(trained, path):
        if len(played) == stop_at:
            raise KeyboardInterrupt
        played.append(path)
        return real(trained, path)

    monkeypatch.setattr(predict_folder, "play", noted)
    return played


def test_ctrl_c_keeps_what_was_done_and_the_next_call_goes_on(one_run, video_folder, tmp_path, monkeypatch, capsys):
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict(options(video_folder, one_run, csv=whole))
    count_plays(monkeypatch, stop_at=3)
    words = [
        "predict",
        str(video_folder),
        "--run",
        str(one_run),
        "--csv",
        str(target),
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    assert main(words) == 130
    assert "nothing is lost. To go on: the same command again" in capsys.readouterr().err
    assert read_csv(target) == read_csv(whole)[:3]
    played = count_plays(monkeypatch)
    assert main(words) == 0
    assert len(played) == 2
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_line_that_was_cut_off_is_made_again(cut, one_run, video_folder, tmp_path):
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict(options(video_folder, one_run, csv=whole))
    target.write_bytes(whole.read_bytes()[:-cut])
    predict(options(video_folder, one_run, csv=target))
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("content", [b"", b"pa"])
def test_a_csv_without_a_whole_line_is_begun_anew(content, one_run, video_folder, tmp_path):
    target = tmp_path / "out.csv"
    target.write_bytes(content)
    predict(options(video_folder, one_run, csv=target))
    assert len(read_csv(target)) == 5


def test_new_videos_are_put_in_their_place(one_run, video_folder, tmp_path, monkeypatch):
    target = tmp_path / "out.csv"
    predict(options(video_folder, one_run, csv=target))
    shutil.copy(video_folder / "00003.mp4", video_folder / "00000b.mp4")
    played = count_plays(monkeypatch)
    predict(options(video_folder, one_run, csv=target))
    assert [path.name for path in played] == ["00000b.mp4"]
    assert [row["path"] for row in read_csv(target)] == [str(path) for path in find_videos(video_folder)]


def test_tables_of_another_run_or_other_columns_are_left_alone(one_run, video_folder, tmp_path):
    target = tmp_path / "out.csv"
    predict(options(video_folder, one_run, csv=target))
    before = target.read_bytes()
    with pytest.raises(ValueError, match="the same --top as before"):
        predict(options(video_folder, one_run, csv=target, top=2))
    other = shutil.copytree(one_run, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "seed": 7}))
    with pytest.raises(ValueError, match="got another's: name another file"):
        predict(options(video_folder, other, csv=target))
    assert target.read_bytes() == before


def test_interrupted_is_what_a_folder_raises(one_run, video_folder, tmp_path, monkeypatch):
    count_plays(monkeypatch, stop_at=0)
    with pytest.raises(Interrupted):
        predict(options(video_folder, one_run, csv=tmp_path / "out.csv"))


def test_one_video_that_trips_it_does_not_stop_those_behind_it(one_run, video_folder, tmp_path, monkeypatch, capsys):
    def trip(trained, path):
        if path.name == "00001.mp4":
            raise AttributeError("no\nsuch thing")
        return play(trained, path)

    monkeypatch.setattr(predict_folder, "play", trip)
    target = tmp_path / "out.csv"
    words = ["predict", str(video_folder), "--run", str(one_run), "--csv", str(target), "--device", "cpu"]
    assert main(words) == 1
    assert "1 cannot be used" in capsys.readouterr().out
    rows = read_csv(target)
    assert [bool(row["label_1"]) for row in rows] == [True, False, True, True, True]
    assert rows[1]["error"].endswith(r"expected a video, got AttributeError: no\nsuch thing")
    monkeypatch.undo()
    assert main(words) == 0
    assert all(row["label_1"] for row in read_csv(target))


NAMES = ["carriage\rreturn.mp4", "new\nline.mp4", "\x1b]0;title\x07.mp4", 'quote",.mp4', " .mp4", "\udcff.mp4"]


def test_a_name_may_hold_anything(one_run, video_folder, tmp_path, monkeypatch, capsys):
    target, folder = tmp_path / "out.csv", tmp_path / "a\x1b[2Jb"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(video_folder / "00000.mp4", folder / name)
    (folder / "bad\n\x1b.mp4").write_bytes(b"no video")
    assert predict(options(folder, one_run, csv=target)) == 1
    assert (said := capsys.readouterr().out).count("\n") == 1
    assert "\x1b" not in said
    assert r"a\x1b[2Jb" in said
    with open(target, encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["path"] for row in rows) == sorted(str(folder / name) for name in [*NAMES, "bad\n\x1b.mp4"])
    assert not any(set("\r\n\x1b") & set(row["error"]) for row in rows)
    played = count_plays(monkeypatch)
    predict(options(folder, one_run, csv=target))
    assert [path.name for path in played] == ["bad\n\x1b.mp4"]  # none of the others anew


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_line_cut_inside_a_name_is_no_line(tmp_path, cut):
    columns = columns_of(1)
    rows = [{**dict.fromkeys(columns, ""), "path": path, "run": "r"} for path in ("a\nb\rc.mp4", "d\r\n\re.mp4")]
    predict_folder.write_rows(tmp_path / "out.csv", columns, rows)
    assert list(predict_folder.read_rows(tmp_path / "out.csv", columns, "r").values()) == rows
    content = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "out.csv").write_bytes(content[:-cut])
    found = list(predict_folder.read_rows(tmp_path / "out.csv", columns, "r").values())
    assert found in (rows[:1], [])
    assert bool(found) == (cut <= len(content) - content.index(b"r,\n") - 3)
