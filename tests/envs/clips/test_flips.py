import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.clips.flips import NO_DIRECTION, flip_labels, flip_targets, random_flip

JESTER = (
    "Swiping Left",
    "Swiping Right",
    "Swiping Down",
    "Swiping Up",
    "Pushing Hand Away",
    "Pulling Hand In",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
    "Sliding Two Fingers Down",
    "Sliding Two Fingers Up",
    "Pushing Two Fingers Away",
    "Pulling Two Fingers In",
    "Rolling Hand Forward",
    "Rolling Hand Backward",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
    "Zooming In With Full Hand",
    "Zooming Out With Full Hand",
    "Zooming In With Two Fingers",
    "Zooming Out With Two Fingers",
    "Thumb Up",
    "Thumb Down",
    "Shaking Hand",
    "Stop Sign",
    "Drumming Fingers",
    "No gesture",
    "Doing other things",
)
"""All 27 classes, in AdaFuse's order."""

PLUG = "Plugging something into something but pulling it right out as you remove your hand"
SOMETHING_V1 = {
    2: "Turning the camera left while filming something",
    4: "Turning the camera right while filming something",
    30: "Pushing something from left to right",
    41: "Pushing something from right to left",
    52: "Pulling something from right to left",
    66: "Pulling something from left to right",
    104: PLUG,
    # These hold such a word inside another, or speak of turning without telling the sense.
    1: "Turning something upside down",
    84: "Laying something on the table on its side, not upright",
    87: "Putting something upright on the table",
    99: "Twisting something",
    107: "Spinning something so it continues spinning",
    112: "Putting something that cannot actually stand upright upright on the table, so it falls on its side",
    171: "Poking something so that it spins around",
}
"""The classes of all 174 with the letters of such a word in their names, by label in AdaFuse's order, and a few more."""

SOMETHING_V2 = {
    86: "Pulling something from left to right",
    87: "Pulling something from right to left",
    93: "Pushing something from left to right",
    94: "Pushing something from right to left",
    166: "Turning the camera left while filming something",
    167: "Turning the camera right while filming something",
    50: PLUG,
    21: "Laying something on the table on its side, not upright",
    117: "Putting something that cannot actually stand upright upright on the table, so it falls on its side",
    119: "Putting something upright on the table",
    164: "Turning something upside down",
    170: "Twisting something",
}
"""The same of V2, by the official labels."""


def pairs(classes: dict[int, str]) -> set[tuple[int, int]]:
    """What a flip exchanges, by the labels given; everything else must stay what it is."""
    labels = list(classes)
    partners = [labels[partner] for partner in flip_labels(list(classes.values()))]
    assert dict(zip(partners, labels)) == dict(zip(labels, partners))
    return {(min(pair), max(pair)) for pair in zip(labels, partners) if pair[0] != pair[1]}


def test_all_pairs_of_something_something_v1():
    assert pairs(SOMETHING_V1) == {(2, 4), (30, 41), (52, 66)}


def test_all_pairs_of_something_something_v2():
    assert pairs(SOMETHING_V2) == {(86, 87), (93, 94), (166, 167)}


def test_all_pairs_of_something_something_v2_by_its_templates():
    """Annotations write the names with brackets: Pulling [something] from left to right."""
    templates = {label: name.replace("something", "[something]") for label, name in SOMETHING_V2.items()}
    assert pairs(templates) == pairs(SOMETHING_V2)


def test_all_pairs_of_jester():
    assert pairs(dict(enumerate(JESTER))) == {(0, 1), (6, 7), (14, 15)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("swipe_left", "swipe_right"),
        ("SwipeLeft", "SwipeRight"),
        ("left2right", "Right 2 Left"),
        ("Turn, left-handed", "turn right handed"),
        ("LEFT", "right"),
        ("rotate clockwise", "rotate counter-clockwise"),
        ("rotate clockwise", "rotate anticlockwise"),
        ("rotateClockwise", "rotateCounterClockwise"),
        ("look leftwards", "look rightwards"),
        ("left hand, clockwise", "right hand: counter clockwise"),
    ],
)
def test_case_and_punctuation_do_not_matter(one, other):
    assert flip_labels([one, other]) == (1, 0)
    assert flip_labels(["wave", other, one]) == (0, 2, 1)


@pytest.mark.parametrize(
    "name",
    ["turn left", "look left and right", "left hand clockwise", "CounterClockwise", "what is left", "7", "", "-"],
)
def test_a_class_whose_flip_is_no_class_cannot_be_flipped(name):
    assert flip_labels([name, "right hand clockwise", "wave"]) == (None, None, 2)


@pytest.mark.parametrize("name", ["eating leftovers", "upright", "a bright light", "copyright", "cleft", "wise clock"])
def test_words_within_words_are_no_direction(name):
    assert flip_labels([name]) == (0,)


def test_names_that_differ_only_in_punctuation_are_no_partners():
    assert flip_labels(["turn left", "turn-left", "turn right", "wave"]) == (None, None, None, 3)


def test_exceptions_are_written_as_they_are_looked_up():
    for name, reason in NO_DIRECTION.items():
        assert flip_labels([name]) == (0,)
        assert name == " ".join(name.lower().split())
        assert reason


words = st.sampled_from(("left", "Right", "clockwise", "Counter-Clockwise", "hand", "upright", "7"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(words, max_size=3).map(" ".join), max_size=8))
def test_partners_always_name_each_other(classes):
    partners = flip_labels(classes)
    assert len(partners) == len(classes)
    assert all(partner is None or partners[partner] == label for label, partner in enumerate(partners))


CLASSES = ("turn left", "turn right", "wave", "clockwise")


def test_the_three_ways_to_flip_in_training():
    assert flip_targets(CLASSES, "off") == (None, None, None, None)
    assert flip_targets(CLASSES, "swap") == (1, 0, 2, None)
    assert flip_targets(CLASSES, "skip") == (None, None, 2, None)
    with pytest.raises(ValueError, match="off, swap or skip, got 'on'"):
        flip_targets(CLASSES, "on")


@pytest.mark.parametrize("mode", ["off", "swap", "skip"])
@pytest.mark.parametrize("label", range(4))
def test_half_of_the_clips_that_may_be_flipped_are_and_change_their_label(mode, label):
    targets = flip_targets(CLASSES, mode)
    clip = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    rng, flips = np.random.default_rng(0), 0
    for _ in range(200):
        seen, shown = random_flip(clip, label, targets, rng)
        flipped = not np.array_equal(seen, clip)
        np.testing.assert_array_equal(seen, clip[:, :, ::-1] if flipped else clip)
        assert shown == (targets[label] if flipped else label)
        flips += flipped
    assert 75 < flips < 125 if targets[label] is not None else flips == 0
    spent = np.random.default_rng(0)
    spent.random(200)
    assert rng.random() == spent.random()  # one number a call, whatever the label
