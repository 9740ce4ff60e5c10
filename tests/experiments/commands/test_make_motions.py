import shlex
import shutil
from pathlib import Path

import pytest
from footage_cases import footage, scene
from layout_cases import write

from backbone.common.interruption import Interrupted
from envs.clips.generated import windows
from envs.clips.video.decode import write_video
from experiments.__main__ import main, parse_command
from experiments.clips import open_clips
from experiments.commands.make_motions import make_motions
from experiments.config import Data
from experiments.judgement import cluster_of

SMALL = [
    "--size",
    "16",
    "--num-frames",
    "4",
    "--speed",
    "1",
    "2",
    "--jitter",
    "0",
    "--train",
    "16",
    "--val",
    "2",
    "--test",
    "8",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return footage(tmp_path_factory.mktemp("footage"), *(f"{i}.mp4" for i in range(6)))


def words(footage: Path, out: Path, *more: object) -> list[str]:
    return ["make-motions", "--footage", str(footage), "--out", str(out), *SMALL, *map(str, more)]


def test_what_it_prints_and_what_it_makes_can_be_trained_on(place, tmp_path, capsys):
    out = tmp_path / "my motions"
    assert main(words(place, out)) == 0
    said, _, after = capsys.readouterr().out.partition("\nNext: python -m experiments ")
    assert said == (out / "about.txt").read_text()
    command, options = parse_command(shlex.split(after))
    assert (command.file, options.run) == ("pretrain", Path("runs/my motions"))
    assert options.data == Data(root=out, size=16, num_frames=4)
    for split, count in (("train", 16), ("val", 2), ("test", 8)):
        clips = open_clips(options.data, split)
        clusters = cluster_of(clips)  # clips of one source are resampled together, and pairs with them
        assert len(clusters) == len(clips) == count
        assert split == "train" or (clusters[::2] == clusters[1::2]).all()
    assert main(["check-data", str(out), "--num-frames", "4", "--workers", "1"]) == 0


def test_a_second_call_says_the_same(place, tmp_path, capsys):
    assert main(words(place, tmp_path / "made")) == 0
    first = capsys.readouterr().out
    assert main(words(place, tmp_path / "made")) == 0
    assert capsys.readouterr().out == first
    assert main(words(place, tmp_path / "made", "--jitter", 0.25)) == 1
    assert "differs in jitter" in capsys.readouterr().err


def test_after_ctrl_c_nothing_is_lost(place, tmp_path, monkeypatch, capsys):
    def interrupted(path, frames):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(windows, "write_video", interrupted)
        assert main(words(place, tmp_path / "made")) == 130
        assert "To go on: the same command again" in capsys.readouterr().err
        with pytest.raises(Interrupted):
            make_motions(parse_command(words(place, tmp_path / "made"))[1])
    assert main(words(place, tmp_path / "made")) == 0


def test_every_option_reaches_the_clips(place, tmp_path):
    out, seen = tmp_path / "made", set()
    write(tmp_path, {"mine.csv": "0.mp4,one\n1.mp4,one\n"})
    for more in (
        (),
        ("--still",),
        ("--jitter", 0.2),
        ("--noise", 0.2),
        ("--seed", 1),
        ("--groups", tmp_path / "mine.csv"),
    ):
        assert main(words(place, out, *more)) == 0
        seen.add((out / "train" / "00000.mp4").read_bytes() + (out / "clips.csv").read_bytes())
        shutil.rmtree(out)
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("broken", "more", "said"),
    [
        ("nothing", (), "there is nothing; correct the path"),
        ("empty", (), "expected videos in"),
        ("one source", (), "at least 3 sources"),
        ("two videos", (), "at least 3 sources"),
        ("no videos", (), "4 of 4 videos cannot, the first"),
        ("small", (), "at least 24 pixels on its shorter side"),
        ("short", (), "at least 7 frames"),
        ("whole", ("--speed", "0", "2"), "both above 0"),
        ("whole", ("--speed", "2", "1"), "both above 0"),
        ("whole", ("--speed", "1", "9"), "expected a path that fits"),
        ("whole", ("--size", "15"), "an even number of pixels"),
        ("whole", ("--num-frames", "1"), "at least 2 frames"),
        ("whole", ("--test", "7"), "even numbers in val and test"),
        ("whole", ("--groups", "nowhere.csv"), "nowhere.csv: expected a text file"),
        ("whole", ("--out", "IN/made"), "a folder outside of the footage"),
        ("whole", ("--out", "IN/.."), "there is something else; name another"),
    ],
)
def test_bad_input_is_one_sentence(broken, more, said, tmp_path, capsys):
    root = tmp_path / "footage"
    if broken in ("whole", "one source"):
        footage(root, *(f"{i}.mp4" for i in range(3)))
        write(root, {"groups.csv": "".join(f"{i}.mp4,one\n" for i in range(3))} if broken == "one source" else {})
    elif broken == "two videos":
        footage(root, "0.mp4", "1.mp4")
    elif broken != "nothing":
        root.mkdir()
    for i in range(4):
        if broken == "no videos":
            write(root, {f"{i}.mp4": "no video"})
        elif broken in ("small", "short"):
            write_video(root / f"{i}.mp4", scene(i, height=22) if broken == "small" else scene(i, length=6))
    more = [word.replace("IN", str(root)) for word in more]
    assert main(words(root, tmp_path / "made", *more)) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith("Error: ")
    assert complaint.count("\n") == 1
    assert said in complaint
    assert not (tmp_path / "made").exists()
