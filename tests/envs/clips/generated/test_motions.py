import json

import numpy as np
import pytest

from envs.clips import ClipError, VideoClips, motions
from envs.clips.datasets import find_clips
from envs.clips.video.decode import decode_frames

DIRECTIONS = np.array([(1, 0), (0, 1), (0.75, 0.75), (-0.75, 0.75)])  # of classes 0, 2, 4, 6
SMALL = {"train": 16, "val": 4, "test": 4, "progress": False, "workers": 1}


class Tracks:
    """What a measurement of the coloured object in a clip finds, the drawing's own numbers unseen.

    The object is what leaves the clip's median picture, weighted by how colourful the change is.
    """

    def __init__(self, frames: np.ndarray) -> None:
        frames = frames.astype(np.float32)
        change = frames - np.median(frames, axis=1, keepdims=True)
        colour = np.abs(change - change.mean(-1, keepdims=True)).sum(-1)
        self.weight = np.where(colour > 150, colour, 0)  # (B, 8, 32, 32)
        mass = self.weight.sum((2, 3))
        self.seen = np.where(mass > 1000, mass, 0)  # (B, 8)
        grid = np.arange(32) - 15.5
        self.place = np.stack(
            [(self.weight * axis).sum((2, 3)) / np.maximum(mass, 1) for axis in (grid, grid[:, None])]
        )
        total = np.maximum(self.seen.sum(1, keepdims=True), 1)
        time = np.arange(8) - (self.seen * np.arange(8)).sum(1, keepdims=True) / total
        spread = np.maximum((self.seen * time**2).sum(1), 1)
        self.clear = (self.seen > 0).sum(1) >= 2  # (B,): not too faint to measure
        self.velocity = np.stack([(self.seen * time * axis).sum(1) / spread for axis in self.place], -1)  # (B, 2)


@pytest.fixture(scope="module")
def source():
    return motions.sample(800, seed=0)


@pytest.fixture(scope="module")
def frames(source):
    return source.frames(range(800))


@pytest.fixture(scope="module")
def tracks(frames):
    return Tracks(frames)


