import json
import os
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from envs.clips import ClipError, VideoClips
from envs.clips import cache as cache_module
from envs.clips.cache import CacheTooLarge
from envs.clips.video.decode import decode_frames, write_video

LENGTHS = (40, 8, 20, 12)


def ramp(num_frames: int, start: int) -> np.ndarray:
    """32 x 32 frames whose grey level, start + 4 a frame, tells the frame's number."""
    levels = (start + 4 * np.arange(num_frames)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, 32, 32, 3))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for i, length in enumerate(LENGTHS):
        write_video(root / f"{i}.mp4", ramp(length, 20 + i))
    lines = "".join(f"{i}.mp4 {i % 2}\n" for i in range(len(LENGTHS)))
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text(lines)
    (root / "dataset.json").write_text(json.dumps({"reversed_class": [1, 0], "paired": ["val"]}))
    return root


@pytest.fixture
def root(videos, tmp_path):
    return shutil.copytree(videos, tmp_path / "root")


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files decoded during the test, in any order."""
    names = []

    def spy(path, **kwargs):
        names.append(path.name)
        return decode_frames(path, **kwargs)

    monkeypatch.setattr(cache_module, "decode_frames", spy)
    return names


def caches(root) -> list[str]:
    return sorted(path.name for path in (root / ".cache").iterdir())


def levels(frames: np.ndarray) -> np.ndarray:
    return frames.mean((2, 3, 4))


def test_evaluation_reads_exactly_the_centred_frames(root):
    source = VideoClips(root, "val", num_frames=4)
    assert len(source) == 4
    assert source.classes == ("0", "1")
    assert source.names == [f"{i}.mp4" for i in range(4)]
    np.testing.assert_array_equal(source.labels, [0, 1, 0, 1])
    np.testing.assert_array_equal(source.reversals, [1, 0, 3, 2])
    assert source.reversed_class == (1, 0)
    for i in range(4):
        direct = decode_frames(root / f"{i}.mp4", num_frames=4, size=32)
        np.testing.assert_array_equal(source.frames([i])[0], direct)
        np.testing.assert_array_equal(source.frames([i], np.random.default_rng(i))[0], direct)  # all there is


def test_training_draws_among_the_kept_frames(root):
    source = VideoClips(root, "train", num_frames=4)
    assert source.reversals is None
    seen = [levels(source.frames([0, 1, 2, 3], np.random.default_rng(seed))) for seed in range(100)]
    kept = [len({round(value) for value in np.stack(seen)[:, i].ravel()}) for i in range(4)]
    assert kept == [16, 8, 16, 12]  # 4 x 4 of 40 and of 20 frames, all of 8 and of 12
    assert all((np.diff(value) > 0).all() for value in seen)
    np.testing.assert_array_equal(seen[0], levels(source.frames([0, 1, 2, 3], np.random.default_rng(0))))


def test_margin_lets_training_crop_at_random_and_evaluation_at_the_centre(root):
    x = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, None, :, None] * 6, (8, 32, 32, 3))
    write_video(root / "1.mp4", x)
    source = VideoClips(root, "val", size=24, margin=8, frames_per_segment=1)
    left = [round(float(source.frames([1], np.random.default_rng(seed))[0, :, :, 0].mean()) / 6) for seed in range(80)]
    assert set(left) == set(range(9))
    centred = source.frames([1])
    assert centred.shape == (1, 8, 24, 24, 3)
    assert round(centred[0, :, :, 0].mean() / 6) == 4


def test_decoding_happens_once(root, decoded):
    first = VideoClips(root, "val")
    assert sorted(decoded) == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    second = VideoClips(root, "val")
    assert len(decoded) == 4
    assert first.data_hash == second.data_hash
    np.testing.assert_array_equal(first.frames(range(4)), second.frames(range(4)))
    assert len(caches(root)) == 1


def test_the_hash_follows_content_and_sampling_but_not_the_place(root, tmp_path):
    same = VideoClips(root, "val").data_hash
    moved = shutil.copytree(root, tmp_path / "moved", ignore=shutil.ignore_patterns(".cache"))
    assert VideoClips(moved, "val").data_hash == same
    others = [
        VideoClips(root, "val", **change).data_hash for change in ({"num_frames": 4}, {"size": 16}, {"margin": 2})
    ]
    write_video(moved / "0.mp4", np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8))
    others.append(VideoClips(moved, "val").data_hash)
    (moved / "val.txt").write_text("1.mp4 1\n0.mp4 0\n")
    others.append(VideoClips(moved, "val").data_hash)
    assert len({same, *others}) == 6


@pytest.mark.parametrize("damage", ["shorter", "longer", "no index", "half an index", "empty"])
def test_a_cache_that_is_not_whole_is_built_again(root, decoded, damage):
    expected = VideoClips(root, "val").frames(range(4))
    (folder,) = (root / ".cache").iterdir()
    frames, index = folder / "frames.u8", folder / "index.json"
    if damage in ("shorter", "longer"):
        content = frames.read_bytes()
        frames.write_bytes(content[:-1] if damage == "shorter" else content + b"0")
    elif damage == "half an index":
        index.write_text(index.read_text()[:9])
    else:
        index.unlink()
        if damage == "empty":
            frames.unlink()
    np.testing.assert_array_equal(VideoClips(root, "val").frames(range(4)), expected)
    assert len(decoded) == 8
    assert [path.name for path in (root / ".cache").iterdir()] == [folder.name]


def test_an_interrupted_build_leaves_nothing(root, monkeypatch):
    def interrupt(path, **kwargs):
        if path.name == "2.mp4":
            raise KeyboardInterrupt
        return decode_frames(path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "decode_frames", interrupt)
        with pytest.raises(KeyboardInterrupt):
            VideoClips(root, "val")
    assert list((root / ".cache").iterdir()) == []
    assert len(VideoClips(root, "val")) == 4


def test_a_killed_build_is_not_taken_for_whole(root):
    script = (
        "import os, sys\nfrom envs.clips import cache\ndecode = cache.decode_frames\n"
        "def die(path, **kwargs):\n    return os._exit(9) if path.name == '3.mp4' else decode(path, **kwargs)\n"
        f"cache.decode_frames = die\ncache.VideoClips({str(root)!r}, 'val')\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert caches(root)[0].startswith("building-")
    assert len(VideoClips(root, "val")) == 4
    assert [name.startswith("building-") for name in caches(root)] == [False]


def test_builders_at_once_agree(root):
    sources = []
    threads = [threading.Thread(target=lambda: sources.append(VideoClips(root, "val"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sources) == 4
    for source in sources:
        np.testing.assert_array_equal(source.frames(range(4)), sources[0].frames(range(4)))
    assert len(list((root / ".cache").iterdir())) == 1


def test_workers_keep_the_order(root, tmp_path):
    one = VideoClips(root, "train", cache_dir=tmp_path / "one")
    two = VideoClips(root, "train", cache_dir=tmp_path / "two", workers=3)
    np.testing.assert_array_equal(one.frames(range(4)), two.frames(range(4)))
    assert not (root / ".cache").exists()


def test_broken_videos_are_named_and_left_out(root, decoded):
    (root / "0.mp4").write_bytes(b"no video")
    (root / "3.mp4").unlink()
    for opening in range(2):
        source = VideoClips(root, "val")
        assert len(decoded) == 4, opening
        assert source.names == ["1.mp4", "2.mp4"]
        np.testing.assert_array_equal(source.labels, [1, 0])
        np.testing.assert_array_equal(source.reversals, [-1, -1])
        assert [str(root / name) in text for name, text in zip(("0.mp4", "3.mp4"), source.skipped)] == [True, True]
        np.testing.assert_array_equal(source.frames([1])[0], decode_frames(root / "2.mp4", num_frames=8, size=32))


@pytest.mark.parametrize("cached", [False, True])
def test_broken_videos_are_an_error_on_request(root, cached):
    (root / "0.mp4").write_bytes(b"no video")
    if cached:
        VideoClips(root, "val")
    with pytest.raises(ClipError, match=r'1 cannot.*on_broken="skip".*0\.mp4'):
        VideoClips(root, "val", on_broken="error")
    assert cached or list((root / ".cache").iterdir()) == []


def test_a_whole_folder_passes_the_strict_opening(root):
    assert VideoClips(root, "val", on_broken="error").skipped == []


def test_nothing_left_is_an_error(root):
    for i in range(4):
        (root / f"{i}.mp4").unlink()
    with pytest.raises(ClipError, match="none of 4 can"):
        VideoClips(root, "val")


def test_a_place_that_cannot_be_written_names_the_way_out(root, tmp_path):
    (root / ".cache").write_text("in the way")
    with pytest.raises(ClipError, match="cache_dir"):
        VideoClips(root, "val")
    assert len(VideoClips(root, "val", cache_dir=tmp_path / "elsewhere")) == 4


def test_another_process_gets_the_place_not_the_content(root):
    source = VideoClips(root, "val")
    data = pickle.dumps(source)
    assert len(data) < 5000
    np.testing.assert_array_equal(pickle.loads(data).frames([2]), source.frames([2]))


def test_the_missing_test_split_is_noted(root):
    assert "val" in VideoClips(root, "test").note
    assert VideoClips(root, "val").note == ""


def test_a_layout_by_name_and_a_multi_scale_crop(root):
    plain = VideoClips(root, "train", size=24, margin=8, layout="lists")
    scaled = VideoClips(root, "train", size=24, margin=8, crop="multi_scale")
    assert len(caches(root)) == 1
    np.testing.assert_array_equal(plain.frames([0, 1]), scaled.frames([0, 1]))
    drawn = [source.frames([0, 1], np.random.default_rng(0)) for source in (plain, scaled)]
    assert drawn[0].shape == drawn[1].shape == (2, 8, 24, 24, 3)
    np.testing.assert_array_equal(drawn[1], scaled.frames([0, 1], np.random.default_rng(0)))


# -- rebuilt when anything changes ------------------------------------------------------------------------------------


def test_a_file_that_changed_without_changing_its_size_is_decoded_again(root, decoded):
    before = VideoClips(root, "val")
    changed = root / "1.mp4"
    when = changed.stat().st_mtime_ns + 1
    os.utime(changed, ns=(when, when))
    after = VideoClips(root, "val")
    assert len(decoded) == 8
    assert before.data_hash == after.data_hash  # which is to be the same on another machine
    assert len(caches(root)) == 2


@pytest.mark.parametrize("change", ["label", "class", "order", "pairs"])
def test_a_changed_list_is_decoded_again(root, decoded, change):
    before = VideoClips(root, "val").data_hash
    if change == "pairs":
        (root / "dataset.json").unlink()
    else:
        lines = {"label": "0.mp4 1", "class": "0.mp4 2", "order": "1.mp4 1\n0.mp4 0"}[change]
        rest = "" if change == "order" else "1.mp4 1\n"
        (root / "dataset.json").unlink()
        (root / "val.txt").write_text(f"{lines}\n{rest}2.mp4 0\n3.mp4 1\n")
    assert VideoClips(root, "val").data_hash != before
    assert len(decoded) == 8


# -- the bound --------------------------------------------------------------------------------------------------------

SIZE = 4 * 8 * 32 * 32 * 3  # bytes of a cache of val


def open_and_drop(root, **kwargs) -> None:
    VideoClips(root, "val", **kwargs)


def test_a_cache_beyond_the_bound_is_not_made(root, decoded):
    with pytest.raises(CacheTooLarge, match=r"fit into the 9e-05 GB of cache_gb, but they may take 9\.8e-05 GB; allow"):
        VideoClips(root, "val", cache_gb=9e-5)
    assert not (root / ".cache").exists()
    assert decoded == []
    VideoClips(root, "val", cache_gb=SIZE / 1e9)
    with pytest.raises(CacheTooLarge):
        VideoClips(root, "val", cache_gb=9e-5)  # nor opened
    with pytest.raises(CacheTooLarge):
        VideoClips(root, "val", cache_gb=0)


def test_the_least_recently_opened_goes_first(root):
    bound = {"cache_gb": 2.5 * SIZE / 1e9}
    first, second, third = ({"num_frames": 8}, {"num_frames": 6}, {"num_frames": 7})
    names = []
    for sampling in (first, second):
        open_and_drop(root, **sampling, **bound)
        names.append(next(name for name in caches(root) if name not in names))
    for name, when in zip(names, (2000, 1000)):
        os.utime(root / ".cache" / name / "index.json", (when, when))
    open_and_drop(root, **third, **bound)
    assert names[0] in caches(root)
    assert names[1] not in caches(root)
    assert len(caches(root)) == 2


def test_opening_counts_as_use(root):
    open_and_drop(root)
    index = root / ".cache" / caches(root)[0] / "index.json"
    os.utime(index, (1000, 1000))
    open_and_drop(root)
    assert index.stat().st_mtime > 1e9


def test_a_cache_that_is_open_stays(root):
    source = VideoClips(root, "val")
    copy = pickle.loads(pickle.dumps(source))
    expected = source.frames(range(4))
    del source
    with pytest.raises(CacheTooLarge, match=r"beside 9\.8e-05 GB of others in use"):
        VideoClips(root, "val", num_frames=7, cache_gb=1.5 * SIZE / 1e9)
    assert len(caches(root)) == 1
    np.testing.assert_array_equal(copy.frames(range(4)), expected)
    del copy
    VideoClips(root, "val", num_frames=7, cache_gb=1.5 * SIZE / 1e9)
    assert len(caches(root)) == 1


def test_a_cache_that_another_process_has_open_stays(root):
    script = (
        "import sys\nfrom envs.clips import VideoClips\n"
        f"clips = VideoClips({str(root)!r}, 'val')\nprint('open', flush=True)\nsys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"open\n"
    with pytest.raises(CacheTooLarge, match="in use"):
        VideoClips(root, "val", num_frames=7, cache_gb=1.5 * SIZE / 1e9)
    process.communicate()
    VideoClips(root, "val", num_frames=7, cache_gb=1.5 * SIZE / 1e9)
    assert len(caches(root)) == 1


def test_only_caches_are_removed(root, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for name in ("a" * 63, "building-mine", "notes"):
        (elsewhere / name).mkdir(parents=True)
    (elsewhere / ("b" * 64)).mkdir()  # a cache that lost its frames
    (elsewhere / ("building-" + "c" * 32)).mkdir()
    open_and_drop(root, cache_dir=elsewhere)
    VideoClips(root, "val", num_frames=7, cache_dir=elsewhere, cache_gb=1.5 * SIZE / 1e9)
    assert {"a" * 63, "building-mine", "notes"} < {path.name for path in elsewhere.iterdir()}
    assert "building-" + "c" * 32 not in {path.name for path in elsewhere.iterdir()}


@pytest.mark.parametrize("where", ["frames", "index"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(root, monkeypatch, where):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "frames":
            patch.setattr(cache_module.os, "fsync", full)
        else:
            patch.setattr(cache_module.Path, "write_text", full)
        with pytest.raises(ClipError, match=r"9\.8e-05 GB of decoded frames.*No space left on device.*cache_dir"):
            VideoClips(root, "val")
    assert caches(root) == []
    assert len(VideoClips(root, "val")) == 4


@pytest.mark.parametrize("wrong", [{"on_broken": "ignore"}, {"num_frames": 0}, {"margin": -1}, {"workers": 0}])
def test_arguments_that_cannot_be(root, wrong):
    with pytest.raises(ValueError, match="expected"):
        VideoClips(root, "val", **wrong)
