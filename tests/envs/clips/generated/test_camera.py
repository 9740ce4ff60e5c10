from dataclasses import replace

import numpy as np
import pytest

from envs.clips import ClipError
from envs.clips.generated.camera import Camera
from envs.clips.generated.directions import REVERSED_CLASS, direction_of

CAMERA = Camera(size=64, num_frames=8, speed=(1.5, 3.5), jitter=0.0, noise=0.0, still=False)
HEIGHT, WIDTH, LENGTH = 96, 170, 30


class Coded:
    """In place of a reel: footage whose pixels say where they are, as red, green and blue are x, y and the frame."""

    def __init__(self, length: int = LENGTH) -> None:
        self.length = length
        self.asked: list[np.ndarray] = []

    def __len__(self) -> int:
        return self.length

    def check_length(self, fewest: int) -> None:
        if self.length < fewest:
            raise ClipError("too short")

    def frames(self, numbers: np.ndarray) -> np.ndarray:
        self.asked.append(numbers)
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        return np.stack([np.stack([x, y, np.full_like(x, number)], -1) for number in numbers]).astype(np.uint8)


def shots(camera: Camera, label: int, count: int = 1, first: int = 0) -> list:
    return [camera.draw(label, 5, np.random.default_rng([label // 2, i])) for i in range(first, first + count)]


def corners(camera: Camera, label: int, count: int) -> np.ndarray:
    """(N, T, 2) places of windows."""
    return np.stack([camera.corners(shot, HEIGHT, WIDTH) for shot in shots(camera, label, count)])


def places(camera: Camera, label: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """(N, T, 2) corners of windows and (N, T) numbers of frames, as the pixels of films say."""
    corners = np.stack([clip[:, 0, 0] for clip in camera.film(Coded(), shots(camera, label, count))]).astype(int)
    return corners[..., :2], corners[..., 2]


@pytest.mark.parametrize("label", range(8))
def test_the_window_glides_as_its_class_says(label):
    seen, numbers = places(CAMERA, label)
    np.testing.assert_array_equal(seen, corners(CAMERA, label, 200))
    speed = (seen[:, -1] - seen[:, 0]) / 7
    along = speed @ direction_of(label) / (direction_of(label) ** 2).sum()
    across = speed @ direction_of(label)[::-1] * (1, -1)[label > 3]  # only the still coordinate of the first four
    assert 1.4 < along.min() < 1.7
    assert 3.3 < along.max() < 3.6
    assert label > 3 or not across.any()
    assert np.abs(np.diff(seen, n=2, axis=1)).max() <= 2  # steps are alike but for rounding
    assert (np.abs(np.diff(numbers)) == 1).all()
    assert 0.4 < (np.diff(numbers)[:, 0] == 1).mean() < 0.6  # the coin


@pytest.mark.parametrize("camera", [CAMERA, replace(CAMERA, jitter=1.25), replace(CAMERA, speed=(4.0, 4.57))])
@pytest.mark.parametrize("label", [0, 3, 4, 7])
def test_no_window_leaves_the_footage_or_is_held_at_its_edge(camera, label):
    for shot in shots(camera, label, 60):
        (clip,) = camera.film(Coded(), [shot])
        seen = clip[:, 0, 0, :2].astype(int)
        assert clip.shape == (8, 64, 64, 3)
        assert (np.diff(clip[..., 0].astype(int), axis=2) == 1).all()  # a whole window, 64 neighbouring columns
        moved = seen - seen[0] - (shot.offsets - shot.offsets[0])
        assert np.abs(moved).max() <= 1  # nothing but rounding


def test_edges_of_the_footage_are_reached():
    seen = np.concatenate([corners(CAMERA, label, 300).reshape(-1, 2) for label in range(8)])
    assert (seen.min(0) <= 3).all()
    assert (seen.max(0) >= np.array((WIDTH, HEIGHT)) - 64 - 3).all()


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("label", range(8))
def test_backwards_a_class_is_exactly_its_reversed_class(label, still):
    """The same draws, the coin turned: what has probability one half makes one of the other."""
    camera = replace(CAMERA, still=still)
    one, other = shots(camera, label, 20), shots(camera, REVERSED_CLASS[label], 20)
    other = [shot._replace(backwards=not shot.backwards) for shot in other]
    for a, b in zip(camera.film(Coded(), one), camera.film(Coded(), other), strict=True):
        np.testing.assert_array_equal(a[::-1], b)


def test_the_set_of_frames_tells_no_direction_but_their_order_does():
    camera = replace(CAMERA, jitter=0.5)
    for label in range(0, 8, 2):
        a, b = corners(camera, label, 400), corners(camera, label + 1, 400)
        axis = np.flatnonzero(direction_of(label))[0]
        for share in (0.1, 0.5, 0.9):
            assert abs(np.quantile(a[..., axis], share) - np.quantile(b[..., axis], share)) <= 4
        assert abs(a[:, 0, axis].mean() - b[:, 0, axis].mean()) > 8  # the negative control: the first frames


def test_the_mean_place_of_a_clip_is_distributed_alike_in_all_classes_and_only_its_spread_tells_the_axis():
    means, spreads = zip(*((c.mean(1), c.std(1).mean(0)) for c in (corners(CAMERA, k, 600) for k in range(8))))
    for share in (0.1, 0.5, 0.9):
        found = np.quantile(means, share, axis=1)  # (8, 2)
        assert (np.ptp(found, axis=0) <= (7, 2)).all()
    assert spreads[0][0] > 4  # right
    assert spreads[0][1] == 0


def guess(features, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Classes of test clips by scores that are linear in the mean of features over frames, fitted to the training clips.

    :param train: (8, N, T, 2) places of windows, by class; `test` likewise
    """
    means = [features(places).mean(2).reshape(8 * places.shape[1], -1) for places in (train, test)]
    wanted = np.eye(8).repeat(train.shape[1], 0)
    weights = np.linalg.solve(means[0].T @ means[0], means[0].T @ wanted)
    return (means[1] @ weights).argmax(1)


def test_where_the_argument_ends():
    """Whoever averaged over frames and knew each frame's place in the footage could tell the axis, but not by what is affine
    in the place, and the direction not at all."""

    def powers(degree: int):
        return lambda p: np.stack(
            [p[..., 0] ** a * p[..., 1] ** b for a in range(degree + 1) for b in range(degree + 1 - a)], -1
        )

    both = np.stack([corners(CAMERA, label, 500) for label in range(8)]) / (WIDTH / 2 - 32, HEIGHT / 2 - 32) - 1
    train, test = both[:, :350], both[:, 350:]
    labels = np.arange(8).repeat(150)
    for degree, least, most in ((1, 0.2, 0.3), (6, 0.5, 0.9)):
        guessed = guess(powers(degree), train, test)
        assert least < (guessed // 2 == labels // 2).mean() < most
        right_axis = guessed // 2 == labels // 2
        assert (guessed == labels)[right_axis].mean() == pytest.approx(0.5, abs=0.07)


def test_shots_of_one_video_are_filmed_together_and_no_frame_is_asked_for_twice():
    reel, several = Coded(), shots(CAMERA, 2, 50)
    together = list(CAMERA.film(reel, several))
    (asked,) = reel.asked
    assert len(asked) == len(set(asked.tolist())) <= LENGTH
    for shot, clip in zip(several, together):
        np.testing.assert_array_equal(next(iter(CAMERA.film(Coded(), [shot]))), clip)


def test_all_of_the_video_is_used():
    numbers = places(CAMERA, 0, 500)[1]
    assert (numbers.min(), numbers.max()) == (0, LENGTH - 1)
    (clip,) = CAMERA.film(Coded(8), shots(CAMERA, 0))  # no more than it needs
    assert set(clip[:, 0, 0, 2]) == set(range(8))
    with pytest.raises(ClipError, match="too short"):
        list(CAMERA.film(Coded(7), shots(CAMERA, 0)))


def test_still_footage_stands_still():
    camera = replace(CAMERA, still=True)
    seen, numbers = places(camera, 0)
    assert (numbers == numbers[:, :1]).all()
    assert (numbers.min(), numbers.max()) == (0, LENGTH - 1)
    assert (seen[:, -1, 0] > seen[:, 0, 0]).all()
    assert camera.fewest == 1


def test_jitter_and_noise_are_of_their_size():
    camera = replace(CAMERA, speed=(1.0, 1.0), jitter=1.0)
    offsets = np.stack([shot.offsets for shot in shots(camera, 0, 500)])
    jitter = offsets - (np.arange(8)[:, None] - 3.5) * (1, 0)
    assert np.abs(jitter).max() <= 3
    assert jitter.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(jitter.reshape(-1, 2).T)[0, 1] == pytest.approx(0, abs=0.05)

    noisy = replace(CAMERA, noise=0.1)
    (drawn,) = shots(noisy, 0)
    drawn = drawn._replace(offsets=np.zeros((8, 2)))
    (clean,) = CAMERA.film(Coded(), [drawn._replace(noise=0.0)])
    (clip,) = noisy.film(Coded(), [drawn])
    middle = (clean > 60) & (clean < 180)  # nothing is cut off
    assert (clip.astype(float) - clean)[middle].std() / 255 == pytest.approx(drawn.noise, rel=0.05)
    levels = [shot.noise for shot in shots(noisy, 0, 300)]
    assert 0 <= min(levels) < 0.01
    assert 0.09 < max(levels) <= 0.1


def test_videos_come_in_an_order_of_each_clip():
    orders = [shot.order for shot in shots(CAMERA, 0, 200)]
    assert all(sorted(order.tolist()) == list(range(5)) for order in orders)
    assert min(np.bincount([order[0] for order in orders], minlength=5)) > 20


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 63}, "an even number of pixels"),
        ({"size": 0}, "an even number of pixels"),
        ({"num_frames": 1}, "at least 2 frames"),
        ({"speed": (-1.0, 2.0)}, "both above 0, got -1 and 2"),
        ({"speed": (0.0, 2.0)}, "both above 0"),
        ({"speed": (3.0, 2.0)}, "the least and the most speed"),
        ({"speed": (1.0, float("nan"))}, "the least and the most speed"),
        ({"speed": (1.5, 5.0)}, "has room for 32, but 7 steps of up to 5 with a jitter of 0 take 35; lower the speed"),
        ({"speed": (1.0, float("inf"))}, "a path that fits"),
        ({"jitter": 2.0}, "a path that fits"),
        ({"num_frames": 16}, "a path that fits"),
        ({"size": 32}, "a path that fits"),
        ({"jitter": -0.1}, "a jitter of at least 0"),
        ({"noise": -0.1}, "noise from 0 to 1"),
        ({"noise": 1.5}, "noise from 0 to 1"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_in_one_sentence(change, said):
    with pytest.raises(ValueError, match=said) as caught:
        replace(CAMERA, **change)
    assert "\n" not in str(caught.value)
