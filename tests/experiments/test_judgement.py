"""One schema of a judgement, whoever wrote it."""

import json

import numpy as np
import pytest

from agent import evaluate, fixed_policy
from agent.evaluation import average_views
from envs.clips import ArrayClips
from envs.spaces import StepLayout
from experiments.analysis.confusion import to_matrix
from experiments.analysis.statistics import CLIPS, EXACT, Interval
from experiments.judgement import PER_CLIP, Judgement, cluster_of, is_paired, judge, judgement_of
from experiments.run import Run

GREEDY = {"accuracy": Interval(90.0, 88.0, 92.0, CLIPS), "cost": Interval(0.5, 0.5, 0.5, EXACT)}
SAMPLED = {"accuracy": Interval(89.0, 87.0, 91.0, CLIPS), "cost": Interval(0.5, 0.4, 0.6, CLIPS)}
DECISIONS = {
    "swap": {"accuracy": 80.0, "follows": 5.0},
    "pairs": {"right / left": 91.0},
    "shares": {"layer1.0": {"use": 0.5, "reuse": 0.25, "skip": 0.25}},
    "adaptivity": {"all": {"variance": 0.3, "between_clips": 1.0, "between_frames": 0.0, "rest": 0.0, "constant": 0.0}},
}
CLASSES = {
    "classes": {"right": Interval(100.0, 2.5, 100.0, CLIPS), "left": Interval(0.0, 0.0, 97.5, CLIPS)},
    "confusion": {"right": {"right": 1}, "left": {"right": 1}},
}
ARRAYS = {"correct": np.array([True, False]), "macs_ratio": np.array([0.4, 0.6])}


def test_what_a_comparison_writes_is_read_again(tmp_path):
    how = {**DECISIONS, **CLASSES, "clips": 2, "sources": 1, "skipped": 1}
    judgement = Judgement({"greedy": GREEDY, "sampled": SAMPLED}, **how, arrays=ARRAYS)
    Run(tmp_path).write_judgement(judgement)
    found = Run(tmp_path).judgement()
    assert found == judgement
    assert all((found.arrays[name] == values).all() for name, values in ARRAYS.items())
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["greedy"] == {"accuracy": [90.0, 88.0, 92.0], "cost": [0.5, 0.5, 0.5]}
    assert set(written) == {"greedy", "sampled", *DECISIONS, *CLASSES, "clips", "sources", "skipped"}


def test_fixed_policies_are_judged_side_by_side(tmp_path):
    both = {name: Judgement({"greedy": GREEDY}, **DECISIONS, arrays=ARRAYS) for name in ("all use", "shift 1/4")}
    Run(tmp_path).write_judgements(both)
    assert Run(tmp_path).judgements() == both
    assert set(np.load(tmp_path / "clips.npz")) == {f"{name}/{part}" for name in both for part in ARRAYS}


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({}, "evaluation-test.json"),
        ({"split": "val", "selection": "sampled"}, "evaluation-val-sampled.json"),
        ({"selection": "top_k", "recalibrated": True}, "evaluation-test-top_k-recalibrated.json"),
        ({"split": "val", "views": 6}, "evaluation-val-6-views.json"),
    ],
)
def test_each_way_to_play_has_a_file_of_its_own(tmp_path, how, name):
    rest = {key: value for key, value in how.items() if key != "selection"}
    judgement = Judgement({how.get("selection", "greedy"): SAMPLED}, **DECISIONS, clips=2, **rest)
    Run(tmp_path).write_evaluation(judgement)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert Run(tmp_path).read_evaluation(**how) == judgement
    written = json.loads((tmp_path / name).read_text())
    assert written["accuracy"] == [89.0, 87.0, 91.0]  # at the top, where 0.1.0 had it


def test_a_judgement_of_0_1_0_is_read_and_its_file_says_how_it_was_played(tmp_path):
    old = {"accuracy": [89.0, 87.0, 91.0], "cost": [0.5, 0.4, 0.6], "swap": None, "clips": 2, "views": 1}
    old |= {"adaptivity": DECISIONS["adaptivity"], "cost_adafuse": [0.4, 0.3, 0.5]}
    (tmp_path / "evaluation-val-sampled.json").write_text(json.dumps(old))
    found = Run(tmp_path).read_evaluation("val", "sampled")
    assert found.figures == {"sampled": {**SAMPLED, "cost_adafuse": Interval(0.4, 0.3, 0.5, CLIPS)}}
    assert (found.split, found.clips, found.swap, found.adaptivity) == ("val", 2, None, DECISIONS["adaptivity"])


