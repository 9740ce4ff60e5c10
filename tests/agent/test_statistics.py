import copy

import pytest
import torch
from agent_cases import build, noise_clips, tiny_backbone

from agent import evaluate, fixed_policy
from agent.statistics import fit
from backbone import fold_batchnorm, one_hot, recalibrate
from backbone.weights.recalibrate import read_statistics
from envs.clips.sampler import ClipSampler
from envs.spaces import StepLayout

ORDERS = ("site", "frame")


def policy(name: str, order: str = "site"):
    return fixed_policy(name, StepLayout(tiny_backbone().sites, 2, order))


def close(one, other, **tolerance) -> bool:
    return all(torch.allclose(one[name], other[name], **tolerance) for name in one)


def test_they_are_those_of_the_policys_own_features():
    """Against a plain walk of the same clips with the same gates."""
    model, backbone, clips = build("gumbel"), tiny_backbone(), noise_clips(40)
    gates = model.policy.gates

    def greedy(observation):
        return one_hot(gates(observation.site, observation.v, observation.v_previous).argmax(-1))

    chosen, _ = ClipSampler(len(clips), seed=0).take(40)
    frames = backbone.preprocess(torch.from_numpy(clips.draw(chosen)[0]))
    expected = read_statistics(recalibrate(copy.deepcopy(backbone), [frames], greedy))
    assert close(read_statistics(fit(model, backbone, clips)), expected, atol=1e-6)


def test_each_policy_has_its_own_and_the_given_backbone_keeps_its():
    backbone, clips = tiny_backbone(), noise_clips(40)
    before = read_statistics(backbone)
    found = [read_statistics(fit(policy(name), backbone, clips)) for name in ("all use", "shift 1/4, skip 1/2")]
    assert not close(*found, atol=1e-2)
    assert close(read_statistics(backbone), before, atol=0)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("selection", ["greedy", "sampled"])
def test_they_are_the_same_every_time_and_draw_nothing_that_training_would(order, selection):
    backbone, clips, model = tiny_backbone(), noise_clips(16), policy("random thirds", order)
    state = torch.get_rng_state()
    one, other = (read_statistics(fit(model, backbone, clips, selection=selection, order=order)) for _ in range(2))
    assert close(one, other, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_more_clips_are_played_than_there_are_or_are_wanted():
    backbone, clips = tiny_backbone(), noise_clips(12)
    seen = []
    real = clips.draw
    clips.draw = lambda indices, *args: seen.append(list(indices)) or real(indices, *args)
    fit(policy("all use"), backbone, clips)
    fit(policy("all use"), backbone, clips, count=5)
    assert [sorted(played) for played in seen[:1]] == [list(range(12))]
    assert len(seen[1]) == 5


def test_a_backbone_without_norms_is_copied_as_it_is():
    folded = fold_batchnorm(tiny_backbone())
    found = fit(policy("all use"), folded, noise_clips(4))
    assert found is not folded
    assert evaluate(policy("all use"), found, noise_clips(4)).logits.shape == (4, 2)
