import numpy as np
import pytest
from PIL import Image
from video_cases import write

from envs.clips.video.read import open_video
from experiments.checking.likeness import FRAMES, compared, find_alike, look_of, looks_of

RNG = np.random.default_rng(0)


def picture(seed=0, size=(16, 28)):
    """Something smooth, as footage is when it is scaled down."""
    cells = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize(size[::-1], Image.Resampling.BICUBIC))


def bits(one, other):
    return max((a ^ b).bit_count() for a, b in zip(one, other))


def changed(image, kind):
    noise = np.random.default_rng(1).normal(0, 6, image.shape)
    return {
        "brighter": np.clip(image * 0.8 + 30, 0, 255),
        "noisy": np.clip(image + noise, 0, 255),
        "larger": np.asarray(Image.fromarray(image).resize((56, 32), Image.Resampling.BICUBIC)),
        "grey": np.broadcast_to(image.mean(-1, keepdims=True), image.shape),
    }[kind].astype(np.uint8)


@pytest.mark.parametrize("kind", ["brighter", "noisy", "larger", "grey"])
def test_a_frame_looks_like_itself_in_another_light(kind):
    for seed in range(20):
        assert bits(look_of(picture(seed)), look_of(changed(picture(seed), kind))) <= 8


def test_other_frames_look_otherwise():
    looks = [look_of(picture(seed)) for seed in range(60)]
    assert min(bits(one, other) for number, one in enumerate(looks) for other in looks[:number]) > 8


def gradient(axis):
    steps = np.arange(0, 256, 16, dtype=np.uint8)
    return np.broadcast_to(steps[:, None, None] if axis else steps[None, :, None], (16, 16, 3))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((16, 16, 3), np.uint8),
        np.full((16, 16, 3), 255, np.uint8),
        np.random.default_rng(0).integers(127, 130, (16, 28, 3), dtype=np.uint8),
        gradient(0),
        gradient(1),
    ],
    ids=["black", "white", "almost grey", "darker to the left", "darker above"],
)
def test_frames_that_tell_nothing_have_no_look(image):
    assert look_of(image) is None


def test_a_clip_has_the_looks_of_some_frames_and_of_none_that_is_flat():
    frames = np.stack([picture(seed) for seed in range(6)])
    chosen = frames[compared(6)]
    assert looks_of(chosen) == tuple(look_of(frames[place]) for place in (1, 3, 5))
    chosen[1] = 0
    assert looks_of(chosen) == tuple(look_of(frames[place]) for place in (1, 5))
    assert looks_of(frames[compared(1)]) == (look_of(frames[0]),) * FRAMES
    assert looks_of(frames[compared(0)]) == ()


def test_a_clip_that_is_encoded_anew_looks_the_same(tmp_path):
    for name, options in {"fine": {"crf": "10"}, "coarse": {"crf": "40", "codec": "mpeg4", "b": "60000"}}.items():
        write(tmp_path / f"{name}.mp4", 20, **options)
    fine, coarse = (open_video(tmp_path / f"{name}.mp4").frames(range(20), size=16) for name in ("fine", "coarse"))
    assert (fine != coarse).any()
    assert len(list(find_alike([looks_of(fine)], [looks_of(coarse)], within=8))) == 1


def random_clips(count):
    return [tuple(map(tuple, looks)) for looks in RNG.integers(0, 1 << 63, (count, FRAMES, 2)).tolist()]


def turned(look, places):
    """The same with some bits turned, in either hash."""
    return tuple(one ^ sum(1 << place for place in of) for one, of in zip(look, places))


def test_only_what_differs_in_few_bits_of_both_hashes_is_alike():
    ours, theirs = random_clips(40), random_clips(300)
    assert not list(find_alike(ours, theirs, within=8))
    theirs[7] = (turned(ours[3][2], (range(8), range(10, 15))), *theirs[7][1:])
    theirs[9] = (turned(ours[3][0], (range(6), range(3))), *theirs[9][1:])
    theirs[11] = (turned(ours[5][0], (range(2), range(9))), *theirs[11][1:])  # one hash alone says nothing
    theirs[12] = (turned(ours[6][0], (range(9), range(2))), *theirs[12][1:])
    assert list(find_alike(ours, theirs, within=8)) == [(3, 9, 6, 2)]
    assert [alike.clip for alike in find_alike(ours, theirs, within=9)] == [3, 5, 6]


def test_every_pair_is_found_whatever_is_compared_at_once(monkeypatch):
    ours, theirs = random_clips(30), random_clips(50)
    for place in range(0, 30, 3):
        theirs[place + 1] = theirs[place + 4] = ours[place]
    ours[4] = ()  # flat
    whole = list(find_alike(ours, theirs, within=8))
    assert [(alike.clip, alike.bits) for alike in whole] == [(place, 0) for place in range(0, 30, 3)]
    monkeypatch.setattr("experiments.checking.likeness.AT_ONCE", 1)
    assert list(find_alike(ours, theirs, within=8)) == whole
    assert list(find_alike([], theirs, within=8)) == list(find_alike(ours, [(), ()], within=8)) == []
