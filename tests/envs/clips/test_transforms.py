import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envs.clips.transforms import (
    PLACES,
    SCALES,
    Box,
    centre_box,
    crop_and_resize,
    cut,
    evaluation_boxes,
    flip,
    multi_scale_box,
    resize,
)

sides = st.integers(1, 400)


def noise(num_frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def waves(height: int, width: int) -> np.ndarray:
    """One smooth frame (1, H, W, 3) whose three colours differ."""
    y, x = np.mgrid[:height, :width]
    colours = (np.sin(x / 17 + y / 31), np.cos(y / 13), np.sin((x - y) / 11))
    return np.round(127 + 120 * np.stack(colours, -1)).astype(np.uint8)[None]


def inside(box: Box, height: int, width: int) -> bool:
    return 0 <= box.y < box.y + box.height <= height and 0 <= box.x < box.x + box.width <= width


# Boxes ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(sides, sides, st.integers(1, 300), st.integers(0, 1000))
@example(222, 400, 224, 0)  # TSN's code would take 224 rows of 222
@example(1, 1, 224, 0)
def test_multi_scale_boxes_stay_in_the_frame_and_have_its_scales(height, width, size, seed):
    for box in [multi_scale_box(height, width, size, rng) for rng in [np.random.default_rng(seed)] * 10]:
        assert inside(box, height, width)
        shorter = min(height, width)
        for side in (box.height, box.width):
            plain = [max(1, int(shorter * scale)) for scale in SCALES]
            assert side in plain or (side == size and min(abs(size - scaled) for scaled in plain) < 3)
    again = multi_scale_box(height, width, size, np.random.default_rng(seed))
    assert again == multi_scale_box(height, width, size, np.random.default_rng(seed))


def test_multi_scale_boxes_are_those_of_tsn():
    """On 256 x 340 pixels for 224: sides 256, 224, 192, 168, and the places written down by hand."""
    rng = np.random.default_rng(0)
    drawn = [multi_scale_box(256, 340, 224, rng) for _ in range(5000)]
    shapes = {(box.height, box.width) for box in drawn}
    assert shapes == {
        *((256, 256), (224, 224), (192, 192), (168, 168)),
        *((256, 224), (224, 256), (224, 192), (192, 224), (192, 168), (168, 192)),
    }
    down, across = (256 - 192) // 4, (340 - 192) // 4  # 16, 37
    assert {(box.y // down, box.x // across) for box in drawn if (box.height, box.width) == (192, 192)} == {
        *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
        *((2, 0), (2, 4), (4, 2), (0, 2)),
        *((1, 1), (1, 3), (3, 1), (3, 3)),
    }
    assert len(PLACES) == len(set(PLACES)) == 13


def test_a_crop_of_nearly_the_size_wanted_takes_it():
    rng = np.random.default_rng(0)
    drawn = {multi_scale_box(257, 340, 224, rng).height for _ in range(500)}
    assert drawn == {257, 224, 192, 169}  # 257 x 0.875 is 224; 257 x 0.66 is 169
    drawn = {multi_scale_box(226, 340, 224, rng).height for _ in range(500)}
    assert drawn == {224, 197, 169, 149}


@settings(max_examples=100, deadline=None)
@given(sides, sides, st.data())
def test_evaluation_boxes_stay_in_the_frame_and_span_its_longer_side(height, width, data):
    size = data.draw(st.integers(1, min(height, width)))
    assert evaluation_boxes(height, width, size) == (centre_box(height, width, size),)
    first, middle, last = evaluation_boxes(height, width, size, 3)
    assert middle == centre_box(height, width, size)
    for box in (first, middle, last):
        assert inside(box, height, width)
        assert box[2:] == (size, size)
    if height > width:
        assert (first.y, last.y + size) == (0, height)
        assert first.x == middle.x == last.x
    else:
        assert (first.x, last.x + size) == (0, width)
        assert first.y == middle.y == last.y


@pytest.mark.parametrize(
    "call",
    [
        lambda: centre_box(100, 200, 101),
        lambda: centre_box(100, 200, 0),
        lambda: evaluation_boxes(100, 200, 101, 3),
        lambda: evaluation_boxes(100, 200, 50, 2),
        lambda: multi_scale_box(0, 200, 50, np.random.default_rng(0)),
        lambda: multi_scale_box(100, 200, 0, np.random.default_rng(0)),
        lambda: cut(noise(1, 8, 8), Box(0, 1, 8, 8)),
        lambda: cut(noise(1, 8, 8), Box(-1, 0, 8, 8)),
        lambda: cut(noise(1, 8, 8), Box(0, 0, 0, 8)),
        lambda: resize(noise(1, 8, 8), 4, 4, "lanczos"),
        lambda: resize(noise(1, 8, 8), 0, 4),
    ],
)
def test_what_cannot_be_cut_or_resized_is_refused(call):
    with pytest.raises(ValueError, match=r"^expected .*, got .*; "):
        call()


# Pixels --------------------------------------------------------------------------------------------------------------


def test_the_same_part_is_cut_from_every_frame():
    clip = noise(4, 10, 12)
    part = cut(clip, Box(2, 3, 5, 6))
    np.testing.assert_array_equal(part, clip[:, 2:7, 3:9])
    assert np.shares_memory(part, clip)


def weights(length: int, wanted: int, method: str) -> np.ndarray:
    """(wanted, length): what each pixel of a resized line takes from each old one, with the edges repeated.

    A triangle, or Keys' cubic with a = -0.6 (libswscale's), as wide as a new pixel where the line shrinks.
    """
    step = length / wanted
    places = np.arange(-2 * length, 3 * length)
    d = np.abs(((np.arange(wanted) + 0.5) * step - 0.5)[:, None] - places) / max(step, 1)
    if method == "bilinear":
        share = np.clip(1 - d, 0, None)
    else:
        a = -0.6
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        share = np.where(d < 1, near, np.where(d < 2, far, 0))
    share /= share.sum(1, keepdims=True)
    folded = np.zeros((length, wanted))
    np.add.at(folded, np.clip(places, 0, length - 1), share.T)
    return folded.T


def plainly_resized(clip: np.ndarray, height: int, width: int, method: str) -> np.ndarray:
    rows = np.einsum("ij,tjkc->tikc", weights(clip.shape[1], height, method), clip.astype(float))
    return np.clip(np.einsum("lk,tikc->tilc", weights(clip.shape[2], width, method), rows), 0, 255)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(84, 112), (112, 112), (28, 28), (150, 250), (31, 57)])
