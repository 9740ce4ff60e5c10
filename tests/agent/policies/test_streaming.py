"""An agent in a stream decides as it does when it is judged."""

import numpy as np
import pytest
import torch
from fusion_cases import random_frames, tiny_backbone

from agent import GateOptions
from agent.policies.fixed import fixed_policy
from agent.policies.imported import ImportedPolicy
from agent.policies.streaming import stream_policy
from backbone import Decision, one_hot
from backbone.sparse import Stream
from envs.spaces import StepLayout


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_gates_decide_greedily(norm: str) -> None:
    backbone, frames = tiny_backbone("both"), random_frames(1)
    layout = StepLayout(backbone.sites, frames.shape[1], "frame")
    torch.manual_seed(0)
    model = ImportedPolicy(layout, GateOptions(norm=norm))
    for parameter in model.policy.gates.parameters():  # so that decisions differ
        torch.nn.init.normal_(parameter)
    stream, state, seen = Stream(backbone, stream_policy(model)), None, set()
    with torch.no_grad():
        for t in range(frames.shape[1]):
            stream.step(frames[0, t])
            state = backbone.begin(frames[:, t : t + 1], state)
            for site, mine in zip(backbone.sites, stream.decisions, strict=True):
                observation = backbone.observe(state)
                logits = model.policy.gates(site.index, observation.v, observation.v_previous)
                assert mine.tolist() == logits.argmax(-1)[0, 0].tolist()
                seen |= set(mine.tolist())
                state = backbone.advance(state, one_hot(logits.argmax(-1)), observation=observation)
    assert len(seen) > 1


def test_a_fixed_policy_looks_at_nothing() -> None:
    backbone = tiny_backbone()
    policy = stream_policy(fixed_policy("shift 1/4", StepLayout(backbone.sites, 4, "frame")))
    stream = Stream(backbone, policy)
    stream.step(random_frames(1)[0, 0])
    assert not policy.looks
    for site, chosen in zip(backbone.sites, stream.decisions, strict=True):
        assert np.count_nonzero(chosen == Decision.REUSE) == round(site.decisions / 4)


def test_another_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an agent with gates or a fixed policy to stream, got Linear"):
        stream_policy(torch.nn.Linear(1, 1))
