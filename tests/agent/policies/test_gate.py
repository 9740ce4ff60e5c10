from itertools import product

import pytest
import torch
from agent_cases import ALGORITHMS, METHODS, Recorder, build, env_for, learn, noise_clips, tiny_backbone, weights
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from agent import RELAXATIONS, GateNetwork, GateOptions, PathwiseGradient, evaluate_selections, gate_macs
from agent.checkpoint import load_agent, save_agent
from backbone import Decision, FusionBackbone, Site, create_cnn
from backbone.cnns import bn_inception as bn_inception  # registers it

ADAFUSE = {"norm": "batch", "quota": 196_608, "shared": True}
SITES = (Site(0, "a", 6, 8, 4, 2), Site(1, "b", 8, 8, 4, 2), Site(2, "c", 8, 7, 4, 2), Site(3, "d", 8, 8, 8, 1))
ALIKE = (1, 2)  # of SITES: as many features and decisions


def features(site, rows: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(site.index)
    return torch.rand(2, rows, 2, site.in_channels, generator=generator).unbind()


def gates(static: bool = False, group_size: int = 8) -> tuple[GateNetwork, tuple]:
    sites = tiny_backbone(group_size=group_size).sites
    torch.manual_seed(0)
    return GateNetwork(sites, GateOptions(static=static)), sites


def network(seed: int = 0, **options) -> GateNetwork:
    """Gates at SITES."""
    torch.manual_seed(seed)
    return GateNetwork(SITES, GateOptions(**options))


@pytest.mark.parametrize("group_size", [1, 5, 64])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("hidden", [4, 32])
def test_macs_are_half_the_flops_that_torch_counts_for_a_frame(group_size, static, hidden):
    sites = tiny_backbone(group_size=group_size).sites
    assert_flops(sites, GateOptions(hidden=hidden, static=static))


@pytest.mark.parametrize("static", [False, True])
def test_macs_are_half_of_torchs_flops_whatever_the_options(static):
    for quota, norm, shared in product((None, 3, 64), ("layer", "batch"), (False, True)):
        assert_flops(SITES, GateOptions(hidden=7, quota=quota, norm=norm, shared=shared, static=static))


def assert_flops(sites, options: GateOptions) -> None:
    network = GateNetwork(sites, options).eval()
    assert gate_macs(sites, options) == network.macs
    for site in sites:
        with FlopCounterMode(display=False) as counter:
            network(site.index, torch.rand(1, site.in_channels), torch.rand(1, site.in_channels))
        assert network.macs[site.index] == counter.get_total_flops() / 2
        assert (network.macs[site.index] == 0) == options.static


def test_macs_are_told_without_building_and_without_touching_the_generator():
    network, sites = gates()
    before = torch.get_rng_state()
    assert gate_macs(sites) == network.macs
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_a_default_gate_starts_as_two_linear_layers_made_site_by_site():
    """Results stand on this order of draws, and the order of parameters on which gradients are added up."""
    found = network(seed=5)
    after = torch.rand(3)
    torch.manual_seed(5)
    expected = []
    for site in SITES:
        norm = nn.LayerNorm(2 * site.in_channels)
        hidden, out = nn.Linear(2 * site.in_channels, 32), nn.Linear(32, 3 * site.decisions)
        bias = torch.tensor([1.0, 0.0, 0.0]).repeat(site.decisions)
        expected += [norm.weight, norm.bias, hidden.weight, hidden.bias, out.weight, bias]
    assert all(torch.equal(one, other) for one, other in zip(found.parameters(), expected, strict=True))
    assert torch.equal(after, torch.rand(3))


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
        network = GateNetwork(sites, GateOptions(static=True), use_bias=bias)
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


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_each_frame_is_decided_on_its_own(norm):
    gates = network(norm=norm).eval()
    v, v_previous = features(SITES[1])
    apart = torch.stack([gates(1, v[:, t], v_previous[:, t]) for t in range(2)], 1)
    torch.testing.assert_close(gates(1, v, v_previous), apart)


def test_a_batch_norm_takes_its_statistics_of_all_frames_of_all_clips():
    gates, seen = network(norm="batch", hidden=6), []
    gates.gates[1].norm.register_forward_hook(lambda module, args, output: seen.extend([*args, output]))
    v, v_previous = features(SITES[1], rows=40)
    gates(1, v, v_previous)
    rows, normalised = seen
    assert rows.shape == (80, 6)
    layer = gates.gates[1].layers.hidden
    torch.testing.assert_close(rows, layer(torch.cat([v, v_previous], -1)).flatten(0, 1))
    torch.testing.assert_close(normalised.mean(0), torch.zeros(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(normalised.var(0, correction=0), torch.ones(6), rtol=1e-2, atol=0)


def test_a_quota_makes_the_gates_of_wide_sites_narrow():
    for site, hidden in zip(SITES, (25, 25, 25, 12)):
        assert GateOptions(quota=100).hidden_units(site) == hidden
        assert network(quota=100).gates[site.index].layers.hidden.out_features == hidden


def test_a_quota_below_a_sites_decisions_leaves_one_unit():
    gates = network(quota=5, norm="batch").eval()
    assert [gate.layers.hidden.out_features for gate in gates.gates] == [1, 1, 1, 1]
    assert gates(3, *features(SITES[3])).shape == (5, 2, 8, 3)


def test_sites_of_equal_sizes_share_their_linear_layers_and_no_norm():
    for norm, own in (("layer", {12, 16}), ("batch", {32})):
        gates = network(norm=norm, shared=True)
        assert set(gates.shared) == {"12_12", "16_12", "16_24"}
        assert len({gate.norm for gate in gates.gates}) == 4
        assert {gate.norm.weight.numel() for gate in gates.gates} == own
        names = [name for name in gates.state_dict() if name.endswith("hidden.weight")]
        assert names == [f"shared.{sizes}.hidden.weight" for sizes in gates.shared]


def test_shared_layers_start_as_those_of_their_first_site():
    gates = network(shared=True)
    torch.manual_seed(0)
    expected = GateNetwork([SITES[0], SITES[1], SITES[3]])
    for gate, layers in zip(expected.gates, gates.shared.values(), strict=True):
        assert_equal_states(gate.layers, layers)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_shared_layers_get_the_gradients_of_all_their_sites(norm):
    gates, apart = network(norm=norm, shared=True), network(norm=norm)
    for index in range(4):
        apart.gates[index].layers.load_state_dict(gates._layers(index).state_dict())
    for one in (gates, apart):
        sum(one(site.index, *features(site)).square().sum() for site in SITES).backward()
    for name, weight in gates.shared["16_12"].named_parameters():
        parts = [dict(apart.gates[index].layers.named_parameters())[name].grad for index in ALIKE]
        torch.testing.assert_close(weight.grad, sum(parts))
        assert all((part != 0).any() for part in parts) or "hidden.bias" in name  # which a BatchNorm takes out
    for one, other in zip(gates.gates, apart.gates):
        torch.testing.assert_close(one.norm.weight.grad, other.norm.weight.grad)


def test_shared_gates_decide_as_gates_of_the_same_weights():
    gates, apart = network(shared=True), network()
    for index, site in enumerate(SITES):
        apart.gates[index].layers.load_state_dict(gates._layers(index).state_dict())
        assert torch.equal(gates(index, *features(site)), apart(index, *features(site)))
    assert gates.macs == apart.macs


def test_a_static_gate_has_no_other_options():
    plain, everything = network(static=True), network(static=True, hidden=3, quota=10, norm="batch", shared=True)
    assert_equal_states(plain, everything)
    assert everything.macs == [0] * 4


def assert_equal_states(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"norm": "group"}, "expected a gate's norm among layer, batch; got 'group'"),
        ({"hidden": 0}, "expected hidden of a gate to be at least 1, got 0"),
        ({"quota": -3}, "expected quota of a gate to be at least 1, got -3"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(options, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        GateOptions(**options)


def counted(name: str, sites: str = "all", **options) -> tuple[float, float, float]:
    """Millions of parameters of CNN and gates, the gates' GMACs per frame, and their share of the dense CNN's."""
    with torch.device("meta"):
        backbone = FusionBackbone(create_cnn(name, num_classes=174), sites=sites)
        gates = GateNetwork(backbone.sites, GateOptions(**options))
    parameters = sum(p.numel() for module in (backbone, gates) for p in module.parameters())
    macs = sum(gates.macs)
    return parameters / 1e6, macs / 1e9, macs / backbone.ledger.dense_macs


@pytest.mark.parametrize(
    ("name", "sites", "options", "parameters", "macs"),
    [
        ("resnet18", "all", ADAFUSE, 17.5943, None),
        ("resnet50", "all", ADAFUSE, 37.6866, 0.031064),
        ("resnet50", "all", {**ADAFUSE, "shared": False}, 55.0033, 0.031064),
        ("resnet50", "last_stage", {"norm": "batch", "hidden": 1024}, 39.0827, 0.015204),
        ("bn_inception", "all", {"norm": "batch", "hidden": 128}, 14.4987, None),
    ],
)
def test_adafuses_models_have_as_many_parameters_and_macs_as_its_code(name, sites, options, parameters, macs):
    """Measured on the official code with 174 classes; the paper's table 1 rounds to 37.7M, 39.1M and 14.5M."""
    found = counted(name, sites, **options)
    assert found[0] == pytest.approx(parameters, abs=0.5e-4)
    assert macs is None or found[1] == pytest.approx(macs, abs=0.5e-6)


def test_default_gates_cost_next_to_nothing():
    assert counted("resnet50")[2] < 0.02


def gate_weights(method: str, **kwargs) -> dict[str, torch.Tensor]:
    return build(method, env_for(method), **kwargs).policy.gates.state_dict()


@pytest.mark.parametrize("options", [GateOptions(), GateOptions(hidden=5, norm="batch", shared=True)])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_starts_from_the_same_weights(method, options):
    reference = gate_weights(ALGORITHMS[0], seed=3, policy_kwargs={"gate": options})
    found = gate_weights(method, seed=3, policy_kwargs={"gate": options})
    torch.testing.assert_close(found, reference, rtol=0, atol=0)


@pytest.mark.parametrize("method", ALGORITHMS)
def test_another_seed_starts_from_other_weights(method):
    one, other = gate_weights(method, seed=3), gate_weights(method, seed=4)
    assert not torch.equal(one["gates.0.layers.hidden.weight"], other["gates.0.layers.hidden.weight"])


# -- agents without reuse ----------------------------------------------------------------------------------------------

NO_REUSE = {"policy_kwargs": {"gate": GateOptions(reuse=False)}}


def without_reuse(method: str, **kwargs):
    """A learner that may only use and skip: any of METHODS, or a relaxation."""
    if method in RELAXATIONS:
        return PathwiseGradient(env_for("gumbel"), relaxation=method, seed=0, device="cpu", **NO_REUSE | kwargs)
    return build(method, env_for(method), **NO_REUSE | kwargs)


@pytest.mark.parametrize("method", dict.fromkeys([*METHODS, *RELAXATIONS]))
def test_an_agent_without_reuse_learns_and_never_reuses(method):
    model, recorder = without_reuse(method), Recorder()
    start = weights(model)
    learn(model, 3, recorder)
    assert len(recorder.gradients) >= 3
    assert all(gradient.isfinite().all() and (gradient != 0).any() for gradient in recorder.gradients)
    assert weights(model).isfinite().all()
    assert not torch.equal(weights(model), start)
    for selection, played in evaluate_selections(model, tiny_backbone(), noise_clips(40)).items():
        shares = played.shares
        assert (shares[:, Decision.REUSE] == 0).all()
        assert selection == "greedy" or (shares[:, [Decision.USE, Decision.SKIP]] > 0).all()


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_without_reuse_the_other_two_share_all_probability(static, scale):
    sites = tiny_backbone().sites
    free, held = (GateNetwork(sites, GateOptions(static=static, reuse=reuse)) for reuse in (True, False))
    for site in sites:
        with torch.no_grad():
            for weight in free.parameters():
                weight.copy_(scale * torch.randn_like(weight))
        held.load_state_dict({**free.state_dict(), "reuse_gap": held.reuse_gap})
        wanted, logits = free(site.index, *features(site)), held(site.index, *features(site))
        pair = [Decision.USE, Decision.SKIP]
        assert torch.equal(logits[..., pair], wanted[..., pair])
        log_probs = logits.log_softmax(-1)
        assert log_probs.isfinite().all()
        assert (log_probs[..., Decision.REUSE] < -59).all()
        torch.testing.assert_close(log_probs[..., pair], wanted[..., pair].log_softmax(-1))
        (entropy := -(log_probs.exp() * log_probs).sum()).backward()
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in held.parameters())
        assert entropy.isfinite()


def test_a_checkpoint_with_reuse_does_not_pass_for_one_without(tmp_path):
    free, held = build("gumbel"), build("gumbel", **NO_REUSE)
    for name, one, other in (("free", free, held), ("held", held, free)):
        save_agent(tmp_path / name, one)
        load_agent(tmp_path / name, one)
        with pytest.raises((ValueError, RuntimeError), match="reuse_gap"):
            load_agent(tmp_path / name, other)


def test_neither_cost_nor_first_weights_depend_on_reuse():
    free, held = (network(reuse=reuse) for reuse in (True, False))
    assert free.macs == held.macs
    torch.testing.assert_close(dict(free.named_parameters()), dict(held.named_parameters()), rtol=0, atol=0)
