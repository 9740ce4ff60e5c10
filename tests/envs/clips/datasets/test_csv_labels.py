from pathlib import Path

import pytest

from envs.clips import ClipError
from envs.clips.datasets.csv_labels import order_classes

FILE = Path("x-labels.csv")


def test_official_classes_keep_their_order_unless_a_class_file_has_another(tmp_path):
    assert order_classes(tmp_path, FILE, ["b", "a"]) == ["b", "a"]
    (tmp_path / "category.txt").write_text("a\nb\n")
    assert order_classes(tmp_path, FILE, ["b", "a"]) == ["a", "b"]
    with pytest.raises(ClipError, match=r"the 1 classes of x-labels.csv, but they differ, for instance in 'a'"):
        order_classes(tmp_path, FILE, ["b"])