def test_resizing_is_that_of_plain_arithmetic(shape, method):
    smooth = waves(120, 160)
    assert np.abs(resize(smooth, *shape, method) - plainly_resized(smooth, *shape, method)).max() < 1.5
    rough = 64 + noise(2, 120, 160) // 2  # nothing is clipped between the passes
    difference = np.abs(resize(rough, *shape, method) - plainly_resized(rough, *shape, method))
    assert difference.mean() < 0.3  # rounding alone makes 0.25
    assert difference.max() < 5  # the scaler weighs a few columns differently, mostly at the edges


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 2), (33, 65)])
def test_odd_and_tiny_frames_are_resized(shape):
    for wanted in [(1, 1), (8, 8), (5, 3)]:
        for method in ("bilinear", "bicubic"):
            resized = resize(noise(3, *shape), *wanted, method)
            assert resized.shape == (3, *wanted, 3)
            assert resized.dtype == np.uint8


def test_the_colours_stay_apart():
    clip = np.zeros((1, 9, 9, 3), dtype=np.uint8)
    clip[..., 0] = noise(1, 9, 9)[..., 0]
    clip[..., 2] = 255
    resized = resize(clip, 20, 14)
    assert (resized[..., 1] == 0).all()
    assert (resized[..., 2] == 255).all()
    np.testing.assert_array_equal(resized[..., 0], resize(clip[..., [0, 0, 0]], 20, 14)[..., 1])


def test_resizing_to_the_same_size_is_a_copy():
    clip = noise(2, 6, 8)
    same = resize(clip, 6, 8)
    np.testing.assert_array_equal(same, clip)
    assert not np.shares_memory(same, clip)


def test_a_cropped_clip_is_resized_frame_by_frame():
    clip = noise(3, 40, 60)
    cropped = crop_and_resize(clip, Box(4, 8, 20, 30), 16, "bicubic")
    assert cropped.shape == (3, 16, 16, 3)
    for frame, alone in zip(cropped, clip):
        np.testing.assert_array_equal(frame[None], resize(alone[None, 4:24, 8:38], 16, 16, "bicubic"))


def test_a_flip_mirrors_every_frame():
    clip = noise(2, 3, 4)
    flipped = flip(clip)
    for x in range(4):
        np.testing.assert_array_equal(flipped[:, :, x], clip[:, :, 3 - x])
    assert flipped.flags.c_contiguous
    np.testing.assert_array_equal(flip(flipped), clip)
