"""Damaged checkpoints, configurations and lists, read in a process that must end well: each taken, or refused in a sentence."""

import random

from campaign_cases import KINDS, TIMES, mutated, run_child


def test_damage_is_taken_or_refused_in_a_sentence(tmp_path):
    outcome = run_child(list(KINDS), 12 * TIMES, tmp_path)
    assert not outcome.faults
    assert outcome.taken + outcome.refused == 12 * TIMES * len(KINDS)


def test_damage_is_the_same_of_the_same_seed_and_is_damage():
    content = bytes(range(256)) * 20
    assert mutated(content, random.Random(3)) == mutated(content, random.Random(3))
    assert sum(mutated(content, random.Random(seed)) != content for seed in range(50)) > 45
