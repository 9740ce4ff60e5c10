"""dataset.json: what it may say, and what is refused with the file's name."""

import json

import pytest
from layout_cases import write

from envs.clips import ClipError
from envs.clips.datasets import find_clips
from envs.clips.datasets.sidecar import Sidecar, read_sidecar


def test_a_folder_without_one_and_one_that_says_nothing(tmp_path):
    assert read_sidecar(tmp_path) == Sidecar()
    assert (
        read_sidecar(write(tmp_path, {"dataset.json": {"seed": 3, "reversed_class": None, "paired": None}}))
        == Sidecar()
    )


def test_what_it_says(tmp_path):
    write(tmp_path, {"dataset.json": {"classes": ["a", "b"], "reversed_class": [1, 0], "paired": ["val"]}})
    assert read_sidecar(tmp_path) == Sidecar(("a", "b"), (1, 0), ("val",))


NAN = float("nan")


@pytest.mark.parametrize(
    "value", [5, NAN, "ab", {}, [], None, [1, 2], [None, None], [["a"], ["b"]], ["a", "a"], ["a", ""], ["a" * 5000]]
)
def test_classes_that_are_no_names_are_refused(tmp_path, value):
    refuses(tmp_path, {"classes": value}, "(list as classes|names)")


@pytest.mark.parametrize("value", [5, "01", [0.0, 1.0], [True, False], [[1], [0]], {"0": 1}])
def test_reversals_that_are_no_labels_are_refused(tmp_path, value):
    refuses(tmp_path, {"classes": ["a", "b"], "reversed_class": value}, "reversed_class")


@pytest.mark.parametrize("value", [5, "val", [3], [["val"]], {}])
def test_pairs_that_are_no_splits_are_refused(tmp_path, value):
    refuses(tmp_path, {"classes": ["a", "b"], "paired": value}, "paired")


@pytest.mark.parametrize("text", ["", "[]", "{", "9" * 5000, '{"classes": ' + "[" * 100_000, "\0"])
def test_what_is_no_object_is_refused(tmp_path, text):
    refuses(tmp_path, text, "expected (a )?JSON")


def refuses(root, content, said):
    """In every split, with the file's name, in a short line."""
    write(
        root,
        {
            "train.txt": "a.mp4 0\nb.mp4 1\n",
            "dataset.json": content if isinstance(content, str) else json.dumps(content),
        },
    )
    with pytest.raises(ClipError, match=rf"dataset\.json: expected .*{said}|dataset\.json: {said}") as caught:
        find_clips(root, "train")
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
