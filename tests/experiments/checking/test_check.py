import pytest
from checking_cases import add, clean_data, encode_again, found
from layout_cases import frames, touch, video, write

from experiments.checking.check import examine
from experiments.config import CheckData


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


def test_missing_clips_that_the_layout_allows_are_counted_and_no_problem(tmp_path):
    for i in range(2):
        video(tmp_path, f"yoga/{i}_000000_000010.mp4", seed=i)
    header = "label,youtube_id,time_start,time_end,split\n"
    write(tmp_path, {"kinetics_train.csv": header + "yoga,0,0,10,train\nyoga,9,0,10,train\n"})
    write(tmp_path, {"kinetics_val.csv": header + "yoga,1,0,10,val\n"})
    report = examine(CheckData(tmp_path, workers=1))
    assert report.clean
    assert [split.absent for split in report.splits.values()] == [1, 0, 0]


def test_a_layout_can_be_named(tmp_path):
    clean_data(tmp_path)
    with pytest.raises(ValueError, match="got 'nothing'"):
        examine(CheckData(tmp_path, layout="nothing", workers=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"near": 17}, "expected --near from -1 to 16, got 17"),
        ({"near": -2}, "expected --near from -1 to 16, got -2"),
        ({"num_frames": 0}, "expected --num-frames from 1 to 4096, got 0"),
        ({"folds": 3}, "expected a fold from 1 to 3, got none"),
        ({"folds": 3, "fold": 1}, "expected class folders to divide into 3 folds, got the layout lists"),
        ({"group_pattern": "("}, "expected a regular expression as group pattern"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        examine(CheckData(clean_data(tmp_path), workers=1, **options))


def test_class_folders_are_looked_at_as_they_are_divided(tmp_path):
    for number in range(6):
        video(tmp_path, f"run/s{number // 2}_c{number}.mp4", seed=number)
    encode_again(tmp_path, "run/s0_c0.mp4", "run/s0_c9.mp4")  # of one source
    assert found(tmp_path, group_pattern="(.*)_c") == []
    report = examine(CheckData(tmp_path, workers=1, group_pattern="(.*)_c"))
    assert [split.sources for split in report.splits.values()] == [1, 1, 1]
    assert examine(CheckData(tmp_path, workers=1)).splits["train"].sources is None
    write(tmp_path, {"groups.csv": "run/s0_c0,a\nrun/s0_c9\n"})
    assert [kind for kind, *_ in found(tmp_path)][:1] == ["line"]