def test_only_the_first_greedy_judgement_on_test_clips_is_the_first(tmp_path):
    run, test = Run(tmp_path), Judgement({"greedy": GREEDY})
    assert run.is_first_test(test)
    for other in ({"split": "val"}, {"views": 3}, {"recalibrated": True}):
        assert not run.is_first_test(Judgement({"greedy": GREEDY}, **other))
    assert not run.is_first_test(Judgement({"sampled": SAMPLED}))
    run.write_judgement(test)  # a comparison's
    assert not run.is_first_test(test)


def test_a_model_is_judged_under_every_selection_and_clip_by_clip(backbone, clips):
    policy = fixed_policy("all use", StepLayout(backbone.sites, clips.num_frames, "site"))
    judgement = judge(policy, {"greedy": backbone}, clips)
    assert judgement.selection == "greedy"
    assert judgement.figures["greedy"]["accuracy"].mean == pytest.approx(100 * judgement.arrays["correct"].mean())
    assert judgement.figures["greedy"]["cost"].mean == pytest.approx(1.0)
    assert {share["use"] for share in judgement.shares.values()} == {1.0}
    assert set(judgement.arrays) <= set(PER_CLIP)


def test_views_of_a_clip_are_judged_as_one(backbone, clips):
    layout = StepLayout(backbone.sites, clips.num_frames, "site")
    played = evaluate(fixed_policy("all use", layout), backbone, clips)
    judgement = judgement_of({"greedy": played}, None, clips, views=2)
    assert (judgement.views, judgement.clips) == (2, len(clips) // 2)
    assert (judgement.arrays["correct"] == average_views(played, 2).correct).all()
    assert cluster_of(clips) in (1, 2)


def test_every_class_has_its_accuracy_and_its_row(backbone, clips):
    policy = fixed_policy("all use", StepLayout(backbone.sites, clips.num_frames, "site"))
    few = clips.subset(np.flatnonzero(clips.labels != 1)[1:])  # of unequal numbers, and none of class 1
    judgement = judge(policy, {"greedy": backbone}, few)
    assert list(judgement.confusion) == list(clips.classes)
    matrix = to_matrix(judgement.confusion)
    np.testing.assert_array_equal(matrix.sum(1), np.bincount(few.labels, minlength=len(clips.classes)))
    right = {name: 100 * matrix[k, k] / matrix[k].sum() for k, name in enumerate(clips.classes) if matrix[k].any()}
    assert {name: found.mean for name, found in judgement.classes.items()} == pytest.approx(right)
    assert judgement.figures["greedy"]["class_accuracy"].mean == pytest.approx(np.mean(list(right.values())))


def test_clips_of_one_source_are_one_piece_of_evidence():
    rng = np.random.default_rng(0)
    frames, labels = rng.integers(0, 256, (12, 4, 16, 16, 3), np.uint8), np.arange(12) % 8
    groups = np.array(list("aaabbbcccddd"))
    apart, together = (ArrayClips(frames, labels, "abcdefgh", groups=given) for given in (None, groups))
    assert cluster_of(apart) == 1
    np.testing.assert_array_equal(cluster_of(together), np.arange(12) // 3)
    assert cluster_of(together, views=3) == 1  # of a clip each
    assert cluster_of(ArrayClips(frames, labels, "abcdefgh", groups=np.arange(12))) == 1


def test_a_clip_its_reversal_and_their_source_are_drawn_together():
    frames, pairs = np.zeros((8, 4, 16, 16, 3), np.uint8), np.arange(8) ^ 1
    clips = ArrayClips(frames, np.zeros(8, int), "a", reversals=pairs)
    assert is_paired(clips)
    assert cluster_of(clips) == 2
    clips = ArrayClips(frames, np.zeros(8, int), "a", reversals=pairs, groups=list("aabbccaa"))
    np.testing.assert_array_equal(cluster_of(clips), [0, 0, 1, 1, 2, 2, 0, 0])
