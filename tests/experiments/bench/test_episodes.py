from dataclasses import replace

import pytest

from agent.callbacks.episode_log import EpisodeLog
from envs.clips import motions
from envs.fusion_env import default_backbone
from experiments.bench.episodes import against_training
from experiments.commands.bench import PARTS
from experiments.config import Train


@pytest.fixture
def measured(monkeypatch):
    """A ratio on few clips, and how often episodes were shown with animations and without."""
    calls, show = [], EpisodeLog.show

    def counted(self, *, animate):
        calls.append(animate)
        show(self, animate=animate)

    monkeypatch.setattr(EpisodeLog, "show", counted)
    source = motions.sample(8, seed=0)
    few = replace(Train(), rollouts=96, evaluate_every=32, num_clips=4, rollouts_per_clip=4)
    return against_training(default_backbone(None, source), source, source, few, 2), calls


def test_it_measures_a_share_of_training_time(measured):
    found, calls = measured
    assert "episodes" in PARTS
    assert 0 < found.low <= found.high
    assert found.wanted == "at most 0.03"
    assert not found.met  # of so short an interval, showing episodes takes far more
    assert calls.count(True) == 4  # each of two pairs, and of the two before them
    assert calls.count(False) == 3 + 4
