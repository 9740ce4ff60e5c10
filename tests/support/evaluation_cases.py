"""What the tests of evaluation and of probes share: a policy that varies, and results made by hand."""

from dataclasses import fields

import numpy as np
import torch
from agent_cases import build, env_for

from agent import Evaluation

ORDERS = ("site", "frame")


def varied(backbone, clips, order: str = "site", **kwargs):
    """A policy whose greedy decisions are of all three kinds, and differ between clips unless it is static."""
    model = build("ppo", env_for("ppo", backbone, clips, order=order), **kwargs)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for gate in model.policy.gates.gates:
            last = gate.logits if hasattr(gate, "logits") else gate.layers.out.weight
            last.copy_(torch.randn(last.shape, generator=generator))
    return model


def assert_same(one: Evaluation, other: Evaluation, but: tuple[str, ...] = ()) -> None:
    np.testing.assert_equal(one.decisions.to_arrays(), other.decisions.to_arrays())
    for field in fields(Evaluation):
        if field.name not in (*but, "decisions"):
            for found, expected in zip(
                np.atleast_1d(getattr(one, field.name)), np.atleast_1d(getattr(other, field.name))
            ):
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def hand_made(label, correct) -> Evaluation:
    label, correct = np.array(label), np.array(correct, bool)
    ratio = np.linspace(0.1, 0.4, len(label))
    return Evaluation(correct, ratio, -ratio, label, label, np.zeros((len(label), 2)), None)
