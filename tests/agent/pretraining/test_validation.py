import copy

import fusion_cases
import numpy as np
import pytest
import torch
from agent_cases import noise_clips, tiny_backbone

from agent.pretraining.validation import MIX, POLICIES, accuracies, chance, in_words, settle_statistics
from backbone.weights.recalibrate import read_statistics
from envs.clips import ArrayClips


def test_accuracies_are_told_for_each_policy_and_the_mix_and_leave_all_as_it_was():
    backbone = tiny_backbone(group_size=1)
    before, state = copy.deepcopy(backbone.state_dict()), torch.get_rng_state()
    clips = noise_clips(32)
    found = accuracies(backbone, clips, clips)
    assert list(found) == [*POLICIES, MIX]
    assert all(0 <= value <= 100 for value in found.values())
    assert found == accuracies(backbone, clips, clips)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_settled_statistics_are_others_and_the_same_each_time():
    backbone, clips = tiny_backbone(group_size=1), noise_clips(64)
    before = read_statistics(backbone)
    settled, again = (read_statistics(settle_statistics(backbone, clips)) for _ in range(2))
    assert all(torch.equal(settled[name], again[name]) for name in settled)
    assert any(not torch.allclose(settled[name], before[name]) for name in settled)


def test_a_cnn_without_norms_is_judged_as_it_is():
    backbone = fusion_cases.tiny_backbone("plain")
    size, classes = backbone.cnn.size, [str(number) for number in range(backbone.num_classes)]
    clips = ArrayClips(np.zeros((8, 2, size, size, 3), np.uint8), np.arange(8) % len(classes), classes)
    assert set(accuracies(backbone, clips, clips)) == {*POLICIES, MIX}


def test_chance_is_the_commonest_class_and_its_limit_holds_in_39_of_40_samples():
    assert chance(np.array([0, 0, 0, 1]))[0] == 75.0
    rng = np.random.default_rng(0)
    limit = chance(np.arange(400) % 8)[1]
    below = np.mean(100 * rng.binomial(400, 1 / 8, 4000) / 400 <= limit)
    assert below == pytest.approx(39 / 40, abs=0.012)


LABELS = np.arange(400) % 8


@pytest.mark.parametrize(
    ("shift", "mix", "said"),
    [
        (90.0, 80.0, "Only time tells these classes"),
        (12.0, 12.0, "nothing was learned that an agent could use: train on more clips"),
        (90.0, 12.0, "an agent has little room to skip"),
    ],
)
def test_what_stands_at_chance_is_told_in_words(shift, mix, said):
    text = in_words({"all use": 12.5, "shift 1/4": shift, "mix": mix}, LABELS)
    assert said in text
    assert "(chance: 12.5%)" in text


def test_what_is_above_chance_is_told_without_a_warning():
    text = in_words({"all use": 60.0, "shift 1/4": 90.0, "mix": 80.0}, LABELS)
    assert "Warning" not in text
    assert "Only time" not in text
