import hashlib
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.clips import ClipError
from envs.clips.datasets.division import Division, divide

SPLITS = ("train", "val", "test")


def divided(groups, labels, **options):
    paths = [f"{label}/{number}.mp4" for number, label in enumerate(labels)]
    return divide(paths, groups, labels, Division(**options))


def sources_of(sizes):
    """Sizes of the groups of each class -> (N,) groups and labels; no group has clips of two classes."""
    groups = [
        f"{label}-{number}" for label, own in enumerate(sizes) for number, size in enumerate(own) for _ in range(size)
    ]
    return groups, [int(group.split("-")[0]) for group in groups]


def parts_of(groups, splits):
    found = defaultdict(set)
    for group, split in zip(groups, splits):
        found[split].add(group)
    return found


@st.composite
def clips(draw, most=40):
    """Groups of any size, any class in any of them."""
    names = [f"s{number}" for number in range(draw(st.integers(3, 12)))]
    groups = draw(st.lists(st.sampled_from(names), min_size=1, max_size=most)) + names
    return groups, [draw(st.integers(0, 2)) for _ in groups]


@given(clips(), st.sampled_from([None, 3, 4, 6]))
@settings(max_examples=150, deadline=None)
def test_no_group_stands_on_two_sides(made, folds):
    groups, labels = made
    try:
        every = [divided(groups, labels, folds=folds, fold=folds and fold) for fold in range(1, (folds or 1) + 1)]
    except ClipError:
        return  # too few groups of a class, or too few at all
    for splits in every:
        parts = parts_of(groups, splits)
        assert set(parts) == set(SPLITS)
        assert sum(map(len, parts.values())) == len(set(groups))
        assert set(labels) == {label for label, split in zip(labels, splits) if split == "train"} or folds
    if folds:  # which cover all clips, each once
        assert all(column.count("test") == column.count("val") == 1 for column in zip(*every))


@given(st.lists(st.lists(st.integers(1, 30), min_size=3, max_size=12), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_class_of_three_groups_is_in_every_split_however_large_they_are(sizes):
    groups, labels = sources_of(sizes)
    splits = divided(groups, labels)
    for split in SPLITS:
        assert {label for label, one in zip(labels, splits) if one == split} == set(labels)


@given(st.lists(st.integers(1, 3), min_size=40, max_size=80))
@settings(max_examples=50, deadline=None)
def test_small_groups_are_divided_in_tenths(sizes):
    groups, labels = sources_of([sizes])
    counts = Counter(divided(groups, labels))
    assert abs(counts["test"] - len(labels) / 10) <= 2
    assert abs(counts["val"] - len(labels) / 10) <= 2


@given(st.lists(st.integers(1, 3), min_size=40, max_size=80), st.sampled_from([3, 5, 10]))
@settings(max_examples=50, deadline=None)
def test_small_groups_are_divided_into_equal_folds(sizes, folds):
    groups, labels = sources_of([sizes])
    counts = [divided(groups, labels, folds=folds, fold=fold).count("test") for fold in range(1, folds + 1)]
    assert max(counts) - min(counts) <= 4


def test_folds_of_few_equal_groups_are_as_equal_as_can_be():
    groups, labels = sources_of([[10] * 7])
    counts = [divided(groups, labels, folds=5, fold=fold).count("test") for fold in range(1, 6)]
    assert sorted(counts) == [10, 10, 10, 20, 20]


@given(st.lists(st.integers(1, 20), min_size=20, max_size=60), st.integers(0, 19))
@settings(max_examples=100, deadline=None)
def test_with_a_clip_more_few_groups_change_sides(sizes, grown):
    before, after = ([(group, split) for group, split in zip(groups, divided(groups, labels))] for groups, labels in (
        sources_of([sizes]), sources_of([[size + (number == grown) for number, size in enumerate(sizes)]])
    ))  # fmt: skip
    assert len(set(before) - set(after)) <= 8


def test_mostly_none_does():
    sizes = [(7 * number) % 11 + 1 for number in range(50)]
    groups, labels = sources_of([sizes])
    before, moved = dict(zip(groups, divided(groups, labels))), 0
    for name in before:
        moved += any(before[group] != split for group, split in zip(groups, divided([*groups, name], [*labels, 0])))
    assert moved < len(before) / 3


def test_the_order_of_the_clips_says_nothing():
    groups, labels = sources_of([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8]])
    forth = dict(zip(groups, divided(groups, labels)))
    assert forth == dict(zip(groups[::-1], divided(groups[::-1], labels[::-1])))


@given(st.lists(st.integers(3, 60), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_files_that_stand_for_themselves_are_divided_as_before_there_were_groups(sizes):
    paths = [f"{label}/{number}.mp4" for label, size in enumerate(sizes) for number in range(size)]
    labels = [int(path.split("/")[0]) for path in paths]
    splits = dict(zip(paths, divide(paths, paths, labels, Division())))
    for label, size in enumerate(sizes):
        ordered = sorted(range(size), key=lambda number: hashlib.sha256(f"{number}.mp4".encode()).digest())
        held_out = max(1, round(size / 10))
        expected = ["test"] * held_out + ["val"] * held_out + ["train"] * (size - 2 * held_out)
        assert [splits[f"{label}/{number}.mp4"] for number in ordered] == expected


@pytest.mark.parametrize(("groups", "in_test", "in_val"), [(1, False, False), (2, True, False), (3, True, True)])
def test_a_class_of_few_groups_is_trained_on_first(groups, in_test, in_val):
    names, labels = sources_of([[2] * groups, [2] * 9])
    splits = divided(names, labels)
    found = {split for split, label in zip(splits, labels) if label == 0}
    assert found == {split for split, there in zip(SPLITS, (True, in_val, in_test)) if there}


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ([[9]], {}, "expected clips of at least 3 sources to divide into 3 parts, got 1; add videos of others"),
        ([[9], [9]], {}, "at least 3 sources to divide into 3 parts, got 2"),
        ([[9, 9, 9]], {"folds": 4, "fold": 1}, "at least 4 sources to divide into 4 parts, got 3; ask for fewer folds"),
        ([[3]] * 5, {}, "of these 5 too many are the only one of a class"),
        ([[3]] * 5, {"folds": 5, "fold": 2}, "of these 5 too many are the only one of a class"),
    ],
)
def test_sources_that_are_too_few(sizes, options, message):
    with pytest.raises(ClipError, match=message):
        divided(*sources_of(sizes), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 2}, "expected the number of folds beside fold 2, got none"),
        ({"folds": 5}, "expected a fold from 1 to 5, got none"),
        ({"folds": 5, "fold": 0}, "expected a fold from 1 to 5, got 0"),
        ({"folds": 5, "fold": 6}, "expected a fold from 1 to 5, got 6"),
        ({"folds": 2, "fold": 1}, "expected at least 3 folds"),
    ],
)
def test_folds_that_there_are_not(options, message):
    with pytest.raises(ClipError, match=message):
        Division(**options)
