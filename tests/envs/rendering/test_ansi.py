"""Steps as plain text."""

import numpy as np
import pytest
from fusion_cases import T, tiny_backbone

from backbone import Decision, Site
from envs.decisions import Decisions
from envs.episode import EpisodeRecord
from envs.rendering.ansi import COLUMNS, describe_step

SITES = tiny_backbone(group_size=2).sites
FRAMES = np.zeros((T, 8, 8, 3), np.uint8)
U, R, S = Decision.USE, Decision.REUSE, Decision.SKIP


def record_of(*decisions, sites=SITES, **kwargs) -> EpisodeRecord:
    """:param decisions: (site, first frame, (F, D) integers) of each step that matters"""
    chosen = Decisions.undecided(sites, 1, len(FRAMES))
    for site, frame, of_step in decisions:
        chosen.write(site, frame, of_step[None])
    return EpisodeRecord(FRAMES, ("left", "right"), chosen, name="07", **kwargs)


def text_of(*decisions, step_frames: int = 1, steps: int = 1, macs_ratio: float = 0.5, **kwargs) -> str:
    return describe_step(record_of(*decisions, **kwargs), steps=steps, step_frames=step_frames, macs_ratio=macs_ratio)


def test_a_step_of_one_frame():
    """The eighth of three sites a frame: the second site at the third frame."""
    text = text_of((0, 2, np.array([[U, U]])), (1, 2, np.array([[U, R, S]])), steps=8, macs_ratio=0.12345)
    assert text.splitlines() == [
        f"clip 07, step 8: {SITES[1].name} (site 2 of 3), frame 3 of 4",
        "  frame 3: use   1, reuse   1, skip   1  UR.",
        "cost so far: 0.123 of the clip's dense MACs",
    ]


def test_a_step_of_a_whole_clip_has_a_line_for_each_frame():
    lines = text_of((0, 0, np.array([[U, U], [R, S], [S, S], [R, R]])), step_frames=T).splitlines()
    assert lines[0].endswith("(site 1 of 3), frames 1 to 4 of 4")
    assert [line.split()[-1] for line in lines[1:-1]] == ["UU", "R.", "..", "RR"]


def test_before_the_first_step():
    assert text_of(steps=0, macs_ratio=0).startswith("clip 07, step 0: nothing decided yet\ncost so far: 0.000")


@pytest.mark.parametrize(("correct", "words"), [(True, "left (right)"), (False, "left (wrong, it is right)")])
def test_the_last_step_tells_how_it_ended(correct, words):
    outcome = {"label": 0 if correct else 1, "prediction": 0, "correct": correct, "macs_ratio": 0.5, "reward": -0.25}
    text = text_of((2, T - 1, np.array([[U, U, U]])), steps=3 * T, outcome=outcome)
    assert text.splitlines()[-1] == f"predicted: {words}; return -0.250"


@pytest.mark.parametrize("width", [COLUMNS, COLUMNS + 1])
def test_what_does_not_fit_a_line_is_counted_alone(width):
    site = Site(index=0, name="wide", in_channels=3, channels=width, decisions=width, group_size=1)
    line = text_of((0, 0, np.full((1, width), S)), sites=(site,)).splitlines()[1]
    assert f"skip {width:3d}" in line
    assert line.endswith("." * COLUMNS) == (width == COLUMNS)