def direction(label: int) -> np.ndarray:
    return DIRECTIONS[label // 2] * (-1 if label % 2 else 1)


@pytest.mark.parametrize("label", range(8))
def test_objects_move_as_their_class_says(source, tracks, label):
    velocity = tracks.velocity[(source.labels == label) & tracks.clear]
    assert len(velocity) > 60
    x, y = direction(label)
    along, across = velocity @ (x, y) / (x * x + y * y), velocity @ (-y, x) / (x * x + y * y)
    assert (along > 0).mean() > 0.9
    assert 1.6 < np.median(along) < 2.8
    assert abs(np.median(across)) < 0.3


@pytest.mark.parametrize("label", range(8))
def test_backwards_a_class_is_its_reversed_class(source, frames, tracks, label):
    backwards = Tracks(frames[source.labels == label][:, ::-1])
    reverse = motions.REVERSED_CLASS[label]
    assert motions.REVERSED_CLASS[reverse] == label
    for share in (0.25, 0.5, 0.75):
        found = np.quantile(backwards.velocity[backwards.clear], share, axis=0)
        expected = np.quantile(tracks.velocity[(source.labels == reverse) & tracks.clear], share, axis=0)
        np.testing.assert_allclose(found, expected, atol=0.6)


@pytest.mark.parametrize("pair", range(4))
def test_one_frame_tells_no_direction_but_its_place_in_time_does(source, tracks, pair):
    def offsets(label: int, frames: slice) -> np.ndarray:
        """Where along the pair's line the object is, in pixels, in all the frames in which it is seen."""
        clips = source.labels == label
        line = DIRECTIONS[pair] / np.linalg.norm(DIRECTIONS[pair])
        place = np.einsum("a,abt->bt", line, tracks.place[:, clips])
        return place[:, frames][tracks.seen[clips][:, frames] > 0]

    either = [offsets(2 * pair + k, slice(None)) for k in (0, 1)]
    for share in (0.2, 0.5, 0.8):
        assert abs(np.quantile(either[0], share) - np.quantile(either[1], share)) < 1.0
    early = [offsets(2 * pair + k, slice(0, 2)) for k in (0, 1)]  # the negative control
    assert np.median(early[0]) < -2
    assert np.median(early[1]) > 2


def test_the_hue_tells_the_pair(source, frames, tracks):
    change = frames - np.median(frames, axis=1, keepdims=True)
    colour = (change * tracks.weight[..., None] * (tracks.seen > 0)[..., None, None, None]).sum((1, 2, 3))
    angle = np.arctan2(3**0.5 * (colour[:, 1] - colour[:, 2]), 2 * colour[:, 0] - colour[:, 1] - colour[:, 2])
    guess = np.round(angle / (np.pi / 2)).astype(int) % 4
    assert (guess == source.labels // 2)[tracks.clear].mean() > 0.8


def test_drawing_repeats_for_a_seed_and_only_for_it():
    clip = motions.render_clip(3, np.random.default_rng(0))
    assert clip.shape == (8, 32, 32, 3)
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, motions.render_clip(3, np.random.default_rng(0)))
    one, same, other = (motions.sample(8, seed) for seed in (0, 0, 1))
    assert one.data_hash == same.data_hash != other.data_hash
    np.testing.assert_array_equal(motions.sample(16, 0).frames(range(8)), one.frames(range(8)))


def test_every_class_has_its_share(source):
    assert len(motions.CLASSES) == 8
    assert np.bincount(source.labels).tolist() == [100] * 8
    for count in (8, 16, 40):
        paired = motions.sample(count, seed=0, paired=True)
        assert np.bincount(paired.labels).tolist() == [count // 8] * 8
    assert set(motions.sample(16, seed=0, paired=True).labels[::2]) == set(range(8))  # every class is an original too


def test_pairs_are_exact_reversals():
    paired = motions.sample(16, seed=0, paired=True)
    frames = paired.frames(range(16))
    np.testing.assert_array_equal(frames[1::2], frames[::2, ::-1])
    np.testing.assert_array_equal(paired.reversals, np.arange(16).reshape(-1, 2)[:, ::-1].ravel())
    np.testing.assert_array_equal(paired.labels[paired.reversals], np.array(paired.reversed_class)[paired.labels])
    assert motions.sample(16, seed=0).reversals is None
    for count, pairing in ((15, True), (0, False)):
        with pytest.raises(ValueError, match="positive number of clips"):
            motions.sample(count, seed=0, paired=pairing)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return motions.ensure(tmp_path_factory.mktemp("data") / "motions", **SMALL)


def contents(root) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_generated_data_are_read_as_drawn(written):
    assert len(contents(written)) == 24 + 5
    for split, count in (("train", 16), ("val", 4), ("test", 4)):
        source = VideoClips(written, split, on_broken="error")
        assert len(source) == count
        assert source.classes == motions.CLASSES
        assert source.reversed_class == motions.REVERSED_CLASS
        frames = source.frames(range(count))
        for i, label in enumerate(source.labels[::2]):
            number = {"train": 0, "val": 1, "test": 2}[split]
            drawn = motions.render_clip(int(label), np.random.default_rng([0, number, 2 * i]))
            assert np.abs(frames[2 * i].mean(-1) - drawn.mean(-1)).mean() < 12  # the noise's colour does not survive
        if split == "train":
            assert source.reversals is None
            np.testing.assert_array_equal(source.labels, np.arange(16) % 8)
        else:
            np.testing.assert_array_equal(source.reversals, [1, 0, 3, 2])
            np.testing.assert_array_equal(source.labels, [0, 1, 2, 3])
            backwards = frames[::2, ::-1].astype(int)
            assert np.abs(frames[1::2] - backwards).mean() < 10  # exact but for the codec
            assert np.abs(frames[1::2] - np.roll(backwards, 1, axis=0)).mean() > 20
    assert len({content for name, content in contents(written).items() if name.endswith(".mp4")}) == 24


def test_a_run_goes_on_where_it_was_interrupted(written, tmp_path, monkeypatch):
    root, write, done = tmp_path / "motions", motions.write_video, []

    def interrupted(path, frames):
        if len(done) == 9:
            raise KeyboardInterrupt
        write(path, frames)
        done.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(motions, "write_video", interrupted)
        with pytest.raises(KeyboardInterrupt):
            motions.generate(root, **SMALL)
    with pytest.raises(ClipError, match="running or was interrupted"):
        find_clips(root, "train")
    with pytest.raises(ClipError, match="differs in seed"):
        motions.generate(root, **SMALL | {"seed": 1})
    before = {path: path.stat().st_mtime_ns for path in done}
    motions.ensure(root, **SMALL)
    assert before == {path: path.stat().st_mtime_ns for path in done}
    assert contents(root) == contents(written)


def test_workers_change_nothing(written, tmp_path):
    motions.generate(tmp_path / "motions", **SMALL | {"workers": 2})
    assert contents(tmp_path / "motions") == contents(written)


def test_whole_data_are_left_alone_and_other_data_are_not_touched(written, tmp_path, monkeypatch):
    monkeypatch.setattr(motions, "write_video", None)  # would fail
    before = contents(written)
    assert motions.ensure(written, **SMALL) == written
    for change, name in (({"seed": 1}, "seed"), ({"train": 32}, "counts")):
        with pytest.raises(ClipError, match=f"differs in {name}"):
            motions.ensure(written, **SMALL | change)
    assert contents(written) == before
    (tmp_path / "train.txt").write_text("mine.mp4 0\n")
    with pytest.raises(ClipError, match="something else"):
        motions.ensure(tmp_path, **SMALL)
    assert (tmp_path / "train.txt").read_text() == "mine.mp4 0\n"


@pytest.mark.parametrize("counts", [{"val": 3}, {"test": 5}, {"train": 0}])
def test_counts_that_cannot_be(tmp_path, counts):
    with pytest.raises(ValueError, match="even numbers in val and test"):
        motions.generate(tmp_path / "motions", **SMALL | counts)
    assert not (tmp_path / "motions").exists()


def test_the_sidecar_says_how_the_data_were_made(written):
    facts = json.loads((written / "dataset.json").read_text())
    assert facts["seed"] == 0
    assert facts["counts"] == {"train": 16, "val": 4, "test": 4}
    assert facts["paired"] == ["val", "test"]
    assert facts["classes"] == (written / "classes.txt").read_text().split()
    assert decode_frames(written / "train" / "00015.mp4", num_frames=8, size=32).shape == (8, 32, 32, 3)


# -- facts of clips ----------------------------------------------------------------------------------------------------


def test_facts_are_those_of_the_frames():
    """Measured in the pictures, the drawing's own numbers unseen: window, noise, speed and contrast."""
    labels = np.arange(400) % 8
    drawn = [motions._draw(int(label), np.random.default_rng([7, i])) for i, label in enumerate(labels)]
    facts = motions.ClipFacts(*map(np.array, zip(*(facts for _, facts in drawn))))
    frames = np.stack([clip for clip, _ in drawn])
    tracks = Tracks(frames)
    alone = (np.arange(8) < facts.start[:, None]) | (np.arange(8) >= (facts.start + facts.length)[:, None])
    clear = tracks.clear & (facts.contrast > 0.6) & (facts.noise < 0.08) & (facts.length < 5)
    assert clear.sum() > 20
    assert ((tracks.seen > 0) == ~alone)[clear].mean() > 0.95
    still = alone.sum(1) > 1
    dark = np.where(alone[..., None, None, None], frames, np.nan)[still] / 255
    noise = np.sqrt(np.nanmedian(np.nanvar(dark, axis=1, ddof=1), axis=(1, 2, 3)))
    assert np.corrcoef(noise, facts.noise[still])[0, 1] > 0.95
    straight = clear & (labels < 4)
    speed = np.linalg.norm(tracks.velocity, axis=1)
    assert np.corrcoef(speed[straight], facts.speed[straight])[0, 1] > 0.5
    change = tracks.weight.reshape(400, 8, -1).max((1, 2))
    assert np.corrcoef(change, facts.contrast)[0, 1] > 0.5


def test_facts_of_files_are_what_was_drawn_into_them(written):
    for split, count in (("train", 16), ("val", 4), ("test", 4)):
        source = VideoClips(written, split, on_broken="error")
        found = motions.facts(written, source.names, progress=False)
        frames = source.frames(range(count))
        for i, label in enumerate(source.labels):
            original = i - i % 2 if split != "train" else i
            rng = np.random.default_rng([0, {"train": 0, "val": 1, "test": 2}[split], original])
            drawn, facts = motions._draw(int(source.labels[original]), rng)
            if i != original:
                drawn, facts = drawn[::-1], facts._replace(start=8 - facts.start - facts.length)
                assert label == motions.REVERSED_CLASS[source.labels[original]]
            assert facts == tuple(values[i] for values in found)
            assert np.abs(frames[i].mean(-1) - drawn.mean(-1)).mean() < 12  # of the very frames that were written
    assert motions.facts(written, ["test/00003.mp4"], progress=False).noise == found.noise[[3]]


def test_other_data_have_no_facts(written, tmp_path):
    assert motions.facts(tmp_path, ["test/00000.mp4"]) is None
    made = json.loads((written / "dataset.json").read_text())
    for changed in ({**made, "version": 0}, {**made, "generator": "other"}, [], {}):
        (tmp_path / "dataset.json").write_text(json.dumps(changed))
        assert motions.facts(tmp_path, ["test/00000.mp4"]) is None
