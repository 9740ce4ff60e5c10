from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_cases import hand_made

from agent.evaluation import Evaluation
from experiments.analysis.statistics import Interval
from experiments.config import Train
from experiments.probing.blind import against_blind, peers


def policy(accuracy: float, cost: float, clips: int = 200, seed: int = 0):
    """A policy of about this accuracy (a share) and mean cost, on the same clips whatever it is."""
    rng = np.random.default_rng(seed)
    correct = rng.permutation(np.arange(clips) < round(accuracy * clips))
    return replace(hand_made([0] * clips, correct), macs_ratio=cost * rng.uniform(0.9, 1.1, clips))


def test_an_agent_is_set_against_the_mixture_of_its_own_cost():
    """Half way between two blind policies stands a coin between them, above a third one."""
    blind = [policy(0.5, 0.2), policy(0.9, 0.4), policy(0.6, 0.3)]
    agent = policy(0.8, sum(one.cost for one in blind[:2]) / 2, seed=1)
    agent.macs_ratio += (blind[0].cost + blind[1].cost) / 2 - agent.cost
    found = against_blind(agent, blind, cluster=2)
    assert (found["policies"], found["reached"]) == (3, "cost")
    assert found["accuracy"].mean == pytest.approx(70)
    assert found["lead"].mean == pytest.approx(10)
    assert found["lead"].low < 10 < found["lead"].high


def test_a_blind_policy_has_no_lead_over_itself():
    blind = [policy(0.5, 0.2), policy(0.9, 0.4, seed=1)]
    for one in blind:
        assert against_blind(one, blind, cluster=1)["lead"].mean == pytest.approx(0, abs=1e-9)


def test_beyond_the_dearest_blind_policy_there_is_a_bound_and_no_lead():
    found = against_blind(policy(0.95, 0.5), [policy(0.9, 0.3), policy(0.8, 0.2)], cluster=1)
    assert (found["reached"], found["lead"]) == ("bound", None)
    assert found["accuracy"].mean == pytest.approx(90)
    assert found["end"] == pytest.approx(0.3, rel=0.05)


def test_before_it_the_most_accurate_policy_is_the_best_for_what_it_costs():
    found = against_blind(policy(0.95, 0.5), [policy(0.9, 0.3), policy(0.8, 0.7)], cluster=1)
    assert found["reached"] == "cost"
    assert found["lead"].mean == pytest.approx(5)


def test_where_no_blind_policy_is_as_cheap_there_is_nothing():
    found = against_blind(policy(0.9, 0.1), [policy(0.5, 0.2), policy(0.9, 0.4)], cluster=1)
    assert (found["reached"], found["accuracy"], found["lead"]) == ("none", None, None)


def test_agent_and_hull_are_drawn_together():
    """An agent that is right wherever its rival is leads by what it has besides: surer than if they were right apart."""
    rival = policy(0.5, 0.3)
    agent = replace(rival, correct=rival.correct | (np.arange(200) < 100))
    cheaper, dearer = (
        replace(rival, correct=np.zeros(200, bool), macs_ratio=rival.macs_ratio + c) for c in (-0.1, 0.1)
    )

    def against(policy: Evaluation) -> Interval:
        return against_blind(agent, [cheaper, policy, dearer], cluster=1)["lead"]

    lead, alone = against(rival), against(replace(rival, correct=rival.correct[::-1].copy()))
    assert lead.high - lead.low < alone.high - alone.low


def test_rivals_are_trained_from_the_same_and_as_long():
    assert peers(Train(method="static", cost_weight=4.0)) == peers(Train(method="ppo", cost_weight=1.0))
    others = [{"seed": 1}, {"group_size": 8}, {"regime": "joint"}, {"reuse": False}, {"backbone": Path("other.pt")},
              {"start": Path("run")}, {"rollouts": 5}]  # fmt: skip
    for other in others:
        assert peers(Train(**other)) != peers(Train())
