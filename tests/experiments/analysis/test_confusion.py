import numpy as np
import pytest

from experiments.analysis.confusion import MANY, WORST, count, describe, is_balanced, to_matrix, together
from experiments.analysis.statistics import CLIPS, Interval

CLASSES = ("run", "sit down", "walk")
LABELS, ANSWERS = np.array([0, 0, 0, 2, 2]), np.array([0, 2, 2, 2, 0])


def test_every_class_is_there_in_its_order():
    found = count(LABELS, ANSWERS, CLASSES)
    assert found == {"run": {"run": 1, "walk": 2}, "sit down": {}, "walk": {"run": 1, "walk": 1}}
    assert list(found) == list(CLASSES)
    np.testing.assert_array_equal(to_matrix(found), [[1, 0, 2], [0, 0, 0], [1, 0, 1]])


def test_rows_sum_to_clips_and_the_diagonal_to_right_answers():
    rng = np.random.default_rng(0)
    labels, answers = rng.integers(0, 7, (2, 300))
    matrix = to_matrix(count(labels, answers, [f"c{k}" for k in range(7)]))
    np.testing.assert_array_equal(matrix.sum(1), np.bincount(labels))
    assert matrix.trace() == (labels == answers).sum()


def test_runs_are_added():
    one, other = count(LABELS, ANSWERS, CLASSES), count(ANSWERS, LABELS, CLASSES)
    np.testing.assert_array_equal(to_matrix(together([one, other])), to_matrix(one) + to_matrix(other))


def test_balance_is_of_clips():
    assert not is_balanced(count(LABELS, ANSWERS, CLASSES))
    assert is_balanced(count(np.array([0, 1, 2]), np.array([0, 0, 0]), CLASSES))


def accuracies(*means):
    return {name: Interval(mean, mean / 2, 100.0, CLIPS) for name, mean in means}


def test_few_classes_are_shown_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = describe(count(LABELS, ANSWERS, CLASSES), accuracies(("run", 100 / 3), ("walk", 50.0)))
    assert [line.split() for line in lines[2:] if line and not line.startswith("-")] == [
        ["class", "clips", "accuracy", "%", "1", "2", "3"],
        ["1", "run", "3", "33.3", "[16.7,", "100.0]ᶜ", "1", "0", "2"],
        ["2", "sit", "down", "0", "-", "0", "0", "0"],
        ["3", "walk", "2", "50.0", "[25.0,", "100.0]ᶜ", "1", "0", "1"],
    ]


@pytest.mark.parametrize("classes", [MANY, MANY + 1])
def test_of_many_classes_the_worst_are_shown(classes):
    names = [f"c{k}" for k in range(classes)]
    labels = np.repeat(np.arange(classes), 4)
    answers = labels.copy()
    answers[4:7], answers[8:10], answers[12] = (0, 0, 2), (0, 1), 0
    right = {name: 100.0 * (answers == labels)[labels == k].mean() for k, name in enumerate(names)}
    lines = describe(count(labels, answers, names), accuracies(*right.items()))
    if classes == MANY:
        assert sum(line.split()[1:2] in [[name] for name in names] for line in lines) >= MANY
        return
    assert len(lines) == 1 + WORST
    assert lines[0] == "the worst of 21 classes:"
    assert lines[1] == "  c1: 25.0 [12.5, 100.0]ᶜ % of 4 clips, taken for c0 (2), c2 (1)"
    assert [line.split(":")[0] for line in lines[2:]] == ["  c2", "  c3", "  c0", "  c4"]
