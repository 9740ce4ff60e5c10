import pytest
import torch
from agent_cases import ALGORITHMS, METHODS, build, env_for, tiny_backbone
from torch.utils.flop_counter import FlopCounterMode

from agent import GateNetwork, gate_macs
from backbone import Decision


def features(site, rows: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(site.index)
    return torch.rand(2, rows, 2, site.in_channels, generator=generator).unbind()


def gates(static: bool = False, group_size: int = 8) -> tuple[GateNetwork, tuple]:
    sites = tiny_backbone(group_size=group_size).sites
    torch.manual_seed(0)
    return GateNetwork(sites, static=static), sites


@pytest.mark.parametrize("group_size", [1, 5, 64])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("hidden", [4, 32])
def test_macs_are_half_the_flops_that_torch_counts_for_a_frame(group_size, static, hidden):
    sites = tiny_backbone(group_size=group_size).sites
    network = GateNetwork(sites, hidden=hidden, static=static)
    for site in sites:
        with FlopCounterMode(display=False) as counter:
            network(site.index, torch.rand(1, site.in_channels), torch.rand(1, site.in_channels))
        assert network.macs[site.index] == counter.get_total_flops() / 2
        assert (network.macs[site.index] == 0) == static


def test_macs_are_told_without_building_and_without_touching_the_generator():
    network, sites = gates()
    before = torch.get_rng_state()
    assert gate_macs(sites) == network.macs
    torch.testing.assert_close(torch.get_rng_state(), before)


@pytest.mark.parametrize("static", [False, True])
def test_a_fresh_gate_is_biased_to_use(static):
    network, sites = gates(static, group_size=1)
    for site in sites:
        mean = network(site.index, *features(site, 50)).softmax(-1).mean((0, 1, 2))
        assert mean[Decision.USE] > 0.5
        assert abs(mean[Decision.REUSE] - mean[Decision.SKIP]) < 0.1


def test_the_use_bias_is_the_lead_of_use_in_logits():
    sites = tiny_backbone().sites
    for bias in (0.0, 2.5):
        network = GateNetwork(sites, use_bias=bias, static=True)
        logits = network(0, *features(sites[0]))
        assert (logits[..., Decision.USE] == bias).all()
        assert (logits[..., Decision.REUSE :] == 0).all()


@pytest.mark.parametrize("static", [False, True])
def test_only_a_static_gate_ignores_its_input(static):
    network, sites = gates(static)
    for site in sites:
        v, v_previous = features(site)
        base = network(site.index, v, v_previous)
        for changed in (network(site.index, v.flip(0), v_previous), network(site.index, v, v_previous.flip(0))):
            assert torch.equal(changed, base) == static


def test_each_frame_is_decided_on_its_own():
    network, sites = gates()
    v, v_previous = features(sites[1])
    apart = torch.stack([network(1, v[:, t], v_previous[:, t]) for t in range(2)], 1)
    torch.testing.assert_close(network(1, v, v_previous), apart)


def gate_weights(method: str, **kwargs) -> dict[str, torch.Tensor]:
    return build(method, env_for(method), **kwargs).policy.gates.state_dict()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_starts_from_the_same_weights(method):
    reference = gate_weights(ALGORITHMS[0], seed=3)
    torch.testing.assert_close(gate_weights(method, seed=3), reference, rtol=0, atol=0)


@pytest.mark.parametrize("method", ALGORITHMS)
def test_another_seed_starts_from_other_weights(method):
    one, other = gate_weights(method, seed=3), gate_weights(method, seed=4)
    assert not torch.equal(one["gates.0.hidden.weight"], other["gates.0.hidden.weight"])
