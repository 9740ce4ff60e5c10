import csv
import os

import numpy as np
import pytest
from footage_cases import footage, scene
from layout_cases import write

from envs.clips import ClipError, VideoClips
from envs.clips.datasets import find_clips
from envs.clips.generated import windows
from envs.clips.generated.camera import Camera
from envs.clips.generated.directions import CLASSES, REVERSED_CLASS
from envs.clips.generated.folder import clip_generator
from envs.clips.generated.footage import Reel, read_groups
from envs.clips.generated.windows import generate
from envs.clips.video.decode import write_video

CAMERA = Camera(size=16, num_frames=4, speed=(1.0, 2.5), jitter=0.0, noise=0.0, still=False)
SMALL = {"camera": CAMERA, "train": 24, "val": 6, "test": 8, "progress": False}
NAMES = [f"{folder}/{i}.mp4" for folder in ("a", "b") for i in range(5)]
FILES = 24 + 6 + 8 + 8  # clips, lists, classes.txt, dataset.json, about.txt, clips.csv, groups.csv


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Ten videos, two of which share a source."""
    root = footage(tmp_path_factory.mktemp("footage"), *NAMES)
    return write(root, {"groups.csv": "path,group\na/0.mp4,film\na/1.mp4,film\n"})


@pytest.fixture(scope="module")
def made(place, tmp_path_factory):
    """A folder of clips, and what was said of it."""
    root = tmp_path_factory.mktemp("made") / "clips"
    return root, generate(root, place, **SMALL)


def contents(root) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def rows(root) -> list[dict[str, str]]:
    """Of each clip its name, its video and its source."""
    with open(root / "clips.csv", newline="") as file:
        found = list(csv.DictReader(file))
    sources = read_groups(root / "groups.csv")
    assert sources.keys() == {row["clip"] for row in found}
    return [{**row, "source": sources[row["clip"]]} for row in found]


def test_clips_are_read_as_the_embedded_data_are(made):
    root, _ = made
    assert len(contents(root)) == FILES
    for split, count in (("train", 24), ("val", 6), ("test", 8)):
        source = VideoClips(root, split, num_frames=4, size=16, on_broken="error", cache_gb=0.1)
        assert len(source) == count
        assert (source.classes, source.reversed_class) == (CLASSES, REVERSED_CLASS)
        frames = source.frames(range(count)).astype(int)
        assert frames.shape == (count, 4, 16, 16, 3)
        if split == "train":
            assert source.reversals is None
            assert np.bincount(source.labels).tolist() == [3] * 8
        else:
            np.testing.assert_array_equal(source.reversals, np.arange(count) ^ 1)
            np.testing.assert_array_equal(source.labels[1::2], np.array(REVERSED_CLASS)[source.labels[::2]])
            backwards = frames[::2, ::-1]
            assert np.abs(frames[1::2] - backwards).mean() < 4  # exact but for the codec
            assert np.abs(frames[1::2] - np.roll(backwards, 1, axis=0)).mean() > 20


def test_a_clip_is_what_its_camera_saw_of_the_video_that_is_named(made, place):
    root, _ = made
    source = VideoClips(root, "train", num_frames=4, size=16, on_broken="error", cache_gb=0.1)
    video_of = {row["clip"]: row["video"] for row in rows(root)}
    videos = {video for clip, video in video_of.items() if clip.startswith("train/")}
    for clip, (name, label) in enumerate(zip(source.names, source.labels)):
        shot = CAMERA.draw(int(label), len(videos), clip_generator(0, "train", clip))
        (seen,) = CAMERA.film(Reel(place / video_of[name], CAMERA.side), [shot])
        written = source.frames([clip])[0].astype(int)
        assert np.abs(written - seen).mean() < 4
        assert np.abs(written - seen[::-1]).mean() > 12


def test_no_source_stands_in_two_splits(made, place):
    root, _ = made
    found = rows(root)
    assert [row["clip"] for row in found] == [
        path for split in ("train", "val", "test") for path in listed(root, split)
    ]
    splits_of: dict[str, set] = {}
    for row in found:
        splits_of.setdefault(row["source"], set()).add(row["clip"].partition("/")[0])
        assert (row["source"] == "film") == (row["video"] in NAMES[:2])
        assert row["source"] in ("film", row["video"])
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert len(splits_of) > 5


def listed(root, split: str) -> tuple[str, ...]:
    return find_clips(root, split).paths


def test_words_say_what_is_real_and_how_much_there_is(made):
    root, words = made
    assert (root / "about.txt").read_text() == words
    for said in (
        "clips of 4 frames of 16 x 16 pixels",
        "train: 24 clips, from ",
        "val: 6 clips, 3 and their reversals, from 1 video of 1 source\n    few sources",
        "test: 8 clips, 4 and their reversals",
        "Real: the pixels, and what moves in them",
        "Synthetic: the camera",
        "12.5%",
    ):
        assert said in words
    assert "Left out" not in words


def test_still_footage_is_said_to_be_still(place, tmp_path):
    still = Camera(size=16, num_frames=4, speed=(1.0, 2.5), jitter=0.0, noise=0.0, still=True)
    assert "stands still at one frame" in generate(tmp_path / "made", place, **SMALL | {"camera": still})
    frames = VideoClips(tmp_path / "made", "train", num_frames=4, size=16, cache_gb=0.1).frames(range(24))
    lit = (frames.min(-1) > 230).mean((0, 2, 3))  # the bright bar does not walk in, it is glided over
    assert np.ptp(lit) < 0.1


@pytest.mark.parametrize("stop_at", [0, 9, 37])
def test_a_run_goes_on_where_it_was_interrupted(made, place, tmp_path, monkeypatch, stop_at):
    root, done = tmp_path / "clips", []

    def interrupted(path, frames):
        if len(done) == stop_at:
            path.with_name(f"{path.name}.7.part").touch()  # as a process leaves it that is killed
            raise KeyboardInterrupt
        write_video(path, frames)
        done.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(windows, "write_video", interrupted)
        with pytest.raises(KeyboardInterrupt):
            generate(root, place, **SMALL)
    with pytest.raises(ClipError, match="running or was interrupted"):
        find_clips(root, "train")
    with pytest.raises(ClipError, match="differs in seed"):
        generate(root, place, **SMALL, seed=1)
    before = {path: path.stat().st_mtime_ns for path in done}
    assert len(before) == stop_at
    assert generate(root, place, **SMALL) == made[1]
    assert before == {path: path.stat().st_mtime_ns for path in done}
    assert contents(root) == contents(made[0])


def test_a_clip_depends_on_seed_split_and_number_alone(made, place, tmp_path):
    more = generate(tmp_path / "more", place, **SMALL | {"train": 30, "test": 10})
    assert "train: 30 clips" in more
    found, before = contents(tmp_path / "more"), contents(made[0])
    assert all(found[name] == content for name, content in before.items() if name.endswith(".mp4"))
    generate(tmp_path / "other", place, **SMALL, seed=1)
    assert not {content for name, content in contents(tmp_path / "other").items() if name.endswith(".mp4")} & set(
        found.values()
    )


def test_whole_clips_are_left_alone_and_others_are_not_touched(made, place, tmp_path, monkeypatch):
    root, words = made
    before = contents(root)
    monkeypatch.setattr(windows, "Reel", None)  # would fail
    assert generate(root, place, **SMALL) == words
    faster = Camera(size=16, num_frames=4, speed=(1.0, 2.6), jitter=0.0, noise=0.1, still=False)
    other = footage(tmp_path / "other", "a.mp4", "b.mp4", "c.mp4")
    for at, change, names in (
        (place, {"camera": faster}, "speed, noise"),
        (place, {"train": 25}, "counts"),
        (place, {"seed": 1}, "seed"),
        (other, {}, "footage"),
    ):
        with pytest.raises(ClipError, match=f"differs in {names}; name another folder or remove this one"):
            generate(root, at, **SMALL | change)
    assert contents(root) == before
    with pytest.raises(ClipError, match="there is something else; name another"):
        generate(other, place, **SMALL)


@pytest.mark.parametrize("out", ["", "made", "a/made", "a/../made"])
def test_nothing_is_written_into_the_footage(place, out):
    before = contents(place)
    with pytest.raises(ClipError, match="expected a folder outside of the footage"):
        generate(place / out, place, **SMALL)
    assert contents(place) == before


@pytest.mark.parametrize("change", [{"val": 3}, {"train": 0}, {"seed": -1}])
def test_numbers_that_cannot_be(place, tmp_path, change):
    with pytest.raises(ValueError, match="expected"):
        generate(tmp_path / "made", place, **SMALL | change)
    assert not (tmp_path / "made").exists()


# -- broken footage ----------------------------------------------------------------------------------------------------


def test_videos_that_cannot_be_used_are_named_and_left_out(tmp_path):
    root = footage(tmp_path / "footage", *NAMES)
    write_video(root / "a" / "short.mp4", scene(20, length=6))
    write_video(root / "a" / "small.mp4", scene(21, height=22))
    write(root, {"b/none.mp4": "no video"})
    words = generate(tmp_path / "made", root, **SMALL)
    assert "Left out, as they cannot be used: 3 of 13 videos:" in words
    for name, why in (("short", "at least 7 frames"), ("small", "at least 24 pixels"), ("none", "does not decode")):
        assert [line for line in words.splitlines() if f"{name}.mp4: expected" in line and why in line]
    assert not {row["video"] for row in rows(tmp_path / "made")} - set(NAMES)


def test_a_list_of_broken_videos_has_an_end(tmp_path):
    root = footage(tmp_path / "footage", *(f"{i:02d}.mp4" for i in range(12)))
    write(root, {f"broken{i:02d}.mp4": "no video" for i in range(12)})
    words = generate(tmp_path / "made", root, **SMALL)
    assert words.count("no video, damaged") == 10
    assert "\n  and 2 more\n" in words


def break_late(monkeypatch, *names: str) -> None:
    """Videos that look whole, until frames from their middle are asked for."""
    real = Reel.frames

    def frames(reel, numbers):
        if any(str(reel.path).endswith(name) for name in names):
            raise ClipError(f"{reel.path}: broken in the middle")
        return real(reel, numbers)

    monkeypatch.setattr(Reel, "frames", frames)


def test_clips_of_a_video_that_breaks_late_go_to_others(made, place, tmp_path, monkeypatch):
    train = sorted({row["video"] for row in rows(made[0]) if row["clip"].startswith("train")})
    broken = train[2:4]
    break_late(monkeypatch, *broken)
    root = tmp_path / "clips"
    words = generate(root, place, **SMALL)
    assert "Left out, as they cannot be used: 2 of 10 videos:" in words
    assert len(contents(root)) == FILES
    now, before = ({row["clip"]: row["video"] for row in rows(at)} for at in (root, made[0]))
    assert not set(now.values()) & set(broken)
    for clip, video in before.items():  # nothing else has changed
        assert now[clip] in train if video in broken else now[clip] == video
        assert video in broken or (root / clip).read_bytes() == (made[0] / clip).read_bytes()


def test_a_split_whose_videos_all_break_is_an_error_and_so_is_most_of_the_footage(made, place, tmp_path, monkeypatch):
    videos = sorted({row["video"] for row in rows(made[0])})
    (val,) = {row["video"] for row in rows(made[0]) if row["clip"].startswith("val")}
    with monkeypatch.context() as patch:
        break_late(patch, val)
        with pytest.raises(ClipError, match="expected footage for val, but none of its 1 videos decodes, the first: "):
            generate(tmp_path / "made", place, **SMALL)
    break_late(monkeypatch, *videos[:6])
    with pytest.raises(ClipError, match="expected footage most of which can be used, but 6 of 10 videos cannot"):
        generate(tmp_path / "again", place, **SMALL)
    assert not (tmp_path / "again" / "train.txt").exists()


@pytest.mark.parametrize(
    ("names", "groups", "said"),
    [
        ([], "", "expected videos in"),
        (NAMES[:2], "", "at least 3 sources, one for each of train, val, test, got 2"),
        (NAMES, "".join(f"{name},film\n" for name in NAMES), "at least 3 sources, one for each of .*, got 1"),
    ],
)
def test_footage_that_cannot_be_divided(tmp_path, names, groups, said):
    root = footage(tmp_path / "footage", *names)
    root.mkdir(exist_ok=True)
    write(root, {"groups.csv": groups} if groups else {})
    with pytest.raises(ClipError, match=said):
        generate(tmp_path / "made", root, **SMALL)
    assert not os.path.exists(tmp_path / "made")


def test_footage_that_is_broken_altogether(tmp_path):
    root = write(tmp_path / "footage", {f"{i}.mp4": "no video" for i in range(4)})
    with pytest.raises(ClipError, match=r"but 4 of 4 videos cannot, the first: .*0.mp4"):
        generate(tmp_path / "made", root, **SMALL)
    assert not os.path.exists(tmp_path / "made")


def test_the_groups_that_name_nothing_are_counted(tmp_path):
    root = footage(tmp_path / "footage", *NAMES[:4])
    write(tmp_path, {"mine.csv": f"{NAMES[0]},one\ngone.mp4,one\n"})
    words = generate(tmp_path / "made", root, groups=tmp_path / "mine.csv", **SMALL)
    assert "Paths among the groups that are none of the videos: 1." in words
