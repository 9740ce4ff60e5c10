from dataclasses import fields

from agent import GateOptions
from experiments.config import Describe


def test_gates_are_described_as_an_agent_has_them_where_nothing_is_said():
    options, gates = Describe("resnet50"), GateOptions()
    assert (options.hidden, options.hidden_quota) == (gates.hidden, gates.quota)
    assert (options.gate_norm, options.shared_gates) == (gates.norm, gates.shared)
    assert "seed" not in {option.name for option in fields(Describe)}  # nothing is drawn
